//! Decodes the MCUs (minimum coded units, which are groups of blocks) of a region, and skips the others as fast as
//! possible.

use pulp::{Simd, WithSimd};

use crate::bits::{BitReader, ScanData};
use crate::error::JpegError;
use crate::headers::Headers;
use crate::idct::Idct;
use crate::planes::{McuRange, Plane};
use crate::region::Region;
use crate::upsample::Room;
use crate::{block, color, upsample};

/// Buffers that are reused for each picture.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    data: ScanData,
    planes: Vec<Plane>,
    room: [Room; 3],
}

/// Decodes the pixels of `region`, which is inside of the picture, into `out`, which has the length of the region.
pub(crate) fn decode(
    headers: &Headers,
    region: Region,
    out: &mut [u8],
    scratch: &mut Scratch,
) -> Result<(), JpegError> {
    let Scratch { data, planes, room } = scratch;
    let range = McuRange::of(headers, region);
    data.fill(headers.scan);
    planes.resize_with(headers.components.len(), Plane::default);
    for (plane, component) in planes.iter_mut().zip(&headers.components) {
        plane.lay_out(headers, &range, [component.across, component.down]);
    }
    pulp::Arch::new().dispatch(Decode {
        headers,
        region,
        range,
        data,
        planes,
        room,
        out,
        idct: Idct::new(),
    })
}

struct Decode<'a> {
    headers: &'a Headers<'a>,
    region: Region,
    range: McuRange,
    data: &'a ScanData,
    planes: &'a mut [Plane],
    room: &'a mut [Room; 3],
    out: &'a mut [u8],
    idct: Idct,
}

impl WithSimd for Decode<'_> {
    type Output = Result<(), JpegError>;

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, _: S) -> Self::Output {
        let mut rows_out = 0;
        let mut cursor = Cursor::new(self.headers, self.data)?;
        for row in 0..self.range.rows.end {
            let complete = self.mcu_row(&mut cursor, row).is_some();
            if !complete || cursor.bits.overran() {
                return Err(JpegError::BrokenData { row });
            }
            if self.range.rows.contains(&row) {
                let done = self.finished_rows(row);
                self.convert(rows_out..done);
                rows_out = done;
            }
        }
        Ok(())
    }
}

/// The position of the decoder in the entropy-coded data.
struct Cursor<'a> {
    bits: BitReader<'a>,
    data: &'a ScanData,
    segment: usize,
    /// The number of MCUs up to the next restart.
    left: usize,
    interval: usize,
    /// The last DC coefficient of each component.
    dc: [i32; 3],
}

impl<'a> Cursor<'a> {
    fn new(headers: &Headers, data: &'a ScanData) -> Result<Self, JpegError> {
        let interval = headers.restart_interval.unwrap_or(usize::MAX);
        Ok(Self {
            bits: data
                .segment(0)
                .ok_or_else(|| JpegError::short("the scan"))?,
            data,
            segment: 0,
            left: interval,
            interval,
            dc: [0; 3],
        })
    }

    /// Moves to the next MCU. Returns `None` if a restart marker is missing or late.
    #[inline(always)]
    fn next_mcu(&mut self) -> Option<()> {
        if self.left == 0 {
            self.restart()?;
        }
        self.left -= 1;
        Some(())
    }

    #[cold]
    fn restart(&mut self) -> Option<()> {
        if self.bits.overran() {
            return None;
        }
        self.segment += 1;
        self.bits = self.data.segment(self.segment)?;
        self.left = self.interval;
        self.dc = [0; 3];
        Some(())
    }
}

impl Decode<'_> {
    /// Decodes the MCUs of a row that the region needs. Returns `None` if the data is damaged.
    #[inline(always)]
    fn mcu_row(&mut self, cursor: &mut Cursor, row: usize) -> Option<()> {
        let wanted = match self.range.rows.contains(&row) {
            true => self.range.columns.clone(),
            false => 0..0,
        };
        for column in 0..self.range.per_row {
            cursor.next_mcu()?;
            if wanted.contains(&column) {
                self.decode_mcu(cursor, row, column)?;
            } else {
                self.skip_mcu(cursor)?;
            }
        }
        Some(())
    }

    #[inline(always)]
    fn skip_mcu(&self, cursor: &mut Cursor) -> Option<()> {
        for (component, dc) in self.headers.components.iter().zip(&mut cursor.dc) {
            for _ in 0..component.across * component.down {
                block::skip(&mut cursor.bits, &component.dc, &component.ac, dc)?;
            }
        }
        Some(())
    }

    #[inline(always)]
    fn decode_mcu(&mut self, cursor: &mut Cursor, row: usize, column: usize) -> Option<()> {
        let (column, row) = (
            column - self.range.columns.start,
            row - self.range.rows.start,
        );
        let components = self.headers.components.iter().zip(&mut *self.planes);
        for ((component, plane), dc) in components.zip(&mut cursor.dc) {
            for y in 0..component.down {
                for x in 0..component.across {
                    let mut coefficients = [0; 64];
                    let (bits, ac) = (&mut cursor.bits, &component.ac);
                    let last = block::read(bits, &component.dc, ac, dc, &mut coefficients)?;
                    let pixels = self.idct.pixels(&coefficients, &component.quantizers, last);
                    plane.put(
                        column * component.across + x,
                        row * component.down + y,
                        &pixels,
                    );
                }
            }
        }
        Some(())
    }

    /// Returns the rows of the region that are complete after the MCUs of `row` were decoded.
    fn finished_rows(&self, row: usize) -> usize {
        if row + 1 == self.range.rows.end {
            return self.region.height as usize;
        }
        let below = (row + 1) * self.range.size[1];
        // The last rows of a subsampled component wait for the row below them.
        let margin = self.range.size[1] / 8 - 1;
        let done = (below - margin).saturating_sub(self.region.top as usize);
        done.min(self.region.height as usize)
    }

    /// Writes `rows` of the region.
    #[inline(always)]
    fn convert(&mut self, rows: std::ops::Range<usize>) {
        let columns = self.region.left as usize..(self.region.left + self.region.width) as usize;
        let row_bytes = columns.len() * 3;
        let out = &mut self.out[rows.start * row_bytes..rows.end * row_bytes];
        for (row, out) in rows.zip(out.chunks_exact_mut(row_bytes)) {
            let y = self.region.top as usize + row;
            match &*self.planes {
                [luma] => color::gray_to_rgb(luma.row(y, columns.clone()), out),
                [first, second, third] => {
                    let [a, b, c] = &mut *self.room;
                    let first = upsample::row(first, y, columns.clone(), a);
                    let second = upsample::row(second, y, columns.clone(), b);
                    let third = upsample::row(third, y, columns.clone(), c);
                    if self.headers.ycc {
                        color::ycc_to_rgb(first, second, third, out);
                    } else {
                        color::interleave(first, second, third, out);
                    }
                }
                _ => {}
            }
        }
    }
}
