//! One file per command, and what they share.

pub mod bench;
pub mod check;
mod classes;
pub mod demo;
pub mod eval;
mod evaluations;
mod images;
mod overlays;
pub mod pack;
mod page;
mod pictures;
pub mod pretrain;
pub mod preview;
mod runs;
mod scoreboard;
mod sweep;
mod watch;
pub mod weights;
