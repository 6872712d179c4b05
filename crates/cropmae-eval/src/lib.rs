//! Label propagation on DAVIS-2017, VIP and JHMDB with their official metrics.
//!
//! [`evaluate`] reads a data set in its official layout, sends its frames through a
//! [`FeatureExtractor`](cropmae_model::FeatureExtractor), propagates the labels of frame 0 and scores the
//! result. The parts stand on their own and work on plain slices: [`propagation`] (the search for sources),
//! [`labels`] and [`pose`] (labels to and from the feature grid), [`metrics`], [`mat`].
//!
//! ```no_run
//! use std::path::Path;
//!
//! use candle_core::Device;
//! use cropmae_eval::{EvalOptions, Task, evaluate};
//! use cropmae_model::VitFeatures;
//!
//! let encoder = VitFeatures::load(Path::new("encoder.safetensors"), &Device::Cpu)?;
//! let task = Task::Davis;
//! let options = EvalOptions { out: Some("results".into()), ..EvalOptions::default() };
//! let report = evaluate(task, Path::new("DAVIS"), &encoder, &task.protocol(), &options, &mut ())?;
//! for (name, value) in report.scores.headline() {
//!     println!("{name}: {value:.3}"); // J&F-Mean: ..
//! }
//! assert!(report.failures.is_empty(), "a score over some of the sequences compares with nothing");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod benchmarks;
mod catalogue;
mod check;
mod classes;
mod encode;
mod error;
mod evaluate;
mod files;
pub mod frames;
pub mod joints;
pub mod labels;
pub mod mat;
pub mod metrics;
mod nan;
mod observer;
mod official;
pub mod palette;
pub mod pose;
pub mod propagation;
mod protocol;
mod report;
mod resize;
mod scores;
mod size;
mod table;

#[cfg(test)]
mod golden;

pub use check::{DataCheck, check};
pub use classes::{ClassesReport, LinearScore, Measures, NeighboursScore, evaluate_classes};
pub use error::EvalError;
pub use evaluate::{EvalOptions, Task, evaluate, sweep};
pub use observer::{FrameDone, Observer, Prediction, SequenceInfo};
pub use palette::Palette;
pub use protocol::input_size;
pub use report::{Failure, TaskReport};
pub use scores::{
    DavisObject, DavisScores, DavisSequence, JhmdbClip, JhmdbScores, PckAt, Scores, VipScores,
    VipVideo,
};
pub use size::Size;
