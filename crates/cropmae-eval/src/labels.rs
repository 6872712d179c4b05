//! Label maps: masks, sets of classes, soft labels on the feature grid, and their conversion back to pixels.
//!
//! As in the reference, the mask of frame 0 is resized to the encoder's input by nearest neighbor. Its distinct colors
//! are the classes, in the order of (blue, green, red), and the one-hot maps are resized bilinearly to the grid.
//! Predictions are resized bilinearly to the encoder's input, where the largest value wins (the first class if several
//! are equal), and then by nearest neighbor to the size of the annotation. An id that is not in frame 0, or that
//! disappears when frame 0 is resized, is therefore never predicted.

mod map;
mod mask;
mod set;

pub use map::LabelMap;
pub use mask::{Mask, Storage};
pub use set::LabelSet;
#[cfg(test)]
pub(crate) use set::WideLabels;
