//! Every op against plain candle ops in f64: values, all gradients, thread counts, NaN and messages.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod attention;
mod dropout;
mod errors;
mod gradients;
mod layers;
mod loss;
mod optimizer;
mod policy;
mod reference;
mod support;
mod transformer;
