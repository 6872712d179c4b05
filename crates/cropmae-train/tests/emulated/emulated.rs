//! The replay of `tests/golden_training`. This module marks the names of its tests.

#[path = "../golden_training/replay.rs"]
mod replay;
