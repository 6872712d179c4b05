//! A batch on its way from the loader to the training device.

use candle_core::{DType, Device, Result, Tensor};
use cropmae_config::Experiment;
use cropmae_data::normalize::{MEAN, STD};
use cropmae_data::{Batch, Patches};
use cropmae_model::PatchMask;

use crate::TrainError;

/// A batch on the training device.
pub struct BatchTensors {
    /// One tensor (B, N, P*P*3) per view, normalised f32, the masked one last.
    pub views: Vec<Tensor>,
    /// (B, N) u32: patches of the masked view in the order of their noise; the first are kept.
    pub ids_shuffle: Tensor,
    /// The mask made of it.
    pub mask: PatchMask,
}

impl BatchTensors {
    /// Puts `batch` on `device`, and normalises pixels there that come as bytes.
    ///
    /// # Errors
    /// [`TrainError::Compute`] when the batch does not fit the model's input.
    pub fn new(
        batch: Batch,
        experiment: &Experiment,
        device: &Device,
    ) -> std::result::Result<Self, TrainError> {
        let config = &experiment.model;
        let (b, n, v) = (batch.size, config.num_patches(), config.patch_values());
        let compute = TrainError::compute("moving a batch to the device");
        let len_keep = experiment.mask.len_keep(n);
        let mask = PatchMask::new(&batch.ids_shuffle, b, n, len_keep, device)?;
        let views = batch.views.into_iter();
        let views = views
            .map(|view| to_device(view, (b, n, v), device))
            .collect::<Result<_>>()
            .map_err(&compute)?;
        let ids_shuffle =
            Tensor::from_vec(batch.ids_shuffle, (b, n), &Device::Cpu).map_err(&compute)?;
        Ok(Self {
            views,
            ids_shuffle,
            mask,
        })
    }
}

/// Normalised patches on `device`. The memory of all but f32 on the CPU, which becomes the tensor, goes back
/// to the loader.
fn to_device(patches: Patches, shape: (usize, usize, usize), device: &Device) -> Result<Tensor> {
    match (patches, device) {
        (Patches::Normalized(values), Device::Cpu) => {
            Tensor::from_vec(values.into_vec(), shape, device)
        }
        (Patches::Normalized(values), _) => Tensor::from_slice(&values, shape, device),
        (Patches::Bytes(bytes), _) => normalize(&Tensor::from_slice(&bytes, shape, device)?),
    }
}

/// Bytes (B, N, P*P*3) to what the model takes, in the order of operations of
/// [`cropmae_data::normalize::TABLE`].
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
    fn bytes_are_normalised_as_the_loader_does_it() {
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
