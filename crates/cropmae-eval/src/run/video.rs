//! The frames of a video and their sizes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use cropmae_config::FrameSize;

use crate::error::EvalError;
use crate::frames::read_size;
use crate::propagation::Grid;
use crate::size::Size;

/// The frames of a sequence and their sizes.
#[derive(Debug, Clone)]
pub struct Video {
    /// The name of the sequence.
    pub name: String,
    /// The files of the frames, in order.
    pub frames: Vec<PathBuf>,
    /// The size of the files.
    pub original: Size,
    /// The size of the encoder's input.
    pub input: Size,
    /// The grid of the input.
    pub grid: Grid,
    /// The width and height of a cell in pixels.
    pub patch_size: usize,
}

/// Determines the sizes of videos and counts them.
#[derive(Debug)]
pub struct Sizes {
    frame_size: FrameSize,
    patch_size: usize,
    /// The number of sequences so far, by the size of the encoder's input.
    pub(crate) counts: BTreeMap<String, usize>,
}

impl Sizes {
    /// Creates sizes by the rule of `frame_size`, for cells of `patch_size` pixels.
    pub fn new(frame_size: FrameSize, patch_size: usize) -> Self {
        Self {
            frame_size,
            patch_size,
            counts: BTreeMap::new(),
        }
    }

    /// Determines the sizes from the first frame. The other frames are checked when they are decoded.
    ///
    /// # Errors
    /// Returns [`EvalError::Image`] if the first frame is not an image, and the errors of [`input_size`].
    pub fn video(&mut self, name: &str, frames: Vec<PathBuf>) -> Result<Video, EvalError> {
        let original = read_size(&frames[0])?;
        let input = input_size(self.frame_size, original, self.patch_size)?;
        *self.counts.entry(input.to_string()).or_default() += 1;
        Ok(Video {
            name: name.to_owned(),
            frames,
            original,
            input,
            grid: Grid::of(input, self.patch_size),
            patch_size: self.patch_size,
        })
    }
}

/// Returns the size of the encoder's input for frames of `original` size.
///
/// Sides that are not multiples of the patch size are rounded to the nearest multiple. For example, 480x880 becomes
/// 476x882 with patches of 14 pixels. Published combinations of protocol and patch size need no rounding.
///
/// # Errors
/// Returns [`EvalError::Protocol`] if a side would have no pixels.
pub fn input_size(
    frame_size: FrameSize,
    original: Size,
    patch_size: usize,
) -> Result<Size, EvalError> {
    let (height, width) = frame_size.resolve(original.height, original.width);
    let nearest = |side: usize| ((side + patch_size / 2) / patch_size).max(1) * patch_size;
    if height == 0 || width == 0 {
        return Err(EvalError::Protocol {
            field: "frame_size",
            found: format!("{height}x{width} for frames of {original}"),
            expected: "both sides above 0: the frames are too elongated for this rule",
        });
    }
    Ok(Size {
        height: nearest(height),
        width: nearest(width),
    })
}

#[cfg(test)]
mod tests {
    use cropmae_config::Protocol;

    use super::*;

    #[test]
    fn input_sizes_are_multiples_of_the_patch() {
        let original = Size {
            height: 480,
            width: 854,
        };
        let size = |frame_size, patch| input_size(frame_size, original, patch).unwrap().to_string();
        let davis = Protocol::davis().frame_size;
        assert_eq!(size(davis, 16), "480x880");
        assert_eq!(size(davis, 8), "480x880");
        assert_eq!(size(davis, 14), "476x882");
        assert_eq!(size(Protocol::vip().frame_size, 16), "448x880");
        let strip = Size {
            height: 20,
            width: 854,
        };
        assert!(input_size(Protocol::vip().frame_size, strip, 16).is_err());
    }
}
