//! Decodes the entropy-coded data of one 8 x 8 block (ITU-T T.81, F.2.2).

use std::ops::ControlFlow;

use crate::bits::BitReader;
use crate::huffman::Table;
use crate::symbol::Symbol;

/// The quantized coefficients in natural order, which is row-major with rows by vertical frequency.
pub(crate) type Coefficients = [i16; 64];

/// The last position of the zigzag scan and of the natural order.
const LAST: usize = 63;

/// The natural position of each coefficient of the zigzag scan.
pub(crate) const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20,
    13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59,
    52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// Reads a block into `block`, which must be zero except for its DC coefficient.
///
/// Returns the last position of the zigzag scan that may be non-zero, or `None` if the data is not a valid block.
#[inline(always)]
pub(crate) fn read(
    bits: &mut BitReader,
    dc: &Table,
    ac: &Table,
    dc_before: &mut i32,
    block: &mut Coefficients,
) -> Option<usize> {
    bits.refill();
    let (_, difference) = dc.read(bits)?;
    *dc_before = dc_before.wrapping_add(difference);
    block[0] = *dc_before as i16;
    let mut place = 0;
    loop {
        match read_coefficient(bits, ac, place, block) {
            ControlFlow::Continue(next) => place = next,
            ControlFlow::Break(last) => return last,
        }
        bits.refill();
        match read_coefficient(bits, ac, place, block) {
            ControlFlow::Continue(next) => place = next,
            ControlFlow::Break(last) => return last,
        }
    }
}

/// Reads the coefficient after `place` of the zigzag scan and returns its position.
///
/// Breaks with the result of [`read`] at the end of the block or on invalid data.
#[inline(always)]
fn read_coefficient(
    bits: &mut BitReader,
    ac: &Table,
    place: usize,
    block: &mut Coefficients,
) -> ControlFlow<Option<usize>, usize> {
    let Some((symbol, value)) = ac.read(bits) else {
        return ControlFlow::Break(None);
    };
    let next = place + symbol.advance();
    if next < LAST {
        block[usize::from(ZIGZAG[next])] = value as i16;
        return ControlFlow::Continue(next);
    }
    if next == LAST {
        block[LAST] = value as i16;
        return ControlFlow::Break(Some(LAST));
    }
    ControlFlow::Break((next >= Symbol::END).then_some(place))
}

/// Skips a block. Later blocks depend only on its DC coefficient.
#[inline(always)]
pub(crate) fn skip(
    bits: &mut BitReader,
    dc: &Table,
    ac: &Table,
    dc_before: &mut i32,
) -> Option<()> {
    bits.refill();
    let (_, difference) = dc.read(bits)?;
    *dc_before = dc_before.wrapping_add(difference);
    let mut place = 0;
    loop {
        place = ac.skip(bits, place)?;
        if place >= LAST {
            break;
        }
        bits.refill();
        place = ac.skip(bits, place)?;
        if place >= LAST {
            break;
        }
    }
    (place == LAST || place >= Symbol::END).then_some(())
}
