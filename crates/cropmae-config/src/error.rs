//! What can be wrong with an experiment file.

use std::path::PathBuf;

/// A problem with an experiment file or an override, worded so that the user can mend it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: cannot read the config: {source}")]
    Read {
        /// The file that was asked for.
        path: PathBuf,
        /// Why the system refused.
        source: std::io::Error,
    },
    /// The file is not valid TOML.
    #[error("{origin}, line {line}: not valid TOML: {message}")]
    Syntax {
        /// File path or preset name.
        origin: String,
        /// One-based line number.
        line: usize,
        /// The parser's own words, on one line.
        message: String,
    },
    /// A key is unknown, missing or of the wrong type.
    #[error("{origin}: {field}: {message}")]
    Field {
        /// File path or preset name.
        origin: String,
        /// Dotted path of the key.
        field: String,
        /// What was found and what was expected.
        message: String,
    },
    /// A value is of the right type but out of range, or contradicts another one.
    #[error("{field} = {found}: expected {expected}")]
    Range {
        /// Dotted path of the key.
        field: &'static str,
        /// The offending value.
        found: String,
        /// What would be accepted.
        expected: String,
    },
    /// An override is not of the form `section.key=value`.
    #[error("--set {text}: expected section.key=value, for example train.batch_size=16")]
    Override {
        /// The override as typed.
        text: String,
    },
    /// Neither a file nor the name of an embedded experiment.
    #[error("{path}: no such file; expected a config file, or one of the embedded {known}")]
    UnknownExperiment {
        /// The file or name as typed.
        path: PathBuf,
        /// The names that exist, separated by commas.
        known: String,
    },
    /// No preset of that name.
    #[error("unknown preset {name:?}: expected one of {known}")]
    UnknownPreset {
        /// The name as typed.
        name: String,
        /// The names that exist, comma separated.
        known: String,
    },
}
