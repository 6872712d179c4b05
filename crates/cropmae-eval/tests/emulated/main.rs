//! Evaluates small generated data sets once more with the kernels of accelerators in the emulator, and compares the
//! results with those of the CPU.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests may unwrap as tests do"
)]

#[path = "../evaluate/dataset.rs"]
mod dataset;
mod emulated;
