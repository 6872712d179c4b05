//! Patches as kernels take them.

use candle_core::{DType, Result, Tensor};

use super::queue::{Arg, Queue};
use crate::args::PatchPixels;

/// The arguments for patches, and for the ids of rows.
pub(super) struct Rows {
    values: Tensor,
    bytes: Tensor,
    table: Tensor,
    is_bytes: bool,
    ids: Tensor,
    has_ids: bool,
}

impl Rows {
    /// What is not given gets a tensor of one element, which kernels do not read.
    pub(super) fn new(queue: &Queue, pixels: &PatchPixels, ids: Option<&Tensor>) -> Result<Self> {
        let unused = |dtype| queue.unused(dtype);
        let (values, bytes, table, is_bytes) = match pixels {
            PatchPixels::Values(values) => (
                values.contiguous()?,
                unused(DType::U8)?,
                unused(DType::F32)?,
                false,
            ),
            PatchPixels::Bytes { bytes, table } => (
                unused(DType::F32)?,
                bytes.contiguous()?,
                table.contiguous()?,
                true,
            ),
        };
        Ok(Self {
            values,
            bytes,
            table,
            is_bytes,
            ids: ids.map_or_else(|| unused(DType::U32), Tensor::contiguous)?,
            has_ids: ids.is_some(),
        })
    }

    /// The patches.
    pub(super) fn pixels(&self) -> [Arg<'_>; 3] {
        [&self.values, &self.bytes, &self.table].map(Arg::In)
    }

    pub(super) fn ids(&self) -> Arg<'_> {
        Arg::In(&self.ids)
    }

    pub(super) fn is_bytes(&self) -> Arg<'static> {
        Arg::Size(usize::from(self.is_bytes))
    }

    pub(super) fn has_ids(&self) -> Arg<'static> {
        Arg::Size(usize::from(self.has_ids))
    }
}

#[cfg(all(test, feature = "emulated"))]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::backend::Backend;
    use crate::compute::Compute;
    use crate::gpu;

    /// Ids on a GPU are not read back to be checked.
    #[test]
    fn emulated_ids_out_of_range_become_nan() {
        Backend::Gpu.with(|| {
            let device = &Device::Cpu;
            let ones = |shape: &[usize]| Tensor::ones(shape, DType::F32, device).unwrap();
            let patches = PatchPixels::Values(ones(&[1, 4, 12]));
            let ids = Tensor::new(&[[3u32, 4, 0, u32::MAX]], device).unwrap();
            let weights = (&ones(&[5, 3, 2, 2]), &ones(&[5]));
            let pos = ones(&[4, 5]);
            let embedded = gpu::patch_embed(&patches, Some(&ids), weights, &pos, Compute::F32);
            let rows = embedded.unwrap().to_vec3::<f32>().unwrap();
            let is_nan = |row: &Vec<f32>| row.iter().all(|value| value.is_nan());
            let nan: Vec<bool> = rows[0].iter().map(is_nan).collect();
            assert_eq!(nan, [false, true, false, true]);
            let pred = ones(&[1, 4, 12]);
            for norm_pix in [false, true] {
                let loss = gpu::pixel_loss("test", &pred, &patches, Some(&ids), norm_pix);
                assert!(loss.unwrap().to_scalar::<f32>().unwrap().is_nan());
            }
        });
    }
}
