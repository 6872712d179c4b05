//! The replay of `tests/golden_training`, and runs. This module marks the names of its tests.

#[path = "../golden_training/replay.rs"]
mod replay;
mod unread;
