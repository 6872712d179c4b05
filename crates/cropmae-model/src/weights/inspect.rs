//! Describes the contents of the weight files of any program.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Tensor;
use safetensors::Dtype;

use super::WeightsInfo;
use super::archive::{self, Archive, Entry};
use super::import::{ImportOptions, Plan};
use crate::Result;

/// The contents of a weight file.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// The format of the file, such as `weights of this program` or `PyTorch checkpoint, timm names`.
    pub format: String,
    /// The model in the file, as [`super::import`] would read it, or `None` if it is not supported.
    pub info: Option<WeightsInfo>,
    /// The reason why the file holds no supported model.
    pub problem: Option<String>,
    /// Single values in the file, such as `epoch` or `args.architecture`.
    pub facts: BTreeMap<String, String>,
    /// All tensors in name order.
    pub tensors: Vec<TensorRow>,
}

/// A tensor in a file.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorRow {
    /// The name of the tensor in the file.
    pub name: String,
    /// The shape of the tensor.
    pub shape: Vec<usize>,
    /// The type of the tensor, such as `F32` or `F16`, or `?` for an unknown type.
    pub dtype: String,
    /// The mean and standard deviation of all values, or `None` if there are none or they are not floats.
    pub moments: Option<(f64, f64)>,
}

/// Reads the file at `path`, one tensor after another, and describes its contents.
///
/// A weight file of another kind of model is not an error: [`Inspection::problem`] describes it.
///
/// # Errors
/// Returns [`crate::ModelError::Io`], [`crate::ModelError::Damaged`], [`crate::ModelError::Metadata`],
/// [`crate::ModelError::Pth`] or [`crate::ModelError::Legacy`] if the file cannot be read, or
/// [`crate::ModelError::Foreign`] if it is not a weight file.
pub fn inspect(path: &Path) -> Result<Inspection> {
    let path = &archive::locate(path)?;
    let mut archive = Archive::open(path)?;
    let (format, info, problem) = if archive.is_native() {
        let info = super::load_info(path)?;
        ("weights of this program".to_owned(), Some(info), None)
    } else {
        match Plan::new(path, &archive, &ImportOptions::default()) {
            Ok(plan) => (plan.report.format, Some(plan.info), None),
            Err(error) => (archive.format().to_owned(), None, Some(error.to_string())),
        }
    };
    let entries = std::mem::take(&mut archive.entries);
    let floats: Vec<&str> = entries
        .iter()
        .filter(|(_, entry)| is_float(entry))
        .map(|(name, _)| name.as_str())
        .collect();
    let mut found: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    archive.for_each(&floats, |name, tensor| {
        found.extend(moments(&tensor).map(|it| (name.to_owned(), it)));
    })?;
    let tensors = entries
        .into_iter()
        .map(|(name, Entry { shape, dtype })| TensorRow {
            moments: found.get(&name).copied(),
            dtype: dtype.map_or_else(|| "?".to_owned(), |it| format!("{it:?}")),
            name,
            shape,
        })
        .collect();
    Ok(Inspection {
        format,
        info,
        problem,
        facts: archive.facts(),
        tensors,
    })
}

fn is_float(entry: &Entry) -> bool {
    matches!(
        entry.dtype,
        Some(Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16)
    )
}

/// Computes the mean and the standard deviation in f64, or returns `None` for a tensor without values.
fn moments(tensor: &Tensor) -> Option<(f64, f64)> {
    let values: Vec<f32> = tensor.flatten_all().and_then(|it| it.to_vec1()).ok()?;
    if values.is_empty() {
        return None;
    }
    let count = values.len() as f64;
    let mean = values.iter().map(|&it| f64::from(it)).sum::<f64>() / count;
    let square = |&value: &f32| (f64::from(value) - mean).powi(2);
    Some((
        mean,
        (values.iter().map(square).sum::<f64>() / count).sqrt(),
    ))
}
