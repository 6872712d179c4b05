//! The modules of `tests/ops`; this module gives their tests the name of what they run on.

#[path = "../ops/attention.rs"]
mod attention;
#[path = "../ops/dropout.rs"]
mod dropout;
#[path = "../ops/first_layer.rs"]
mod first_layer;
mod fragments;
#[path = "../ops/gradients.rs"]
mod gradients;
mod launches;
#[path = "../ops/layers.rs"]
mod layers;
#[path = "../ops/loss.rs"]
mod loss;
#[path = "../ops/optimizer.rs"]
mod optimizer;
#[path = "../ops/pixels.rs"]
mod pixels;
#[path = "../ops/policy.rs"]
mod policy;
#[path = "../ops/propagate.rs"]
mod propagate;
#[path = "../ops/transformer.rs"]
mod transformer;
