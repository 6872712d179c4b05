//! What can be wrong with the buffers a picture is made from.

/// A picture cannot be made; the message names the input, what it holds and what it should hold.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// Two pictures that belong together have different sizes.
    #[error("{what} is {} x {} pixels: expected {} x {}, the size of the {like}", found.0, found.1, expected.0, expected.1)]
    Size {
        /// The picture at fault.
        what: &'static str,
        /// Its width and height.
        found: (u32, u32),
        /// The picture it should match.
        like: &'static str,
        /// Width and height of that picture.
        expected: (u32, u32),
    },
    /// The picture cannot be cut into whole patches.
    #[error("{what} is {} x {} pixels: expected multiples of the patch size {patch}, at least one patch", size.0, size.1)]
    Patches {
        /// The picture at fault.
        what: &'static str,
        /// Its width and height.
        size: (u32, u32),
        /// Side of a patch in pixels.
        patch: u32,
    },
    /// A buffer or a row has the wrong number of items.
    #[error("{what}: found {found}, expected {expected} ({because})")]
    Count {
        /// What was counted.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there should be.
        expected: usize,
        /// Where the expectation comes from, with its numbers.
        because: String,
    },
    /// A value is infinite, not a number, or outside its range.
    #[error("{what} = {found}: expected {expected}")]
    Value {
        /// The argument, with the position if it is a buffer.
        what: String,
        /// The offending value.
        found: f64,
        /// What would be accepted.
        expected: String,
    },
    /// There is nothing to draw.
    #[error("{what}: nothing to draw, give at least one {item}")]
    Empty {
        /// The picture that was asked for.
        what: String,
        /// What it is made of.
        item: &'static str,
    },
    /// A picture could not be encoded.
    #[error("cannot encode the {what}: {source}")]
    Encode {
        /// The kind of picture.
        what: &'static str,
        /// The encoder's reason.
        source: image::ImageError,
    },
}

/// Fails unless `found` equals `expected`, the size of the picture called `like`.
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

/// Fails on the first value that is infinite, not a number or below `least`.
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
