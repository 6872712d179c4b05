//! Real numeric arrays in MATLAB 5 files: what JHMDB's `joint_positions.mat` needs, read and written.
//!
//! Written from the format's public description (MAT-File Format, Level 5): a header of 128 bytes, then tagged
//! elements. An array is one element that holds its flags, dimensions, name and values, each padded to 8 bytes.
//!
//! The crate `matfile` (0.5) does not fit: it cannot write, unfolds compressed elements of any size, prints to standard
//! output, and neither its errors nor its type for arrays say what was found in place of what was asked for.

mod read;
mod write;

pub use read::read;
pub use write::{to_bytes, write};

/// A numeric array, first dimension fastest.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Length of each dimension.
    pub dims: Vec<usize>,
    /// Values, column-major.
    pub values: Vec<f64>,
}

/// Bytes in front of the first element.
const HEADER: usize = 128;

/// Types of elements that are not plain numbers, or that the writer uses.
mod kind {
    pub const INT8: u32 = 1;
    pub const INT32: u32 = 5;
    pub const UINT32: u32 = 6;
    pub const DOUBLE: u32 = 9;
    pub const MATRIX: u32 = 14;
    pub const COMPRESSED: u32 = 15;
}
