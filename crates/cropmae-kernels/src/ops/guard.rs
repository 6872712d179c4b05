//! Watches numbers on a device for one that is not finite, without waiting for the device.
//!
//! From the first such number on, updates that are given the guard change nothing. A program that reads numbers only now
//! and then therefore finds the weights as they were before the fault, and learns where it was.

use candle_core::{DType, Device, Result, Tensor, bail};

use crate::backend::Backend;
use crate::gpu;

/// Keeps the first number on a device that is not finite.
#[derive(Debug, Clone)]
pub struct Guard {
    /// f32 (3): 0 or 1 + `what`, the position, and the number.
    first: Tensor,
}

/// A number that is not finite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NonFinite {
    /// What the number is, as [`Guard::check`] was told.
    pub what: usize,
    /// Where it occurred, as [`Guard::check`] was told.
    pub position: usize,
    /// `NaN` or an infinity.
    pub value: f64,
}

/// Numbers up to this one have an f32 of their own.
const LARGEST: usize = 1 << 24;

impl Guard {
    /// Creates a guard on `device`, or returns `None` if its backend has none, because reading a number there is cheap.
    ///
    /// # Errors
    /// Returns the errors of the device.
    pub fn new(device: &Device) -> Result<Option<Self>> {
        match Backend::of(device) {
            Backend::Gpu => Ok(Some(Self {
                first: Tensor::zeros(3, DType::F32, device)?,
            })),
            Backend::Cpu | Backend::Reference => Ok(None),
        }
    }

    /// Notes `number`, an f32 of one element, as `what` at `position`, if it is not finite and the first such number.
    ///
    /// # Errors
    /// Returns an error if the number has more than one element or another type, or if `what` or `position` is not below
    /// 2^24.
    pub fn check(&self, number: &Tensor, what: usize, position: usize) -> Result<()> {
        if number.elem_count() != 1 || number.dtype() != DType::F32 {
            bail!(
                "guard: expected one f32, found {:?} of shape {:?}",
                number.dtype(),
                number.dims()
            );
        }
        if what.max(position) >= LARGEST {
            bail!("guard: {what} and {position} must be below {LARGEST}");
        }
        gpu::check_finite(&number.detach(), &self.first, (what, position))
    }

    /// Returns the first number that was not finite. This waits for the device.
    ///
    /// # Errors
    /// Returns the errors of the device.
    pub fn read(&self) -> Result<Option<NonFinite>> {
        let first = self.first.to_vec1::<f32>()?;
        Ok(match first[..] {
            [mark, position, value] if mark > 0.0 => Some(NonFinite {
                what: mark as usize - 1,
                position: position as usize,
                value: value.into(),
            }),
            _ => None,
        })
    }

    /// Returns the tensor whose first element is not 0 after a fault.
    pub(crate) fn first(&self) -> &Tensor {
        &self.first
    }
}
