//! The errors of an evaluation. Each message says what the user can fix.

use std::path::PathBuf;

use crate::size::Size;

/// A problem with a data set, a video, a protocol or an encoder.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// A file or folder of the official layout is missing.
    #[error("{path}: not found; expected {expected}")]
    Layout {
        /// The missing file or folder.
        path: PathBuf,
        /// A description of what was expected at this path.
        expected: String,
    },
    /// A file or folder cannot be read.
    #[error("{path}: cannot read: {source}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// A file or folder cannot be written.
    #[error("{path}: cannot write: {source}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// A frame or a mask is not a valid image or has an unsupported format.
    #[error("{path}: not a usable image: {message}")]
    Image {
        /// The image.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// An image of a video does not have the size of the other images.
    #[error("{path}: {found} pixels (height x width), expected {expected} as in {reference}")]
    Size {
        /// The image with the wrong size.
        path: PathBuf,
        /// The size of the image.
        found: Size,
        /// The size it should have.
        expected: Size,
        /// The image that sets the size.
        reference: PathBuf,
    },
    /// A color mask contains a color that belongs to no object.
    #[error(
        "{path}: color (r, g, b) = ({}, {}, {}) is not in the DAVIS palette; expected a palette PNG, \
         a gray PNG of ids, or an RGB PNG in DAVIS colors",
        .color[0], .color[1], .color[2]
    )]
    UnknownColor {
        /// The mask.
        path: PathBuf,
        /// The first such color, (r, g, b).
        color: [u8; 3],
    },
    /// A mask contains an id that is undefined in its benchmark.
    #[error("{path}: id {found}: expected {expected}")]
    LabelId {
        /// The mask.
        path: PathBuf,
        /// The id.
        found: u8,
        /// A description of the valid ids.
        expected: &'static str,
    },
    /// A video has too few frames to be scored.
    #[error("{path}: {found} frame(s), expected at least {needed}: {reason}")]
    TooShort {
        /// The folder of the video.
        path: PathBuf,
        /// The number of frames found.
        found: usize,
        /// The number of frames needed.
        needed: usize,
        /// The reason why fewer frames are not enough.
        reason: &'static str,
    },
    /// A MATLAB file is damaged or does not contain what was expected.
    #[error("{path}: not a usable MATLAB 5 file: {message}")]
    Mat {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A value of the protocol is out of range.
    #[error("{field} = {found}: expected {expected}")]
    Protocol {
        /// The key of the protocol.
        field: &'static str,
        /// The value.
        found: String,
        /// A description of the valid values.
        expected: &'static str,
    },
    /// A requested sequence is not in the list of the data set.
    #[error("no sequence {name:?} in {list}: expected one of {known}")]
    UnknownSequence {
        /// The requested name.
        name: String,
        /// The list that was searched.
        list: PathBuf,
        /// The names in the list, separated by commas.
        known: String,
    },
    /// The encoder failed on a batch of frames.
    #[error("{path}: the encoder failed on the batch that starts with this frame: {message}")]
    Encoder {
        /// The first frame of the batch.
        path: PathBuf,
        /// The error of the encoder.
        message: String,
    },
    /// The encoder returned unusable features.
    #[error("{path}: unusable features: {message}")]
    Features {
        /// The frame.
        path: PathBuf,
        /// The difference between what was expected and what was found.
        message: String,
    },
    /// A computation on features failed.
    #[error("{what}: {message}")]
    Numerics {
        /// The computation.
        what: &'static str,
        /// The error of the tensor library.
        message: String,
    },
    /// Every sequence failed.
    #[error("none of {listed} sequence(s) could be evaluated; {sequence}: {source}")]
    NothingEvaluated {
        /// The number of sequences that were tried.
        listed: usize,
        /// The name of the first one.
        sequence: String,
        /// The error of the first one.
        source: Box<EvalError>,
    },
}
