//! `--dtype`.

use candle_core::Device;
use clap::{Args, ValueEnum};
use cropmae_model::{Compute, Execution};

/// In which number type an encoder or a model computes.
#[derive(Debug, Args)]
pub struct DtypeArgs {
    /// Type of the operands of the network's matrix products; all else is single precision
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
    /// What the kernels are asked for.
    pub fn compute(&self) -> Compute {
        match self.dtype {
            DtypeArg::Fp32 => Compute::F32,
            DtypeArg::Bf16 => Compute::Bf16,
        }
    }

    /// The same for a whole model.
    pub fn execution(&self) -> Execution {
        Execution {
            compute: self.compute(),
            ..Execution::default()
        }
    }

    /// Value of the config's `train.compute`.
    pub fn config_name(&self) -> &'static str {
        match self.dtype {
            DtypeArg::Fp32 => "f32",
            DtypeArg::Bf16 => "bf16",
        }
    }

    /// What runs on `device`, as the flag's value.
    pub fn name_on(&self, device: &Device) -> &'static str {
        dtype_name(self.compute().available_on(device))
    }
}

/// The value of `--dtype` that stands for `compute`.
pub fn dtype_name(compute: Compute) -> &'static str {
    match compute {
        Compute::F32 => "fp32",
        Compute::Bf16 => "bf16",
    }
}
