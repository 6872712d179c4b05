//! The benchmarks, one file each, with their layouts, checks and scores.
//!
//! A video benchmark implements [`Benchmark`] and is listed in [`VIDEO`]. [`classes`] scores images, which have no
//! frames to propagate labels through.

pub mod classes;
pub mod davis;
pub mod jhmdb;
mod masks;
pub mod vip;

pub use masks::MaskLayout;

use crate::benchmark::Benchmark;

/// The video benchmarks, in their order in tables.
pub static VIDEO: [&dyn Benchmark; 3] = [&davis::Davis, &vip::Vip, &jhmdb::Jhmdb];

/// Returns the video benchmark with the given name.
pub fn find(name: &str) -> Option<&'static dyn Benchmark> {
    VIDEO.into_iter().find(|benchmark| benchmark.name() == name)
}
