//! The error type of the crate, and the checks that several pictures share.

/// The reason why a picture cannot be made.
///
/// The message names the input, the value found and the value expected.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// Two pictures that belong together have different sizes.
    #[error("{what} is {} x {} pixels: expected {} x {}, the size of the {like}", found.0, found.1, expected.0, expected.1)]
    Size {
        /// The picture whose size is wrong.
        what: &'static str,
        /// Width and height of `what`, in pixels.
        found: (u32, u32),
        /// The picture whose size `what` should have.
        like: &'static str,
        /// Width and height of `like`, in pixels.
        expected: (u32, u32),
    },
    /// The sides of a picture are not multiples of the patch size, or are 0.
    #[error("{what} is {} x {} pixels: expected multiples of the patch size {patch}, at least one patch", size.0, size.1)]
    Patches {
        /// The picture whose size is wrong.
        what: &'static str,
        /// Width and height of the picture, in pixels.
        size: (u32, u32),
        /// Side of a square patch, in pixels.
        patch: u32,
    },
    /// A buffer or a row has the wrong number of items.
    #[error("{what}: found {found}, expected {expected} ({because})")]
    Count {
        /// The items that were counted.
        what: &'static str,
        /// The number of items found.
        found: usize,
        /// The number of items expected.
        expected: usize,
        /// Why this number is expected.
        because: String,
    },
    /// A value is infinite, not a number, or out of range.
    #[error("{what} = {found}: expected {expected}")]
    Value {
        /// The argument, followed by the index of the value if the argument is a buffer.
        what: String,
        /// The value found.
        found: f64,
        /// The values that are accepted.
        expected: String,
    },
    /// The input holds nothing to draw.
    #[error("{what}: nothing to draw: expected at least one {item}")]
    Empty {
        /// The picture or chart that was requested.
        what: String,
        /// The kind of item that it is made of.
        item: &'static str,
    },
    /// A picture could not be encoded.
    #[error("cannot encode the {what}: {source}")]
    Encode {
        /// The kind of picture that was being encoded.
        what: &'static str,
        /// The error of the encoder.
        source: image::ImageError,
    },
}

/// Returns an error unless `found` equals `expected`, the size of the picture called `like`.
pub(crate) fn same_size(
    what: &'static str,
    found: (u32, u32),
    like: &'static str,
    expected: (u32, u32),
) -> Result<(), ReportError> {
    if found == expected {
        Ok(())
    } else {
        Err(ReportError::Size {
            what,
            found,
            like,
            expected,
        })
    }
}

/// Returns an error for the first value that is infinite, not a number or below `least`.
pub(crate) fn all_at_least(least: f32, what: &str, values: &[f32]) -> Result<(), ReportError> {
    match values.iter().position(|&v| !v.is_finite() || v < least) {
        None => Ok(()),
        Some(index) => Err(ReportError::Value {
            what: format!("{what}[{index}]"),
            found: f64::from(values[index]),
            expected: if least == f32::MIN {
                "a finite number".into()
            } else {
                format!("a finite number, at least {least}")
            },
        }),
    }
}
