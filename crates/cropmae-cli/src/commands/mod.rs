//! A folder for each command, with its options in `args`.

pub mod bench;
pub mod data;
pub mod demo;
pub mod eval;
pub mod pretrain;
pub mod weights;
