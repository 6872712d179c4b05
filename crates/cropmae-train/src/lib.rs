//! Optimizer, schedules, training loop, checkpoints and run records of CropMAE in Rust.
