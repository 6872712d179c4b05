//! Whole runs, as the program `cropmae` carries them out, for programs of your own.
//!
//! | to do | item |
//! |---|---|
//! | train, with scores and pictures on the way and a page at the end | [`Job`] |
//! | score several encoders on several benchmarks | [`Suite`], [`Contestant`], [`Scoreboard`] |
//! | score encoders on images by class | [`classify`] |
//! | compare settings of an evaluation | [`sweep`] |
//! | read the scores of a run folder | [`TrainingScores::read`] |
//! | write the page of a run folder | [`write_page`] |
//!
//! Nothing here prints. A [`Watch`] is told what an evaluation does, a [`JobWatch`] what a training run does.
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
