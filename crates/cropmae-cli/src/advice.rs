//! What to do about errors of accelerators, whose libraries name them by codes.

/// A code, and what the user can do.
const ADVICE: &[(&str, &str)] = &[
    (
        "CUDA_ERROR_OUT_OF_MEMORY",
        "the GPU's memory is full: make train.batch_size smaller and train.accum_iter larger by the same factor, or set \
         train.recompute_blocks to the depth of the encoder; nvidia-smi shows what other programs use",
    ),
    (
        "CUDA_ERROR_NO_DEVICE",
        "there is no NVIDIA GPU here, or CUDA_VISIBLE_DEVICES hides it; --device cpu works without one",
    ),
    (
        "CUDA_ERROR_INVALID_DEVICE",
        "there is no GPU of this number: nvidia-smi -L lists them, from 0",
    ),
    (
        "CUDA_ERROR_STUB_LIBRARY",
        "this libcuda is a stub to link programs with: install the NVIDIA driver, and take the stubs out of \
         LD_LIBRARY_PATH",
    ),
    ("CUDA_ERROR_UNSUPPORTED_PTX_VERSION", DRIVER_TOO_OLD),
    ("CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", DRIVER_TOO_OLD),
    ("CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE", DRIVER_TOO_OLD),
    (
        "CUDA_ERROR_ECC_UNCORRECTABLE",
        "the GPU's memory is faulty: use another one (--device cuda:N), and have this one checked",
    ),
    (
        "NVRTC_ERROR_BUILTIN_OPERATION_FAILURE",
        "libnvrtc-builtins, a part of the CUDA toolkit, was not found: add its folder to LD_LIBRARY_PATH",
    ),
    (
        "NVRTC_ERROR_INVALID_OPTION",
        "CUDA's run-time compiler (NVRTC) does not know this GPU: update the CUDA toolkit",
    ),
];

const DRIVER_TOO_OLD: &str = "the NVIDIA driver is older than the CUDA libraries of this program: nvidia-smi shows the \
     newest CUDA version that it supports; update the driver, or build with a CUDA toolkit of that version";

/// Returns what to do about an error with this text, if its code is known.
pub fn advice(error: &str) -> Option<&'static str> {
    let known = |code: &str| {
        let mut words = error.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        words.any(|word| word == code)
    };
    ADVICE
        .iter()
        .find(|(code, _)| known(code))
        .map(|(_, advice)| *advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_found_in_messages() {
        let error = "the forward pass: DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")";
        assert!(advice(error).unwrap().contains("train.batch_size"));
        let error = "DriverError(CUDA_ERROR_INVALID_DEVICE, \"invalid device ordinal\")";
        assert!(advice(error).unwrap().contains("nvidia-smi -L"));
        assert_eq!(advice("CUDA_ERROR_INVALID_DEVICE_FUNCTION"), None);
        assert_eq!(advice("no such file"), None);
    }
}
