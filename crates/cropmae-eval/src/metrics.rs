//! The measures of the three video benchmarks, on plain masks and points.

pub(crate) mod boundary;
mod confusion;
mod mask;
pub(crate) mod pck;
mod region;
mod statistics;

pub use boundary::{boundary_measure, dilation_radius};
pub use confusion::{Confusion, VIP_CLASSES};
pub use mask::BitMask;
pub use pck::{Pck, THRESHOLDS};
pub use region::jaccard;
pub use statistics::Statistics;
