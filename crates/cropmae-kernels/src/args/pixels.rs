//! The patches of images, normalized or as the bytes that they were decoded to.

use candle_core::{DType, Result, Tensor, bail};

/// Patches of shape `(B, N, P*P*3)`, whose values are in (row, column, channel) order.
///
/// Bytes take a quarter of the memory. Kernels for accelerators normalize them where they read them.
#[derive(Debug, Clone)]
pub enum PatchPixels {
    /// Normalized f32 values.
    Values(Tensor),
    /// Bytes, u8.
    Bytes {
        /// `(B, N, P*P*3)`, u8.
        bytes: Tensor,
        /// The normalized value of each byte in each channel, f32 `(3, 256)`.
        table: Tensor,
    },
}

impl From<Tensor> for PatchPixels {
    fn from(values: Tensor) -> Self {
        Self::Values(values)
    }
}

impl From<&Tensor> for PatchPixels {
    fn from(values: &Tensor) -> Self {
        Self::Values(values.clone())
    }
}

impl From<&Self> for PatchPixels {
    fn from(pixels: &Self) -> Self {
        pixels.clone()
    }
}

impl PatchPixels {
    /// Returns the normalized values, f32 `(B, N, P*P*3)`.
    ///
    /// # Errors
    /// Returns an error if the bytes or their table have another type or shape.
    pub fn normalized(&self) -> Result<Tensor> {
        let (bytes, table) = match self {
            Self::Values(values) => return Ok(values.clone()),
            Self::Bytes { bytes, table } => (bytes, table),
        };
        let (b, n, values) = bytes.dims3()?;
        if !values.is_multiple_of(3) || table.dims() != [3, 256] {
            bail!(
                "pixels: bytes of shape {:?} and a table of shape {:?}, expected (B, N, P*P*3) and (3, 256)",
                bytes.dims(),
                table.dims()
            );
        }
        let rows = Tensor::new(&[0u32, 256, 512], bytes.device())?;
        let places = bytes.to_dtype(DType::U32)?.reshape((b, n, values / 3, 3))?;
        let places = places.broadcast_add(&rows)?.flatten_all()?;
        table
            .flatten_all()?
            .index_select(&places, 0)?
            .reshape((b, n, values))
    }

    /// Returns the tensor of patches, f32 or u8 `(B, N, P*P*3)`.
    #[must_use]
    pub fn patches(&self) -> &Tensor {
        match self {
            Self::Values(values) => values,
            Self::Bytes { bytes, .. } => bytes,
        }
    }
}
