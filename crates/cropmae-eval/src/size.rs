//! Height and width in pixels.

use std::fmt;

use image::RgbImage;

/// Height and width of an image in pixels, displayed as `480x854`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Size {
    /// The size of a picture.
    pub fn of(picture: &RgbImage) -> Self {
        Self {
            height: picture.height() as usize,
            width: picture.width() as usize,
        }
    }

    /// Number of pixels.
    pub fn area(self) -> usize {
        self.height * self.width
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.height, self.width)
    }
}
