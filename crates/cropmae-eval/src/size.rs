//! The height and width of an image.

use std::fmt;

use image::RgbImage;

/// The height and width of an image in pixels, displayed as `480x854`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// The number of rows.
    pub height: usize,
    /// The number of columns.
    pub width: usize,
}

impl Size {
    /// Returns the size of an image.
    pub fn of(picture: &RgbImage) -> Self {
        Self {
            height: picture.height() as usize,
            width: picture.width() as usize,
        }
    }

    /// Returns the number of pixels.
    pub fn area(self) -> usize {
        self.height * self.width
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.height, self.width)
    }
}
