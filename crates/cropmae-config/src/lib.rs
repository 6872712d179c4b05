//! Typed experiment files of CropMAE in Rust.
//!
//! An [`Experiment`] is everything that decides a run: the method, the data recipe, the model, the
//! optimiser and the schedule. It is read from a TOML file (or one of the embedded [`presets`]), changed
//! by `key=value` [overrides](Experiment::load), validated as a whole, and written into every run folder
//! as JSON with its [fingerprint](Experiment::fingerprint). The crate knows no tensors and no pixels.

mod classes;
mod error;
mod experiment;
pub mod imagenet;
mod load;
pub mod presets;
mod protocol;
mod require;
mod seed;
mod validate;

pub use classes::{ClassesProtocol, Pooling};
pub use error::ConfigError;
pub use experiment::{
    About, AugmentConfig, CheckpointConfig, ComputeDtype, DataConfig, EvalConfig, Experiment,
    Interpolation, LossConfig, MaskConfig, Method, ModelConfig, OptimConfig, Sampler, Samples,
    ScenesConfig, ScheduleConfig, TrainConfig, Views,
};
pub use protocol::{FrameSize, Protocol, ProtocolChanges, ProtocolFile};
pub use seed::{Seed, Stream};
