//! Which blocks a region of the picture needs, and where their pixels go.

use std::ops::Range;

use crate::frame::Component;
use crate::headers::Headers;
use crate::region::Region;

/// Pixels along the side of a block.
pub(crate) const BLOCK: usize = 8;

/// The MCUs that a region needs, and the size of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct McuRange {
    pub(crate) columns: Range<usize>,
    pub(crate) rows: Range<usize>,
    /// MCUs in a row of the whole picture.
    pub(crate) per_row: usize,
    /// Width and height of an MCU in pixels.
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
            // Interpolation looks at the next value of a subsampled component.
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

/// Decoded values of one component, over the MCUs of a region.
#[derive(Debug, Default)]
pub(crate) struct Plane {
    values: Vec<u8>,
    stride: usize,
    /// Column and row, in the whole component, of the first value.
    origin: [usize; 2],
    /// Width and height of the whole component without what fills up its last blocks.
    size: [usize; 2],
    /// Pixels for each value across and down, 1 or 2.
    pub(crate) pixels: [usize; 2],
}

impl Plane {
    /// Lays the plane out for a component whose MCUs have `blocks` across and down.
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
        // What an earlier picture has left there is written over or never looked at.
        self.values.resize(self.stride * rows, 0);
    }

    /// Puts the pixels of the block at `column` and `row`, in blocks from the plane's origin.
    #[inline(always)]
    pub(crate) fn put(&mut self, column: usize, row: usize, pixels: &[[u8; 8]; 8]) {
        let mut start = row * BLOCK * self.stride + column * BLOCK;
        for row in pixels {
            self.values[start..start + BLOCK].copy_from_slice(row);
            start += self.stride;
        }
    }

    /// Values of the whole component's `row` in `columns`; a row below the last is the last.
    #[inline(always)]
    pub(crate) fn row(&self, row: usize, columns: Range<usize>) -> &[u8] {
        let row = row.min(self.size[1] - 1) - self.origin[1];
        let row = &self.values[row * self.stride..][..self.stride];
        &row[columns.start - self.origin[0]..columns.end - self.origin[0]]
    }

    /// Width of the whole component.
    pub(crate) fn width(&self) -> usize {
        self.size[0]
    }
}
