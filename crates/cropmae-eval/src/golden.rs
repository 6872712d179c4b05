//! Golden tests: the numbers of the reference implementation, as `fixtures/golden/README.md` describes
//! them. The committed cases always run; those at `CROPMAE_SHARED` run where it is.

mod fixtures;
mod frames;
mod labels;
mod metrics;
mod pose;
mod propagation;
mod rounding;
mod search;
