//! Determines the blocks that a region of the picture needs, and stores their pixels.

use std::ops::Range;

use crate::frame::Component;
use crate::headers::Headers;
use crate::region::Region;

/// The number of pixels along the side of a block.
pub(crate) const BLOCK: usize = 8;

/// The MCUs that a region needs, and the size of an MCU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct McuRange {
    pub(crate) columns: Range<usize>,
    pub(crate) rows: Range<usize>,
    /// The number of MCUs in a row of the whole picture.
    pub(crate) per_row: usize,
    /// The width and height of an MCU in pixels.
    pub(crate) size: [usize; 2],
}

impl McuRange {
    pub(crate) fn of(headers: &Headers, region: Region) -> Self {
        let most = |factors: fn(&Component) -> usize| {
            headers.components.iter().map(factors).max().unwrap_or(1)
        };
        let factors = [most(|c| c.across), most(|c| c.down)];
        let size = factors.map(|factor| factor * BLOCK);
        let range = |start: u32, length: u32, side: usize, axis: usize| {
            // Interpolation needs the next value of a subsampled component.
            let margin = 2 * (factors[axis] - 1);
            let first = (start as usize).saturating_sub(margin);
            let end = ((start + length) as usize + margin).min(side);
            first / size[axis]..end.div_ceil(size[axis])
        };
        Self {
            columns: range(region.left, region.width, headers.width, 0),
            rows: range(region.top, region.height, headers.height, 1),
            per_row: headers.width.div_ceil(size[0]),
            size,
        }
    }
}

/// The decoded values of one component in the MCUs of a region.
#[derive(Debug, Default)]
pub(crate) struct Plane {
    values: Vec<u8>,
    stride: usize,
    /// The column and row of the first value in the whole component.
    origin: [usize; 2],
    /// The width and height of the whole component, without the padding of its last blocks.
    size: [usize; 2],
    /// The number of pixels for each value, horizontally and vertically: 1 or 2.
    pub(crate) pixels: [usize; 2],
}

impl Plane {
    /// Sets up the plane for a component whose MCUs have `blocks` horizontally and vertically.
    pub(crate) fn lay_out(&mut self, headers: &Headers, range: &McuRange, blocks: [usize; 2]) {
        let picture = [headers.width, headers.height];
        let factors = range.size.map(|side| side / BLOCK);
        self.pixels = [0, 1].map(|axis| factors[axis] / blocks[axis]);
        self.size = [0, 1].map(|axis| picture[axis].div_ceil(self.pixels[axis]));
        self.origin = [
            range.columns.start * blocks[0] * BLOCK,
            range.rows.start * blocks[1] * BLOCK,
        ];
        self.stride = range.columns.len() * blocks[0] * BLOCK;
        let rows = range.rows.len() * blocks[1] * BLOCK;
        // Values of an earlier picture are overwritten or never read.
        self.values.resize(self.stride * rows, 0);
    }

    /// Writes the pixels of the block at `column` and `row`, counted in blocks from the origin of the plane.
    #[inline(always)]
    pub(crate) fn put(&mut self, column: usize, row: usize, pixels: &[[u8; 8]; 8]) {
        let mut start = row * BLOCK * self.stride + column * BLOCK;
        for row in pixels {
            self.values[start..start + BLOCK].copy_from_slice(row);
            start += self.stride;
        }
    }

    /// Returns the values in `columns` of `row` of the whole component. For a row below the last one, these are the
    /// values of the last row.
    #[inline(always)]
    pub(crate) fn row(&self, row: usize, columns: Range<usize>) -> &[u8] {
        let row = row.min(self.size[1] - 1) - self.origin[1];
        let row = &self.values[row * self.stride..][..self.stride];
        &row[columns.start - self.origin[0]..columns.end - self.origin[0]]
    }

    /// Returns the width of the whole component.
    pub(crate) fn width(&self) -> usize {
        self.size[0]
    }
}
