//! Image classification with frozen features: k nearest neighbours and a linear probe.
//!
//! Layout: `train/<class>/<image>` and `val/<class>/<image>`, as ImageNet is unpacked. Every image becomes
//! one vector, computed once; both measures work on the same vectors.

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

/// Which measures to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measures {
    /// k nearest neighbours.
    pub neighbours: bool,
    /// The linear probe.
    pub linear: bool,
}

/// What was found, and what decided it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassesReport {
    /// What the encoder calls itself.
    pub encoder: String,
    /// SHA-256 of its weight file, where there is one.
    pub weights_sha256: Option<String>,
    /// Type of the operands of its matrix products, as they ran; what follows is not affected.
    #[serde(default)]
    pub compute: ComputeDtype,
    /// Identifies the data: SHA-256 over names and sizes of all images.
    pub data_fingerprint: String,
    /// The protocol that was run.
    pub protocol: ClassesProtocol,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Images that vote and train.
    pub train_images: usize,
    /// Images that are scored.
    pub val_images: usize,
    /// Accuracy of k nearest neighbours, for each k.
    pub neighbours: Vec<NeighboursScore>,
    /// Accuracy of the linear probe.
    pub linear: Option<LinearScore>,
    /// Images that could not be read; they neither vote nor count.
    pub failures: Vec<Failure>,
}

/// Accuracy of k nearest neighbours.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NeighboursScore {
    /// Neighbours that vote.
    pub k: usize,
    /// Share of the scored images whose class wins.
    pub top1: f64,
}

/// Accuracy of the linear probe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinearScore {
    /// Share of the scored images whose class is the strongest.
    pub top1: f64,
    /// The same over the images that it was trained on.
    pub train_top1: f64,
    /// Loss it was trained to.
    pub loss: f64,
    /// Iterations that took.
    pub iterations: usize,
}

impl ClassesReport {
    /// The numbers that a table shows.
    pub fn headline(&self) -> Vec<Measure> {
        let neighbours = self.neighbours.iter();
        let neighbours =
            neighbours.map(|score| Measure::share(format!("{}-NN", score.k), score.top1));
        let linear = self.linear.iter();
        let linear = linear.map(|score| Measure::share("linear", score.top1));
        neighbours.chain(linear).collect()
    }

    /// Writes `report.json`, `top1.csv` and `top1.json` into the folder `out`.
    ///
    /// # Errors
    /// [`EvalError::Write`], naming the file.
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

/// Classifies `data_dir/val` by `data_dir/train`. `progress(done, total)` counts images.
///
/// Nothing is random: the probe starts from zero and sees all images in every step.
///
/// # Errors
/// [`EvalError::Layout`] if the folders are not there; [`EvalError::Protocol`]; [`EvalError::Encoder`];
/// [`EvalError::Image`] if an image of every class or all of `val` cannot be read; [`EvalError::Write`].
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
        neighbours: match measures.neighbours {
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
            "neighbours",
            format!("{:?}", protocol.neighbours),
            !protocol.neighbours.is_empty() && !protocol.neighbours.contains(&0),
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
