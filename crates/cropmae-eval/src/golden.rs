//! Golden tests, which compare with the numbers of the reference implementation (`fixtures/golden/README.md`).
//!
//! The committed cases always run. Those in `CROPMAE_SHARED` run if the folder exists.

#[cfg(feature = "emulated")]
mod emulated;
mod fixtures;
mod frames;
mod labels;
mod metrics;
mod pose;
mod propagation;
mod rounding;
mod search;
