//! What can go wrong in an evaluation, worded so that the user can fix it.

use std::path::PathBuf;

use crate::size::Size;

/// A problem with a data set, a video, a protocol or an encoder.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// A file or folder of the data set is not where the official layout has it.
    #[error("{path}: not found; expected {expected}")]
    Layout {
        /// What was looked for.
        path: PathBuf,
        /// What belongs there.
        expected: String,
    },
    /// The system refused to read a file or folder.
    #[error("{path}: cannot read: {source}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why the system refused.
        source: std::io::Error,
    },
    /// The system refused to write a file or folder.
    #[error("{path}: cannot write: {source}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why the system refused.
        source: std::io::Error,
    },
    /// A frame or a mask is not a valid image, or of a kind that cannot be used.
    #[error("{path}: not a usable image: {message}")]
    Image {
        /// The image.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// An image of a video has another size than the others.
    #[error("{path}: {found} pixels (height x width), expected {expected} as in {reference}")]
    Size {
        /// The odd one.
        path: PathBuf,
        /// Its size.
        found: Size,
        /// The size it should have.
        expected: Size,
        /// The image that sets the size.
        reference: PathBuf,
    },
    /// A color mask uses a color that stands for no object.
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
    /// A mask holds an id that its task has no meaning for.
    #[error("{path}: id {found}: expected {expected}")]
    LabelId {
        /// The mask.
        path: PathBuf,
        /// The offending id.
        found: u8,
        /// What would be accepted.
        expected: &'static str,
    },
    /// A video has too few frames to be scored.
    #[error("{path}: {found} frame(s), expected at least {needed}: {reason}")]
    TooShort {
        /// Folder of the video.
        path: PathBuf,
        /// Frames found.
        found: usize,
        /// Frames needed.
        needed: usize,
        /// What the metric does with them.
        reason: &'static str,
    },
    /// A MATLAB file is damaged or holds something else than expected.
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
        /// Key of the protocol.
        field: &'static str,
        /// The offending value.
        found: String,
        /// What would be accepted.
        expected: &'static str,
    },
    /// A sequence was asked for that the data set does not list.
    #[error("no sequence {name:?} in {list}: expected one of {known}")]
    UnknownSequence {
        /// The name as given.
        name: String,
        /// The list that was searched.
        list: PathBuf,
        /// The names that exist, comma separated.
        known: String,
    },
    /// The encoder failed on a batch of frames.
    #[error("{path}: the encoder failed on the batch that starts with this frame: {message}")]
    Encoder {
        /// First frame of the batch.
        path: PathBuf,
        /// The encoder's own words.
        message: String,
    },
    /// The encoder returned something that cannot be used as features.
    #[error("{path}: unusable features: {message}")]
    Features {
        /// The frame.
        path: PathBuf,
        /// What was found and what was expected.
        message: String,
    },
    /// A computation on features failed.
    #[error("{what}: {message}")]
    Numerics {
        /// What was computed.
        what: &'static str,
        /// The tensor library's own words.
        message: String,
    },
    /// Every sequence failed.
    #[error("none of {listed} sequence(s) could be evaluated; {sequence}: {source}")]
    NothingEvaluated {
        /// Sequences that were tried.
        listed: usize,
        /// The first of them.
        sequence: String,
        /// Why the first one failed.
        source: Box<EvalError>,
    },
}
