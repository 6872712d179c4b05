//! Chooses the implementation of the ops for each device.

use std::cell::Cell;
use std::sync::OnceLock;

use candle_core::Device;

use crate::compute::Compute;
use crate::cpu;

/// An implementation of all ops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// Fused kernels for CPUs.
    Cpu,
    /// Fused kernels for accelerators. On the CPU device they run in the emulator, which needs the feature `emulated`.
    Gpu,
    /// Compositions of candle's operations, for any device. Devices without kernels use them, and the tests compare the
    /// kernels with them.
    Reference,
}

/// The choice of [`Backend::make_default`].
static DEFAULT: OnceLock<Backend> = OnceLock::new();

thread_local! {
    /// The choice of [`Backend::with`].
    static CHOSEN: Cell<Option<Backend>> = const { Cell::new(None) };
}

/// Restores the previous choice, even if the scope unwinds.
struct Restore(Option<Backend>);

impl Drop for Restore {
    fn drop(&mut self) {
        CHOSEN.set(self.0);
    }
}

impl Backend {
    /// Returns the backend that runs ops on tensors of `device`.
    #[must_use]
    pub fn of(device: &Device) -> Self {
        match device {
            Device::Cpu => {
                let chosen = CHOSEN.get().or_else(|| DEFAULT.get().copied());
                chosen.unwrap_or(Self::Cpu)
            }
            Device::Cuda(_) if cfg!(feature = "cuda") => Self::Gpu,
            Device::Cuda(_) | Device::Metal(_) => Self::Reference,
        }
    }

    /// Makes `self` the backend of the CPU device in the whole process. The first call decides.
    pub fn make_default(self) {
        DEFAULT.get_or_init(|| self);
    }

    /// Runs `f` with `self` as the backend of the CPU device, for tests and comparisons.
    ///
    /// The choice applies to ops that this thread calls inside of `f`. The backward pass of an op always runs on the
    /// backend of its forward pass.
    ///
    /// ```
    /// # use candle_core::{Device, Tensor};
    /// # use cropmae_kernels::{Backend, Dropout, dropout};
    /// # fn main() -> candle_core::Result<()> {
    /// let x = Tensor::ones((2, 8), candle_core::DType::F32, &Device::Cpu)?;
    /// let mask = || dropout(&x, Dropout { p: 0.5, key: 1 })?.to_vec2::<f32>();
    /// assert_eq!(Backend::Reference.with(mask)?, mask()?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn with<R>(self, f: impl FnOnce() -> R) -> R {
        let _restore = Restore(CHOSEN.replace(Some(self)));
        f()
    }

    /// Returns `true` if this backend can compute matrix products with operands of type `compute`.
    ///
    /// The reference computes bfloat16 products by rounding the operands, which is not faster than f32.
    #[must_use]
    pub fn supports(self, compute: Compute) -> bool {
        match (self, compute) {
            (_, Compute::F32) | (Self::Reference | Self::Gpu, Compute::Bf16) => true,
            (Self::Cpu, Compute::Bf16) => cpu::has_bf16(),
        }
    }

    /// Returns `true` if blocks can keep only their input and compute the rest again in the backward pass.
    #[must_use]
    pub fn recomputes(self) -> bool {
        match self {
            Self::Cpu | Self::Gpu => true,
            Self::Reference => false,
        }
    }

    /// Returns `true` if there are kernels for [`crate::propagate`].
    ///
    /// The composition on the other backends stores an affinity matrix and is only a definition. The evaluation has a
    /// faster search for the CPU.
    #[must_use]
    pub fn propagates(self) -> bool {
        match self {
            Self::Gpu => true,
            Self::Cpu | Self::Reference => false,
        }
    }
}

impl Compute {
    /// Returns the type that ops on `device` use if `self` is requested: [`Compute::F32`] if the device has no bfloat16.
    ///
    /// Ops make this choice themselves. Programs can call this method to inform the user.
    #[must_use]
    pub fn available_on(self, device: &Device) -> Self {
        if Backend::of(device).supports(self) {
            self
        } else {
            Self::F32
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_ends_with_its_scope() {
        let of = || Backend::of(&Device::Cpu);
        assert_eq!(of(), Backend::Cpu);
        Backend::Reference.with(|| {
            assert_eq!(of(), Backend::Reference);
            assert_eq!(Backend::Cpu.with(of), Backend::Cpu);
            assert_eq!(of(), Backend::Reference);
        });
        let unwound = std::panic::catch_unwind(|| Backend::Reference.with(|| panic!("on purpose")));
        assert!(unwound.is_err());
        assert_eq!(of(), Backend::Cpu);
    }
}
