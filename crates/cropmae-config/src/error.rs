//! The error type of this crate.

use std::path::PathBuf;

/// A problem with an experiment file or an override. The message says how to fix it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: cannot read the config: {source}")]
    Read {
        /// The path of the file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The file is not valid TOML.
    #[error("{origin}, line {line}: not valid TOML: {message}")]
    Syntax {
        /// The file path or preset name.
        origin: String,
        /// The line number, counted from 1.
        line: usize,
        /// The parser's message, on one line.
        message: String,
    },
    /// A key is unknown, missing or of the wrong type.
    #[error("{origin}: {field}: {message}")]
    Field {
        /// The file path or preset name.
        origin: String,
        /// The dotted path of the key.
        field: String,
        /// What was found and what was expected.
        message: String,
    },
    /// A value has the right type but is out of range or contradicts another value.
    #[error("{field} = {found}: expected {expected}")]
    Range {
        /// The dotted path of the key.
        field: &'static str,
        /// The invalid value.
        found: String,
        /// The accepted values.
        expected: String,
    },
    /// An override is not of the form `section.key=value`.
    #[error("--set {text}: expected section.key=value, for example train.batch_size=16")]
    Override {
        /// The override as given.
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
    /// No preset has the given name.
    #[error("unknown preset {name:?}: expected one of {known}")]
    UnknownPreset {
        /// The name as given.
        name: String,
        /// The known names, separated by commas.
        known: String,
    },
}
