//! The option `--dtype`.

use candle_core::Device;
use clap::{Args, ValueEnum};
use cropmae_model::{Compute, Execution};

/// The number type in which an encoder or a model computes.
#[derive(Debug, Args)]
pub struct DtypeArgs {
    /// Number type of the operands of matrix products; all else is in single precision
    #[arg(long, value_enum, default_value_t = DtypeArg::Fp32)]
    dtype: DtypeArg,
}

/// Values of `--dtype`, named as in the PyTorch programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DtypeArg {
    /// Single precision
    #[value(alias = "f32")]
    Fp32,
    /// bfloat16 where the processor has instructions for it, single precision elsewhere
    Bf16,
}

impl DtypeArgs {
    /// Returns the number type to request from the kernels.
    pub fn compute(&self) -> Compute {
        match self.dtype {
            DtypeArg::Fp32 => Compute::F32,
            DtypeArg::Bf16 => Compute::Bf16,
        }
    }

    /// Returns the same number type as a setting of a whole model.
    pub fn execution(&self) -> Execution {
        Execution {
            compute: self.compute(),
            ..Execution::default()
        }
    }

    /// Returns the value of `train.compute` in the config.
    pub fn config_name(&self) -> &'static str {
        match self.dtype {
            DtypeArg::Fp32 => "f32",
            DtypeArg::Bf16 => "bf16",
        }
    }

    /// Returns the value of `--dtype` for the number type that `device` actually uses.
    pub fn name_on(&self, device: &Device) -> &'static str {
        dtype_name(self.compute().available_on(device))
    }
}

/// Returns the value of `--dtype` for `compute`.
pub fn dtype_name(compute: Compute) -> &'static str {
    match compute {
        Compute::F32 => "fp32",
        Compute::Bf16 => "bf16",
    }
}
