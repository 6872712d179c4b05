//! Tests of whole runs of a tiny model on noise.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod averages;
mod bytes;
mod checkpoints;
mod learning;
mod rates;
mod resume;
mod support;
mod undone;
