//! Moves a batch from the loader to the training device.

use candle_core::{Device, Result, Tensor};
use cropmae_config::Experiment;
use cropmae_data::normalize::TABLE;
use cropmae_data::{Batch, Patches};
use cropmae_kernels::{Backend, HostValues, Lease, PatchPixels, Upload};
use cropmae_model::PatchMask;

use crate::TrainError;

/// A batch on the training device. Later batches may overwrite its tensors after it was dropped.
pub struct BatchTensors {
    /// The patches `(B, N, P*P*3)` of each view. The masked view is last.
    pub views: Vec<PatchPixels>,
    /// The mask of the last view.
    pub mask: PatchMask,
    /// (B, N), row-major: the patches of the masked view, sorted by their noise. The first ones are kept.
    ids_shuffle: Vec<u32>,
    _lease: Lease,
}

impl BatchTensors {
    /// Moves `batch` to the device of `route`. Bytes stay bytes where kernels read them, and are normalized elsewhere.
    ///
    /// The memory of `batch` returns to the loader.
    ///
    /// # Errors
    /// Returns [`TrainError::Compute`] if the batch does not have the shape of the model's input.
    pub(crate) fn new(
        batch: Batch,
        experiment: &Experiment,
        route: &mut Route,
    ) -> std::result::Result<Self, TrainError> {
        let config = &experiment.model;
        let shape = (batch.size, config.num_patches(), config.patch_values());
        let len_keep = experiment.mask.len_keep(shape.1);
        let Route {
            upload,
            byte_values,
        } = route;
        let failed = TrainError::compute("moving a batch to the device");
        let mut upload = upload.batch().map_err(&failed)?;
        let mask = PatchMask::moved(
            &batch.ids_shuffle,
            (shape.0, shape.1),
            len_keep,
            |ids, shape| upload.add(HostValues::U32(ids), shape),
        )?;
        let views = batch
            .views
            .into_iter()
            .map(|view| match &view {
                Patches::Normalized(values) => {
                    Ok(upload.add(HostValues::F32(values), shape)?.into())
                }
                Patches::Bytes(bytes) => Ok(PatchPixels::Bytes {
                    bytes: upload.add(HostValues::U8(bytes), shape)?,
                    table: byte_values.clone(),
                }),
            })
            .collect::<Result<Vec<PatchPixels>>>()
            .map_err(&failed)?;
        let lease = upload.finish().map_err(&failed)?;
        let views = match Backend::of(byte_values.device()) {
            Backend::Gpu => views,
            // Other backends would normalize the bytes once for each op.
            Backend::Cpu | Backend::Reference => views
                .iter()
                .map(|view| Ok(view.normalized()?.into()))
                .collect::<Result<_>>()
                .map_err(&failed)?,
        };
        Ok(Self {
            views,
            mask,
            ids_shuffle: batch.ids_shuffle,
            _lease: lease,
        })
    }

    /// Returns the patches of the masked view, sorted by their noise: (B, N), u32, on the CPU.
    pub(crate) fn ids_shuffle(&self) -> std::result::Result<Tensor, TrainError> {
        let shape = (self.mask.batch(), self.mask.num_patches());
        Tensor::from_slice(&self.ids_shuffle, shape, &Device::Cpu)
            .map_err(TrainError::compute("reading the mask of a batch"))
    }
}

/// The way of batches to the training device.
pub(crate) struct Route {
    upload: Upload,
    /// The normalized value of each byte in each channel, f32 (3, 256).
    byte_values: Tensor,
}

impl Route {
    pub(crate) fn new(device: &Device) -> std::result::Result<Self, TrainError> {
        let upload = Upload::new(device).map_err(TrainError::compute("opening the device"))?;
        let byte_values = byte_values(device)?;
        Ok(Self {
            upload,
            byte_values,
        })
    }
}

/// Returns the normalized value of each byte in each channel on `device`, f32 (3, 256).
fn byte_values(device: &Device) -> std::result::Result<Tensor, TrainError> {
    Tensor::new(&TABLE, device).map_err(TrainError::compute(
        "moving the values of bytes to the device",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_normalized_as_the_loader_does_it() {
        // Every byte in every channel.
        let bytes: Vec<u8> = (0..256 * 3).map(|i| (i / 3) as u8).collect();
        let bytes = PatchPixels::Bytes {
            bytes: Tensor::from_vec(bytes, (2, 8, 48), &Device::Cpu).unwrap(),
            table: byte_values(&Device::Cpu).unwrap(),
        };
        let found = bytes.normalized().unwrap().flatten_all().unwrap();
        for (i, value) in found.to_vec1::<f32>().unwrap().into_iter().enumerate() {
            let expected = TABLE[i % 3][i / 3];
            assert_eq!(
                value.to_bits(),
                expected.to_bits(),
                "{i}: {value} {expected}"
            );
        }
    }
}
