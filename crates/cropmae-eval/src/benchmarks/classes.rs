//! Image classification with frozen features, by k nearest neighbors and by a linear probe.
//!
//! The layout is `train/<class>/<image>` and `val/<class>/<image>`, as in ImageNet. Each image is encoded once as a
//! vector, and both measures use the same vectors.

mod dataset;
mod features;
mod linear;
mod nearest;
mod optimize;

use std::path::Path;

use cropmae_config::{ClassesProtocol, ComputeDtype};
use cropmae_model::FeatureExtractor;
use serde::{Deserialize, Serialize};

use crate::error::EvalError;
use crate::files::replace_json;
use crate::options::EvalOptions;
use crate::report::{Failure, Measure, Table, compute_of};
use crate::require::require_all;

use dataset::ClassFolders;
use features::Vectors;

/// The measures to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measures {
    /// `true` to classify by k nearest neighbors.
    pub neighbors: bool,
    /// `true` to train a linear probe.
    pub linear: bool,
}

/// The accuracies, and everything they depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassesReport {
    /// The name of the encoder.
    pub encoder: String,
    /// The SHA-256 of its weight file, if there is one.
    pub weights_sha256: Option<String>,
    /// The type of the operands of the encoder's matrix products. All other computations are f32.
    #[serde(default)]
    pub compute: ComputeDtype,
    /// A SHA-256 over the names and sizes of all images, which identifies the data.
    pub data_fingerprint: String,
    /// The protocol of the evaluation.
    pub protocol: ClassesProtocol,
    /// The names of the classes.
    pub classes: Vec<String>,
    /// The number of images that vote or that the probe is trained on.
    pub train_images: usize,
    /// The number of images that are scored.
    pub val_images: usize,
    /// The accuracy of k nearest neighbors, for each k.
    pub neighbors: Vec<NeighborsScore>,
    /// Accuracy of the linear probe.
    pub linear: Option<LinearScore>,
    /// The images that could not be read. They neither vote nor count.
    pub failures: Vec<Failure>,
}

/// The accuracy of k nearest neighbors for one k.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NeighborsScore {
    /// The number of neighbors that vote.
    pub k: usize,
    /// The share of scored images that are classified correctly.
    pub top1: f64,
}

/// Accuracy of the linear probe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinearScore {
    /// The share of scored images that are classified correctly.
    pub top1: f64,
    /// The share of training images that are classified correctly.
    pub train_top1: f64,
    /// The loss at the end of training.
    pub loss: f64,
    /// The number of iterations of the training.
    pub iterations: usize,
}

impl ClassesReport {
    /// Returns the numbers that a table shows.
    pub fn headline(&self) -> Vec<Measure> {
        let neighbors = self.neighbors.iter();
        let neighbors =
            neighbors.map(|score| Measure::share(format!("{}-NN", score.k), score.top1));
        let linear = self.linear.iter();
        let linear = linear.map(|score| Measure::share("linear", score.top1));
        neighbors.chain(linear).collect()
    }

    /// Writes `report.json`, `top1.csv` and `top1.json` into the folder `out`.
    ///
    /// # Errors
    /// Returns [`EvalError::Write`] with the path if a file cannot be written.
    pub fn write(&self, out: &Path) -> Result<(), EvalError> {
        replace_json(&out.join("report.json"), self)?;
        let rows = self.headline().into_iter();
        let table = Table {
            file: "top1",
            key: Some("Measure"),
            decimals: 4,
            columns: vec!["Top-1".into()],
            rows: rows.map(|it| (it.name, vec![Some(it.value)])).collect(),
        };
        table.write(out)
    }
}

/// Classifies the images in `data_dir/val` by those in `data_dir/train`.
///
/// `progress(done, total)` is called with numbers of images. There is no randomness: the probe starts from zero and
/// uses all images in every step.
///
/// # Errors
/// - [`EvalError::Layout`] if the folders are missing,
/// - [`EvalError::Protocol`] if a value of the protocol is invalid,
/// - [`EvalError::Encoder`] if the encoder fails,
/// - [`EvalError::Image`] if no image of `train` or of `val` can be read,
/// - [`EvalError::Write`] if the report cannot be written.
pub fn evaluate_classes(
    data_dir: &Path,
    encoder: &dyn FeatureExtractor,
    protocol: &ClassesProtocol,
    measures: Measures,
    options: &EvalOptions,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<ClassesReport, EvalError> {
    validate(protocol, encoder.patch_size())?;
    let folders = ClassFolders::open(data_dir)?;
    let total = folders.train.len() + folders.val.len();
    let mut failures = Vec::new();
    let mut encode = |images: &[dataset::Image], before: usize| {
        let progress = |done: usize| progress(before + done, total);
        Vectors::of(images, encoder, protocol, &mut failures, &progress)
    };
    let train = encode(&folders.train, 0)?;
    let val = encode(&folders.val, folders.train.len())?;
    for (vectors, part) in [(&train, "train"), (&val, "val")] {
        if vectors.labels.is_empty() {
            return Err(EvalError::Image {
                path: data_dir.join(part),
                message: "no image could be read".into(),
            });
        }
    }
    let classes = folders.classes.len();
    let report = ClassesReport {
        encoder: encoder.name(),
        weights_sha256: options.weights_sha256.clone(),
        compute: compute_of(encoder),
        data_fingerprint: folders.fingerprint(data_dir),
        protocol: protocol.clone(),
        train_images: train.labels.len(),
        val_images: val.labels.len(),
        neighbors: match measures.neighbors {
            true => nearest::score(&train, &val, classes, protocol)?,
            false => Vec::new(),
        },
        linear: match measures.linear {
            true => Some(linear::score(&train, &val, classes, protocol)?),
            false => None,
        },
        classes: folders.classes,
        failures,
    };
    if let Some(out) = &options.out {
        report.write(out)?;
    }
    Ok(report)
}

fn validate(protocol: &ClassesProtocol, patch_size: usize) -> Result<(), EvalError> {
    let size = protocol.image_size;
    let positive = |value: f64| value.is_finite() && value > 0.0;
    require_all([
        (
            "image_size",
            size.to_string(),
            size > 0 && size.is_multiple_of(patch_size),
            "a multiple of the encoder's patch size",
        ),
        (
            "resize",
            protocol.resize.to_string(),
            protocol.resize >= size,
            "at least image_size",
        ),
        (
            "neighbors",
            format!("{:?}", protocol.neighbors),
            !protocol.neighbors.is_empty() && !protocol.neighbors.contains(&0),
            "counts above 0",
        ),
        (
            "temperature",
            protocol.temperature.to_string(),
            positive(protocol.temperature),
            "above 0",
        ),
        (
            "weight_decay",
            protocol.weight_decay.to_string(),
            positive(protocol.weight_decay),
            "above 0",
        ),
    ])
}
