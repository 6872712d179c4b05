//! The benchmarks, a file each: where their files are, what they must hold, and how predictions are scored.
//!
//! A video benchmark implements [`Benchmark`] and stands in [`VIDEO`]. [`classes`] scores images, which have no frames
//! to propagate labels through.

pub mod classes;
pub mod davis;
pub mod jhmdb;
mod masks;
pub mod vip;

pub use masks::MaskLayout;

use crate::benchmark::Benchmark;

/// The video benchmarks, in the order of tables.
pub static VIDEO: [&dyn Benchmark; 3] = [&davis::Davis, &vip::Vip, &jhmdb::Jhmdb];

/// The video benchmark of a name.
pub fn find(name: &str) -> Option<&'static dyn Benchmark> {
    VIDEO.into_iter().find(|benchmark| benchmark.name() == name)
}
