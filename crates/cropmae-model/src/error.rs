//! The error type of this crate.

use std::path::PathBuf;

/// A `Result` whose error is [`ModelError`] by default.
pub type Result<T, E = ModelError> = std::result::Result<T, E>;

/// A problem with a model, its inputs or a weight file. The message says how to fix it where that is known.
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
        /// The failed action: `read` or `write`.
        action: &'static str,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The file is truncated, has changed since it was written, or is not a safetensors file.
    #[error("{path}: not an intact safetensors file ({message}): copy it again", path = path.display())]
    Damaged {
        /// The weight file.
        path: PathBuf,
        /// What is wrong with the file.
        message: String,
    },
    /// A PyTorch checkpoint cannot be read.
    #[error("{path}: not a readable torch.save checkpoint: {problem}", path = path.display())]
    Pth {
        /// The checkpoint.
        path: PathBuf,
        /// What is wrong with the checkpoint.
        problem: String,
    },
    /// A PyTorch checkpoint has the format from before zip archives.
    #[error("{path}: the file has the format of torch.save before PyTorch 1.6: convert it in Python with torch.save(torch.load(IN, map_location=\"cpu\", weights_only=True), OUT)", path = path.display())]
    Legacy {
        /// The checkpoint.
        path: PathBuf,
    },
    /// The weights of a file are not recognized or are ambiguous.
    #[error("{path}: {problem}", path = path.display())]
    Foreign {
        /// The weight file.
        path: PathBuf,
        /// What is wrong with the file and how to fix it.
        problem: String,
    },
    /// A file holds a variant of a vision transformer that is not supported.
    #[error("{path}: tensor {tensor}: the model has {variant}: only plain vision transformers can be read", path = path.display())]
    Variant {
        /// The weight file.
        path: PathBuf,
        /// A tensor of the variant.
        tensor: String,
        /// What the variant has that a plain vision transformer does not have.
        variant: &'static str,
    },
    /// The file or folder to write already exists.
    #[error("{path}: already exists: choose another path or remove it", path = path.display())]
    Exists {
        /// The file or folder.
        path: PathBuf,
    },
    /// The metadata of the file do not describe a model.
    #[error("{path}: metadata key \"cropmae\": {message}: expected the model's config as this crate writes it", path = path.display())]
    Metadata {
        /// The weight file.
        path: PathBuf,
        /// What is wrong with the metadata.
        message: String,
    },
    /// A tensor has another shape than in the model.
    #[error("{path}: tensor {tensor}: found shape {found:?}, expected {expected:?}: the weights are of another architecture", path = path.display())]
    Shape {
        /// The weight file.
        path: PathBuf,
        /// The name of the tensor.
        tensor: String,
        /// The shape in the file.
        found: Vec<usize>,
        /// The shape in the model.
        expected: Vec<usize>,
    },
    /// A tensor does not hold 32-bit floats.
    #[error("{path}: tensor {tensor}: found {found}, expected F32: convert the file", path = path.display())]
    Dtype {
        /// The weight file.
        path: PathBuf,
        /// The name of the tensor.
        tensor: String,
        /// The type in the file.
        found: String,
    },
    /// The model has tensors that the file lacks.
    #[error("{path}: tensor {tensor} is missing (and {others} more): the weights are of another architecture", path = path.display())]
    Missing {
        /// The weight file.
        path: PathBuf,
        /// The first missing name in alphabetical order.
        tensor: String,
        /// The number of other missing tensors.
        others: usize,
    },
    /// The file has tensors that the model lacks.
    #[error("{path}: tensor {tensor} is unknown to the model (and {others} more): the weights are of another architecture", path = path.display())]
    Unexpected {
        /// The weight file.
        path: PathBuf,
        /// The first unknown name in alphabetical order.
        tensor: String,
        /// The number of other unknown tensors.
        others: usize,
    },
    /// A config value is not valid.
    #[error("model.{field} = {found}: expected {expected}")]
    Config {
        /// The key in the `[model]` table.
        field: &'static str,
        /// The invalid value.
        found: usize,
        /// The accepted values.
        expected: String,
    },
    /// An input has the wrong shape.
    #[error("{what}: found shape {found:?}, expected {expected}")]
    Input {
        /// The name of the input.
        what: &'static str,
        /// The shape of the input.
        found: Vec<usize>,
        /// The accepted shape.
        expected: String,
    },
    /// A class token is needed, but the encoder has none.
    #[error("{encoder} has no class token: use the mean of its patches (mean-patch)")]
    NoClassToken {
        /// The name of the encoder.
        encoder: String,
    },
    /// The number of views does not fit the method.
    #[error("views: found {found}, expected {expected} for this method")]
    Views {
        /// The number of given views.
        found: usize,
        /// The number of views of the method.
        expected: usize,
    },
    /// The indices of a mask are not permutations, or the mask leaves nothing to reconstruct.
    #[error("ids_shuffle: {found}: expected {expected}")]
    Mask {
        /// The invalid indices or their number.
        found: String,
        /// The accepted indices or their number.
        expected: String,
    },
}
