//! Optimizer, schedules, training loop, checkpoints and run records of CropMAE in Rust.
//!
//! [`pretrain`](fn@pretrain) is the loop. It is fed by a [`BatchSource`], does its arithmetic through a [`Trainer`], tells
//! an [`Observer`] how it goes, and keeps its [`RunFolder`] such that the same call continues a run that was
//! stopped, bit for bit.

mod batch_tensors;
pub mod checkpoint;
mod ema;
mod error;
mod estimate;
mod memory;
mod meter;
mod observer;
mod optimizer;
mod pretrain;
mod record;
mod schedule;
mod source;
mod trainer;

pub use batch_tensors::BatchTensors;
pub use checkpoint::{Checkpoint, Cursor, Progress};
pub use error::TrainError;
pub use estimate::{Estimate, PeakMemory, encoder_flops, estimate, random_batch};
pub use memory::peak_rss_bytes;
pub use observer::{EpochEnd, HookError, Observer, Plan, StepStats};
pub use optimizer::{AdamW, GroupSize};
pub use pretrain::{Outcome, PretrainOptions, pretrain};
pub use record::{RunFolder, Session, SessionEnd, sessions};
pub use schedule::Schedule;
pub use source::{BatchSource, Batches, DatasetSource, RepeatFirstBatch};
pub use trainer::{Effect, Fault, MicroStep, Reading, Trainer, Update};
