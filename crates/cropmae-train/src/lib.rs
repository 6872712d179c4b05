//! Optimizer, schedules, training loop, checkpoints and run records of CropMAE in Rust.
//!
//! [`pretrain`](fn@pretrain) is the loop. It is fed by a [`BatchSource`], does its arithmetic through a [`Trainer`], tells
//! an [`Observer`] how it goes, and keeps its [`RunFolder`] such that the same call continues a run that was
//! stopped, bit for bit.

mod batch_tensors;
pub mod checkpoint;
mod clock;
mod ema;
mod error;
mod estimate;
mod memory;
mod observer;
mod optimizer;
mod pretrain;
mod record;
mod schedule;
mod source;
mod state;
mod trainer;

pub use batch_tensors::BatchTensors;
pub use checkpoint::{Checkpoint, Progress};
pub use error::TrainError;
pub use estimate::{Estimate, PeakMemory, encoder_flops, estimate, random_batch};
pub use memory::peak_rss_bytes;
pub use observer::{HookError, Observer, Plan, StepStats};
pub use optimizer::{AdamW, GroupSize, SummedGradient};
pub use pretrain::{Outcome, PretrainOptions, pretrain};
pub use record::{RunFolder, Session, SessionEnd, sessions};
pub use schedule::Schedule;
pub use source::{BatchSource, Batches, DatasetSource, RepeatFirstBatch};
pub use state::{Cursor, RunIdentity, RunState};
pub use trainer::{Step, Trainer};
