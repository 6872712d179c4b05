//! Typed experiment files of CropMAE in Rust.
//!
//! An [`Experiment`] holds all settings of a run: the method, the data, the model, the optimizer and the schedule. It
//! is read from a TOML file or from one of the embedded [`presets`], changed by `key=value`
//! [overrides](Experiment::load) and validated as a whole. Every run folder holds it as JSON with its
//! [fingerprint](Experiment::fingerprint). This crate does not work with tensors or pixels.

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
