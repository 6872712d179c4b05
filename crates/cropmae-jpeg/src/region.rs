//! The region of a picture to decode.

/// A rectangle of pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// The first column.
    pub left: u32,
    /// The first row.
    pub top: u32,
    /// The number of columns.
    pub width: u32,
    /// The number of rows.
    pub height: u32,
}

impl Region {
    /// Returns the length of the RGB values of the region, in bytes.
    pub fn rgb_len(self) -> usize {
        self.width as usize * self.height as usize * 3
    }

    /// Returns `true` if the region is not empty and is inside of a picture of `width` x `height` pixels.
    pub(crate) fn is_inside(self, width: u32, height: u32) -> bool {
        let fits = |start: u32, length: u32, side: u32| {
            length > 0 && u64::from(start) + u64::from(length) <= u64::from(side)
        };
        fits(self.left, self.width, width) && fits(self.top, self.height, height)
    }
}
