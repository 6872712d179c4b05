//! Checks of settings, shared by the protocols.

use crate::error::EvalError;

/// Key of a protocol, the value found, whether it will do, and what will.
pub(crate) type Check = (&'static str, String, bool, &'static str);

/// Refuses the first value that will not do.
///
/// # Errors
/// [`EvalError::Protocol`], naming the key.
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
