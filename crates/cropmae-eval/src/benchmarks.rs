//! The benchmarks: where their files are, and how a sequence is scored.

pub mod davis;
pub mod jhmdb;
mod masks;
pub mod vip;

pub use masks::MaskLayout;
