//! The commands, each in its own folder, with its options in `args`.

pub mod bench;
pub mod data;
pub mod demo;
pub mod eval;
pub mod pretrain;
pub mod weights;
