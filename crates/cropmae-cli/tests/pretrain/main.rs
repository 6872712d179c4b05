//! Tests of `cropmae pretrain` that run the program itself.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
#![allow(clippy::print_stdout, reason = "prints where the program was killed")]

mod evaluated;
mod finished;
mod interrupted;
mod refused;
mod support;
