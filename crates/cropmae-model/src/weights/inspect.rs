//! What is in a weight file, whoever wrote it.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Tensor;
use safetensors::Dtype;

use super::WeightsInfo;
use super::archive::{self, Archive, Entry};
use super::import::{ImportOptions, Plan};
use crate::Result;

/// A file's contents.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// `weights of this program`, `PyTorch checkpoint, timm names`, ...
    pub format: String,
    /// The model that the tensors make; for files of other formats as [`super::import`] would read it.
    pub info: Option<WeightsInfo>,
    /// Why they make none.
    pub problem: Option<String>,
    /// Single values beside the tensors, such as `epoch` or `args.architecture`.
    pub facts: BTreeMap<String, String>,
    /// All tensors in name order.
    pub tensors: Vec<TensorRow>,
}

/// A tensor in a file.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorRow {
    /// Its name in the file.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// `F32`, `F16`, ...; `?` for a type that no weights have.
    pub dtype: String,
    /// Mean and standard deviation of all its values; none for integers.
    pub moments: Option<(f64, f64)>,
}

/// Reads the file at `path`, one tensor after another, and says what is in it.
///
/// # Errors
/// [`crate::ModelError::Io`], [`crate::ModelError::Damaged`], [`crate::ModelError::Metadata`], [`crate::ModelError::Pth`] or [`crate::ModelError::Legacy`] when it cannot be
/// read; [`crate::ModelError::Foreign`] when it is no weight file. A weight file of another kind of model is no
/// error.
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

/// Mean and deviation, in f64; none for a tensor without values.
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
