//! Evaluation of frozen features: label propagation on DAVIS-2017, VIP and JHMDB with their official metrics, and
//! classification of images.
//!
//! [`evaluate`] reads a data set in its official layout, sends its frames through a
//! [`FeatureExtractor`](cropmae_model::FeatureExtractor), propagates the labels of frame 0 and scores the result. A
//! [`Benchmark`] describes the data set, and [`benchmarks`] contains all of them.
//!
//! The parts can be used separately and work on plain slices: [`propagation`] (the search for sources), [`labels`] and
//! [`pose`] (labels to and from the feature grid), [`metrics`], and [`run`] (from the files of frames to scores). The
//! formats of the data sets can be read and written: [`palette`], [`joints`], [`mat`] and the layouts in
//! [`benchmarks`].
//!
//! ```no_run
//! use std::path::Path;
//!
//! use candle_core::Device;
//! use cropmae_eval::{Benchmark, Davis, EvalOptions, evaluate};
//! use cropmae_model::VitFeatures;
//!
//! let encoder = VitFeatures::load(Path::new("encoder.safetensors"), &Device::Cpu)?;
//! let protocol = Davis.protocol();
//! let options = EvalOptions { out: Some("results".into()), ..EvalOptions::default() };
//! let report = evaluate(&Davis, Path::new("DAVIS"), &encoder, &protocol, &options, &mut ())?;
//! for measure in report.scores.headline() {
//!     println!("{}: {:.1} %", measure.name, measure.in_percent()); // J&F-Mean: ..
//! }
//! assert!(report.failures.is_empty(), "a score over only some of the sequences is not comparable");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod ahead;
mod benchmark;
pub mod benchmarks;
mod catalog;
mod check;
mod error;
mod evaluate;
mod files;
mod findings;
pub mod frames;
pub mod joints;
pub mod labels;
pub mod mat;
pub mod metrics;
mod nan;
mod observer;
mod options;
pub mod palette;
pub mod pose;
pub mod propagation;
mod report;
mod require;
mod resize;
pub mod run;
mod sequence;
mod size;

#[cfg(test)]
mod golden;

pub use benchmark::{Benchmark, Official, SequenceList};
pub use benchmarks::classes::{
    ClassesReport, LinearScore, Measures, NeighborsScore, evaluate_classes,
};
pub use benchmarks::davis::{Davis, DavisObject, DavisScores, DavisSequence};
pub use benchmarks::jhmdb::{Jhmdb, JhmdbClip, JhmdbScores, PckAt};
pub use benchmarks::vip::{Vip, VipScores, VipVideo};
pub use check::{DataCheck, check};
pub use error::EvalError;
pub use evaluate::{evaluate, sweep};
pub use findings::Findings;
pub use observer::{FrameDone, Observer, Prediction, SequenceInfo};
pub use options::EvalOptions;
pub use palette::Palette;
pub use report::{Failure, Measure, Scores, TOOLKIT_DECIMALS, Table, TaskReport, Unit};
pub use sequence::SequenceFiles;
pub use size::Size;
