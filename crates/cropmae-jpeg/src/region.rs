//! The part of a picture that is wanted.

/// A rectangle of pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// First column.
    pub left: u32,
    /// First row.
    pub top: u32,
    /// Number of columns.
    pub width: u32,
    /// Number of rows.
    pub height: u32,
}

impl Region {
    /// Length in bytes of the region's RGB values.
    pub fn rgb_len(self) -> usize {
        self.width as usize * self.height as usize * 3
    }

    /// Whether the region is not empty and inside a picture of `width` x `height` pixels.
    pub(crate) fn is_inside(self, width: u32, height: u32) -> bool {
        let fits = |start: u32, length: u32, side: u32| {
            length > 0 && u64::from(start) + u64::from(length) <= u64::from(side)
        };
        fits(self.left, self.width, width) && fits(self.top, self.height, height)
    }
}
