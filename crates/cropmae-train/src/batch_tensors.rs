//! Moves a batch from the loader to the training device.

use candle_core::{DType, Device, Result, Tensor};
use cropmae_config::Experiment;
use cropmae_data::normalize::{MEAN, STD};
use cropmae_data::{Batch, Patches};
use cropmae_model::PatchMask;

use crate::TrainError;

/// A batch on the training device.
pub struct BatchTensors {
    /// One normalized f32 tensor of shape `(B, N, P*P*3)` per view. The masked view is last.
    pub views: Vec<Tensor>,
    /// The mask of the last view.
    pub mask: PatchMask,
    /// (B, N), row-major: the patches of the masked view, sorted by their noise. The first ones are kept.
    ids_shuffle: Vec<u32>,
}

impl BatchTensors {
    /// Moves `batch` to `device` and normalizes pixels there if they are bytes.
    ///
    /// The memory of `batch` returns to the loader.
    ///
    /// # Errors
    /// Returns [`TrainError::Compute`] if the batch does not have the shape of the model's input.
    pub fn new(
        batch: Batch,
        experiment: &Experiment,
        device: &Device,
    ) -> std::result::Result<Self, TrainError> {
        let config = &experiment.model;
        let (b, n, v) = (batch.size, config.num_patches(), config.patch_values());
        let len_keep = experiment.mask.len_keep(n);
        let mask = PatchMask::new(&batch.ids_shuffle, b, n, len_keep, device)?;
        let views = batch
            .views
            .into_iter()
            .map(|view| to_device(&view, (b, n, v), device))
            .collect::<Result<_>>()
            .map_err(TrainError::compute("moving a batch to the device"))?;
        Ok(Self {
            views,
            mask,
            ids_shuffle: batch.ids_shuffle,
        })
    }

    /// Returns the patches of the masked view, sorted by their noise: (B, N), u32, on the CPU.
    pub(crate) fn ids_shuffle(&self) -> std::result::Result<Tensor, TrainError> {
        let shape = (self.mask.batch(), self.mask.num_patches());
        Tensor::from_slice(&self.ids_shuffle, shape, &Device::Cpu)
            .map_err(TrainError::compute("reading the mask of a batch"))
    }
}

/// Moves patches to `device` and returns them normalized, as f32 with `shape` `(B, N, P*P*3)`.
fn to_device(patches: &Patches, shape: (usize, usize, usize), device: &Device) -> Result<Tensor> {
    match patches {
        Patches::Normalized(values) => Tensor::from_slice(values, shape, device),
        Patches::Bytes(bytes) => normalize(&Tensor::from_slice(bytes, shape, device)?),
    }
}

/// Turns bytes `(B, N, P*P*3)` into normalized f32 of the same shape.
///
/// The operations are those of [`cropmae_data::normalize::TABLE`], in the same order.
fn normalize(bytes: &Tensor) -> Result<Tensor> {
    let (b, n, v) = bytes.dims3()?;
    let mean = Tensor::new(&MEAN, bytes.device())?;
    let std = Tensor::new(&STD, bytes.device())?;
    bytes
        .to_dtype(DType::F32)?
        .affine(1.0 / 255.0, 0.0)?
        .reshape((b, n, v / 3, 3))?
        .broadcast_sub(&mean)?
        .broadcast_div(&std)?
        .reshape((b, n, v))
}

#[cfg(test)]
mod tests {
    use cropmae_data::normalize::TABLE;

    use super::*;

    #[test]
    fn bytes_are_normalized_as_the_loader_does_it() {
        // Every byte in every channel.
        let bytes: Vec<u8> = (0..256 * 3).map(|i| (i / 3) as u8).collect();
        let bytes = Tensor::from_vec(bytes, (2, 8, 48), &Device::Cpu).unwrap();
        let found: Vec<f32> = normalize(&bytes)
            .and_then(|found| found.flatten_all()?.to_vec1())
            .unwrap();
        for (i, value) in found.into_iter().enumerate() {
            let expected = TABLE[i % 3][i / 3];
            assert_eq!(
                value.to_bits(),
                expected.to_bits(),
                "{i}: {value} {expected}"
            );
        }
    }
}
