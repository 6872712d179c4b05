//! Optimizer, schedules, training loop, checkpoints and run records of CropMAE in Rust.
//!
//! [`pretrain`](fn@pretrain) is the training loop. It takes batches from a [`BatchSource`], passes them to a
//! [`Trainer`], reports progress to an [`Observer`], and saves its state in a [`RunFolder`]. Calling it again continues
//! a run that was stopped, and the results are the same, bit for bit, as without the stop.

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
mod unread;

pub use batch_tensors::BatchTensors;
pub use checkpoint::{Checkpoint, Progress};
pub use error::TrainError;
pub use estimate::{
    Estimate, PeakMemory, encoder_flops, estimate, random_batch, seconds_per_update,
};
pub use memory::peak_rss_bytes;
pub use observer::{HookError, Observer, Plan, StepStats};
pub use optimizer::{AdamW, GroupSize, SummedGradient};
pub use pretrain::{Outcome, PretrainOptions, pretrain};
pub use record::{RunFolder, Session, SessionEnd, sessions};
pub use schedule::Schedule;
pub use source::{BatchSource, Batches, DatasetSource, RepeatFirstBatch};
pub use state::{Cursor, RunIdentity, RunState};
pub use trainer::{Step, Trainer};
pub use unread::Fault;
