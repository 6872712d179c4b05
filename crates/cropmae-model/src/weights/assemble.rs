//! Makes the model's tensors from those of a file: joins, scales and adapts them, and checks that all values are
//! finite.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};

use super::anchor::Source;
use super::archive::Archive;
use super::import::Plan;
use super::side::{PIXELS, PixelStatistics};
use crate::{ModelError, Result};

/// Reads and makes all tensors of `plan` on `device`.
///
/// # Errors
/// Returns an error if the file cannot be read or holds a value that is not finite.
pub(crate) fn tensors(
    path: &Path,
    archive: &mut Archive,
    plan: &Plan,
    device: &Device,
) -> Result<HashMap<String, Tensor>> {
    let wanted: Vec<&str> = plan
        .report
        .matched
        .iter()
        .flat_map(|it| it.from.iter().map(String::as_str))
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .collect();
    let mut read = archive.read(&wanted)?;
    // Each tensor of the file is used once, except for the factors, which scale a weight and a bias.
    let mut tensors = HashMap::new();
    for (name, parameter) in &plan.layout {
        let shape = parameter.shape.as_slice();
        let mut tensor = match plan.sources.tensors.get(name) {
            Some(Source::Whole(source)) => read.remove(source),
            Some(Source::Thirds(thirds)) => Some(join(thirds, &mut read, shape)?),
            None => Some(Tensor::zeros(shape, DType::F32, &Device::Cpu)?),
        }
        .ok_or_else(|| ModelError::Missing {
            path: path.to_owned(),
            tensor: name.clone(),
            others: 0,
        })?;
        let scale = name
            .rsplit_once('.')
            .and_then(|(layer, _)| plan.sources.scales.get(layer))
            .and_then(|source| read.get(source));
        if let Some(factors) = scale {
            // The layer's outputs are rows of its weight and elements of its bias.
            let factors = match shape.len() {
                1 => factors.clone(),
                _ => factors.unsqueeze(1)?,
            };
            tensor = tensor.broadcast_mul(&factors)?;
        }
        if name == "pos_embed" && tensor.dim(1)? + 1 == shape[1] {
            let class = Tensor::zeros((1, 1, shape[2]), DType::F32, &Device::Cpu)?;
            tensor = Tensor::cat(&[&class, &tensor], 1)?;
        }
        finite(path, name, &tensor)?;
        tensors.insert(name.clone(), tensor);
    }
    if let Some(pixels) = plan.pixels {
        adapt_pixels(&mut tensors, pixels)?;
    }
    let moved = tensors
        .into_iter()
        .map(|(name, tensor)| Ok((name, tensor.to_device(device)?.contiguous()?)));
    moved.collect()
}

/// Joins query, key and value. A bias that is not in the file is zero.
fn join(
    thirds: &[Option<String>; 3],
    read: &mut HashMap<String, Tensor>,
    shape: &[usize],
) -> Result<Tensor> {
    let mut part = shape.to_vec();
    part[0] /= 3;
    let parts = thirds
        .iter()
        .map(|source| {
            let found = source.as_ref().and_then(|source| read.remove(source));
            match found {
                Some(tensor) => Ok(tensor),
                None => Tensor::zeros(part.as_slice(), DType::F32, &Device::Cpu),
            }
        })
        .collect::<candle_core::Result<Vec<_>>>()?;
    Ok(Tensor::cat(&parts, 0)?)
}

fn finite(path: &Path, name: &str, tensor: &Tensor) -> Result<()> {
    let values: Vec<f32> = tensor.flatten_all()?.to_vec1()?;
    match values.iter().find(|value| !value.is_finite()) {
        None => Ok(()),
        Some(value) => Err(ModelError::Foreign {
            path: path.to_owned(),
            problem: format!(
                "tensor {name} holds {value}: the file is damaged or its training diverged"
            ),
        }),
    }
}

/// Converts a patch embedding for pixels normalized with `theirs` (m', s') to one for pixels x normalized with the
/// statistics of ImageNet (m, s): with x' = (x s + m - m') / s', the factors s / s' go into the weights and the rest
/// into the bias.
fn adapt_pixels(tensors: &mut HashMap<String, Tensor>, theirs: PixelStatistics) -> Result<()> {
    let (weight, bias) = ("patch_embed.proj.weight", "patch_embed.proj.bias");
    let (Some(w), Some(b)) = (tensors.get(weight), tensors.get(bias)) else {
        return Ok(());
    };
    let shape = w.dims().to_vec(); // (D, 3, P, P)
    let pixels = shape[2] * shape[3];
    let mut weights: Vec<f32> = w.flatten_all()?.to_vec1()?;
    let mut biases: Vec<f32> = b.to_vec1()?;
    for (filter, bias) in weights.chunks_exact_mut(3 * pixels).zip(&mut biases) {
        let mut shifted = f64::from(*bias);
        for (channel, plane) in filter.chunks_exact_mut(pixels).enumerate() {
            let factor = PIXELS.std[channel] / theirs.std[channel];
            let offset = (PIXELS.mean[channel] - theirs.mean[channel]) / theirs.std[channel];
            for value in plane {
                shifted += f64::from(*value) * offset;
                *value = (f64::from(*value) * factor) as f32;
            }
        }
        *bias = shifted as f32;
    }
    let dim = biases.len();
    tensors.insert(
        weight.to_owned(),
        Tensor::from_vec(weights, shape, &Device::Cpu)?,
    );
    tensors.insert(
        bias.to_owned(),
        Tensor::from_vec(biases, dim, &Device::Cpu)?,
    );
    Ok(())
}
