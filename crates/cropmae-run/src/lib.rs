//! The runs of the program `cropmae` as a library.
//!
//! | task | item |
//! |---|---|
//! | train, with intermediate scores and pictures and a page at the end | [`Job`] |
//! | score several encoders on several benchmarks | [`Suite`], [`Contestant`], [`Scoreboard`] |
//! | score encoders on images by class | [`classify`] |
//! | compare settings of an evaluation | [`sweep`] |
//! | read the scores of a run folder | [`TrainingScores::read`] |
//! | write the page of a run folder | [`write_page`] |
//!
//! This crate never prints. A [`Watch`] receives the events of evaluations, and a [`JobWatch`] those of a training run.
//!
//! ```no_run
//! use candle_core::Device;
//! use cropmae_config::{ModelConfig, Seed};
//! use cropmae_eval::{Benchmark, Davis};
//! use cropmae_model::Execution;
//! use cropmae_run::{Contestant, PlannedEvaluation, Suite};
//!
//! let suite = Suite {
//!     evaluations: vec![PlannedEvaluation::new(&Davis, "DAVIS".into())],
//!     out: "scores".into(),
//!     ..Suite::default()
//! };
//! let model = ModelConfig::preset("vits16")?;
//! let contestants = [
//!     Contestant::checkpoint("mine", "run/last.safetensors".as_ref(), Execution::default(), &Device::Cpu)?,
//!     Contestant::random("untrained", &model, Seed(0), Execution::default(), &Device::Cpu)?,
//! ];
//! let board = suite.run(&contestants, &mut ())?;
//! println!("{}", board.render());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod classify;
mod contestant;
mod error;
mod job;
mod json_lines;

mod overlays;
mod page;
mod planned;
mod reconstructions;
mod score;
mod scoreboard;
mod suite;
mod sweep;
mod training_scores;
pub mod units;
mod watch;

pub use classify::classify;
pub use contestant::{Contestant, named_apart};
pub use error::RunError;
pub use job::{Finished, Job};
pub use page::write_page;
pub use planned::PlannedEvaluation;
pub use reconstructions::{Reconstructions, newest_picture, pictures_folder, removed_patches};
pub use score::Score;
pub use scoreboard::{Report, Scoreboard};
pub use suite::Suite;
pub use sweep::{Axis, AxisKey, Sweep, sweep};
pub use training_scores::TrainingScores;
pub use watch::{JobWatch, Watch};
