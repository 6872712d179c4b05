//! Reads and writes real numeric arrays in MATLAB 5 files, such as `joint_positions.mat` of JHMDB.
//!
//! The implementation follows the public description of the format (MAT-File Format, Level 5). A file has a header of
//! 128 bytes and then tagged elements. An array is one element with its flags, dimensions, name and values, each padded
//! to 8 bytes.
//!
//! The crate `matfile` (0.5) is not suitable: it cannot write, decompresses elements of any size, prints to standard
//! output, and its errors do not say what was found instead of the expected array.

mod read;
mod write;

pub use read::read;
pub use write::{to_bytes, write};

/// A numeric array whose first dimension varies fastest.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// The length of each dimension.
    pub dims: Vec<usize>,
    /// The values in column-major order.
    pub values: Vec<f64>,
}

/// The number of bytes before the first element.
const HEADER: usize = 128;

/// The types of elements that are not plain numbers, or that the writer uses.
mod kind {
    pub const INT8: u32 = 1;
    pub const INT32: u32 = 5;
    pub const UINT32: u32 = 6;
    pub const DOUBLE: u32 = 9;
    pub const MATRIX: u32 = 14;
    pub const COMPRESSED: u32 = 15;
}
