//! The checks that the tables of the config share.

use crate::error::ConfigError;

/// Fails unless `holds`: the value `found` of the key `field` is not `expected`.
pub(crate) fn require(
    holds: bool,
    field: &'static str,
    found: impl ToString,
    expected: impl Into<String>,
) -> Result<(), ConfigError> {
    if holds {
        return Ok(());
    }
    Err(ConfigError::Range {
        field,
        found: found.to_string(),
        expected: expected.into(),
    })
}

/// The value must be at least 1.
pub(crate) fn positive(field: &'static str, value: usize) -> Result<(), ConfigError> {
    require(value > 0, field, value, "at least 1")
}

/// The value must be finite and not below 0.
pub(crate) fn non_negative(field: &'static str, value: f64) -> Result<(), ConfigError> {
    require(value >= 0.0 && value.is_finite(), field, value, "0 or more")
}

/// The value must be in 0..=1.
pub(crate) fn unit(field: &'static str, value: f64) -> Result<(), ConfigError> {
    require((0.0..=1.0).contains(&value), field, value, "0 to 1")
}
