//! What can go wrong with a model, its inputs and its weight files.

use std::path::PathBuf;

/// `Result` with this crate's error.
pub type Result<T, E = ModelError> = std::result::Result<T, E>;

/// A problem with a model, its inputs or a weight file, worded so that the user can mend it.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A tensor operation failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    /// A file cannot be read or written.
    #[error("{path}: cannot {action}: {source}", path = path.display())]
    Io {
        /// The weight file.
        path: PathBuf,
        /// `read` or `write`.
        action: &'static str,
        /// Why the system refused.
        source: std::io::Error,
    },
    /// The file is cut short, was changed since it was written, or is no safetensors file.
    #[error("{path}: not an intact safetensors file ({message}): copy it again", path = path.display())]
    Damaged {
        /// The weight file.
        path: PathBuf,
        /// What the parser stumbled on.
        message: String,
    },
    /// A PyTorch checkpoint that cannot be read.
    #[error("{path}: no checkpoint of torch.save that can be read: {problem}", path = path.display())]
    Pth {
        /// The checkpoint.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A PyTorch checkpoint in the format before the zip archives.
    #[error("{path}: in the format of torch.save before PyTorch 1.6: convert it in Python with torch.save(torch.load(IN, map_location=\"cpu\", weights_only=True), OUT)", path = path.display())]
    Legacy {
        /// The checkpoint.
        path: PathBuf,
    },
    /// A file whose weights are not recognised, or leave something open.
    #[error("{path}: {problem}", path = path.display())]
    Foreign {
        /// The weight file.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A vision transformer that is not a plain one.
    #[error("{path}: tensor {tensor}: the model has {variant}: only plain vision transformers can be read", path = path.display())]
    Variant {
        /// The weight file.
        path: PathBuf,
        /// A tensor that shows it.
        tensor: String,
        /// What it has beyond a plain one.
        variant: &'static str,
    },
    /// The file to be written is there already.
    #[error("{path}: exists already: name another, or remove it", path = path.display())]
    Exists {
        /// The file or folder.
        path: PathBuf,
    },
    /// The file does not say which model it holds.
    #[error("{path}: metadata key \"cropmae\": {message}: expected the model's config as this crate writes it", path = path.display())]
    Metadata {
        /// The weight file.
        path: PathBuf,
        /// What was found.
        message: String,
    },
    /// A tensor has another shape than the model.
    #[error("{path}: tensor {tensor}: found shape {found:?}, expected {expected:?}: the weights are of another architecture", path = path.display())]
    Shape {
        /// The weight file.
        path: PathBuf,
        /// Name of the tensor.
        tensor: String,
        /// Shape in the file.
        found: Vec<usize>,
        /// Shape in the model.
        expected: Vec<usize>,
    },
    /// A tensor is not of 32-bit floats.
    #[error("{path}: tensor {tensor}: found {found}, expected F32: convert the file", path = path.display())]
    Dtype {
        /// The weight file.
        path: PathBuf,
        /// Name of the tensor.
        tensor: String,
        /// Type in the file.
        found: String,
    },
    /// The model has tensors that the file lacks.
    #[error("{path}: tensor {tensor} is missing (and {others} more): the weights are of another architecture", path = path.display())]
    Missing {
        /// The weight file.
        path: PathBuf,
        /// The first missing name in alphabetical order.
        tensor: String,
        /// How many more are missing.
        others: usize,
    },
    /// The file has tensors that the model lacks.
    #[error("{path}: tensor {tensor} is unknown to the model (and {others} more): the weights are of another architecture", path = path.display())]
    Unexpected {
        /// The weight file.
        path: PathBuf,
        /// The first unknown name in alphabetical order.
        tensor: String,
        /// How many more are unknown.
        others: usize,
    },
    /// A config value that no model can be built from.
    #[error("model.{field} = {found}: expected {expected}")]
    Config {
        /// Key in the `[model]` table.
        field: &'static str,
        /// The offending value.
        found: usize,
        /// What would be accepted.
        expected: String,
    },
    /// An input of the wrong shape.
    #[error("{what}: found shape {found:?}, expected {expected}")]
    Input {
        /// Name of the input.
        what: &'static str,
        /// Its shape.
        found: Vec<usize>,
        /// What would be accepted.
        expected: String,
    },
    /// The class token of an encoder that has none.
    #[error("{encoder} has no class token: use the mean of its patches (mean-patch)")]
    NoClassToken {
        /// What the encoder calls itself.
        encoder: String,
    },
    /// Wrong number of views for the method.
    #[error("views: found {found}, expected {expected} for this method")]
    Views {
        /// Views given.
        found: usize,
        /// Views the method works on.
        expected: usize,
    },
    /// A mask that is no permutation, or that leaves nothing to reconstruct.
    #[error("ids_shuffle: {found}: expected {expected}")]
    Mask {
        /// What was found.
        found: String,
        /// What would be accepted.
        expected: String,
    },
}
