//! Compiles the kernels by NVRTC, which needs neither CUDA's headers nor its compiler.

use candle_core::cuda_backend::cudarc::nvrtc::{CompileOptions, compile_ptx_with_opts, sys};
use candle_core::{Error, Result, bail};

use crate::compute::Compute;
use crate::gpu::{cache, text};

/// The kernels of a precision as PTX for devices of a compute capability.
pub(super) fn ptx(compute: Compute, (major, minor): (i32, i32)) -> Result<String> {
    let mut options = vec![
        format!("--gpu-architecture=compute_{major}{minor}"),
        "--std=c++17".to_owned(),
    ];
    if compute == Compute::Bf16 {
        if major < 8 {
            bail!("bfloat16 needs a GPU of compute capability 8.0, this one has {major}.{minor}");
        }
        options.push("-DELEM_BF16".to_owned());
    }
    let text = text::cuda();
    let (options_text, version) = (options.join(" "), version()?);
    let inputs = [text.as_str(), &options_text, &version];
    cache::cached(cache::folder().as_deref(), &inputs, || {
        let options = CompileOptions {
            options,
            ..Default::default()
        };
        let ptx = compile_ptx_with_opts(&text, options).map_err(Error::wrap)?;
        Ok(ptx.to_src())
    })
}

/// The version of NVRTC.
fn version() -> Result<String> {
    let (mut major, mut minor) = (0, 0);
    // SAFETY: both pointers are valid for the call.
    let outcome = unsafe { sys::nvrtcVersion(&raw mut major, &raw mut minor) };
    outcome.result().map_err(Error::wrap)?;
    Ok(format!("NVRTC {major}.{minor}"))
}
