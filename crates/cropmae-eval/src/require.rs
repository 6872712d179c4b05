//! Checks of settings for all protocols.

use crate::error::EvalError;

/// A key of a protocol, its value, `true` if the value is valid, and a description of the valid values.
pub(crate) type Check = (&'static str, String, bool, &'static str);

/// Checks all values.
///
/// # Errors
/// Returns [`EvalError::Protocol`] with the key of the first invalid value.
pub(crate) fn require_all(checks: impl IntoIterator<Item = Check>) -> Result<(), EvalError> {
    match checks.into_iter().find(|(_, _, holds, _)| !holds) {
        None => Ok(()),
        Some((field, found, _, expected)) => Err(EvalError::Protocol {
            field,
            found,
            expected,
        }),
    }
}
