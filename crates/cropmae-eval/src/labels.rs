//! Label maps: reading masks, label sets, soft labels on the feature grid, and back to pixels.
//!
//! As in the reference, frame 0's mask is resized to the encoder's input by nearest neighbour, its distinct
//! colors are the classes in the order of (blue, green, red), and the one-hot maps are resized bilinearly
//! to the grid. Predictions go back bilinearly, the largest wins (the first class of equals), and reach the
//! annotation's size by nearest neighbour. An id that frame 0 does not show, or that vanishes when frame 0
//! is resized, is therefore never predicted.

mod map;
mod mask;
mod set;

pub use map::LabelMap;
pub use mask::{Mask, Storage};
pub use set::LabelSet;
#[cfg(test)]
pub(crate) use set::WideLabels;
