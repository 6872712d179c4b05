//! The modules of `tests/golden` that run kernels. This module marks the names of their tests.

#[path = "../golden/mae.rs"]
mod mae;
#[path = "../golden/model.rs"]
mod model;
