//! The error type of the crate.

use crate::region::Region;

/// The reason why a file or a region of it cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JpegError {
    /// The file does not start like a JPEG.
    #[error("not a JPEG: it does not start with ff d8")]
    NotJpeg,
    /// The file is a kind of JPEG that this crate does not decode. It may be a valid file.
    #[error("{what} is not supported")]
    Unsupported {
        /// The kind, such as "a progressive JPEG".
        what: &'static str,
    },
    /// The file ends inside of its headers, or a segment is shorter than its content.
    #[error("{part} is cut short")]
    CutShort {
        /// The incomplete part.
        part: &'static str,
    },
    /// The headers contradict the standard or themselves.
    #[error("{reason}")]
    InvalidHeader {
        /// A description of the problem.
        reason: &'static str,
    },
    /// The entropy-coded data is damaged or ends early.
    #[error("its data ends or breaks in row {row} of its blocks")]
    BrokenData {
        /// The row of MCUs (groups of blocks, 8 or 16 pixels high), counted from 0.
        row: usize,
    },
    /// The region is empty or not inside of the picture.
    #[error(
        "a region of {} x {} pixels at column {}, row {} is not inside the picture of {width} x {height} pixels",
        region.width, region.height, region.left, region.top
    )]
    OutsidePicture {
        /// The requested region.
        region: Region,
        /// The width of the picture in pixels.
        width: u32,
        /// The height of the picture in pixels.
        height: u32,
    },
    /// The buffer does not have the length of the region's RGB values.
    #[error("a buffer of {found} bytes, but the region has {expected}")]
    BufferLength {
        /// The length of the buffer in bytes.
        found: usize,
        /// The length of the region's RGB values in bytes.
        expected: usize,
    },
}

impl JpegError {
    pub(crate) fn invalid(reason: &'static str) -> Self {
        Self::InvalidHeader { reason }
    }

    pub(crate) fn short(part: &'static str) -> Self {
        Self::CutShort { part }
    }

    pub(crate) fn unsupported(what: &'static str) -> Self {
        Self::Unsupported { what }
    }
}
