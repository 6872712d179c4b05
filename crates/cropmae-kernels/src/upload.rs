//! Batches on their way from the CPU to a device.

use candle_core::{Device, Result, Shape, Tensor};

use crate::args::HostValues;
#[cfg(feature = "cuda")]
use crate::gpu::cuda;

/// Moves batches to a device. On NVIDIA GPUs the copies run beside the work that was asked for before.
#[derive(Debug)]
pub struct Upload {
    device: Device,
    #[cfg(feature = "cuda")]
    cuda: Option<cuda::Uploads>,
}

/// The right to use the tensors of a batch. After it was dropped, later batches may overwrite them.
#[derive(Debug, Default)]
pub struct Lease {
    #[cfg(feature = "cuda")]
    _cuda: Option<cuda::Lease>,
}

impl Upload {
    /// Creates a way to `device`.
    ///
    /// # Errors
    /// Returns the errors of the device.
    pub fn new(device: &Device) -> Result<Self> {
        Ok(Self {
            device: device.clone(),
            #[cfg(feature = "cuda")]
            cuda: match device {
                Device::Cuda(device) => Some(cuda::Uploads::new(device)?),
                _ => None,
            },
        })
    }

    /// Returns the device.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Starts a batch.
    ///
    /// # Errors
    /// Returns the errors of the device.
    pub fn batch(&mut self) -> Result<BatchUpload<'_>> {
        Ok(BatchUpload {
            device: &self.device,
            #[cfg(feature = "cuda")]
            cuda: self.cuda.as_mut().map(cuda::Uploads::begin).transpose()?,
        })
    }
}

/// A batch on its way.
#[derive(Debug)]
pub struct BatchUpload<'a> {
    device: &'a Device,
    #[cfg(feature = "cuda")]
    cuda: Option<cuda::BatchUpload<'a>>,
}

impl BatchUpload<'_> {
    /// Adds a tensor to the batch. Its values are there for work that is asked for after [`Self::finish`].
    ///
    /// # Errors
    /// Returns an error if the number of values does not fit the shape, and the errors of the device.
    pub fn add(&mut self, values: HostValues, shape: impl Into<Shape>) -> Result<Tensor> {
        let shape = shape.into();
        #[cfg(feature = "cuda")]
        if let Some(cuda) = &mut self.cuda {
            return cuda.add(values, shape);
        }
        values.tensor(shape, self.device)
    }

    /// Ends the batch, whose tensors may be used until the lease is dropped.
    ///
    /// # Errors
    /// Returns the errors of the device.
    pub fn finish(self) -> Result<Lease> {
        Ok(Lease {
            #[cfg(feature = "cuda")]
            _cuda: self.cuda.map(cuda::BatchUpload::finish).transpose()?,
        })
    }
}
