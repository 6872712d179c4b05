//! Values in the memory of the program, on their way to a device.

use candle_core::{DType, Device, Result, Shape, Tensor};

/// The values of a tensor in the memory of the program.
#[derive(Debug, Clone, Copy)]
pub enum HostValues<'a> {
    /// Bytes.
    U8(&'a [u8]),
    /// Indices.
    U32(&'a [u32]),
    /// Numbers.
    F32(&'a [f32]),
}

impl HostValues<'_> {
    /// Returns the type of the values.
    #[must_use]
    pub fn dtype(&self) -> DType {
        match self {
            Self::U8(_) => DType::U8,
            Self::U32(_) => DType::U32,
            Self::F32(_) => DType::F32,
        }
    }

    /// Returns a tensor of the values on `device`.
    pub(crate) fn tensor(self, shape: Shape, device: &Device) -> Result<Tensor> {
        match self {
            Self::U8(values) => Tensor::from_slice(values, shape, device),
            Self::U32(values) => Tensor::from_slice(values, shape, device),
            Self::F32(values) => Tensor::from_slice(values, shape, device),
        }
    }
}
