//! Converts YCbCr to RGB in the fixed-point arithmetic of libjpeg, bit for bit (JFIF 1.02, with 16 fractional bits).

const HALF: i32 = 1 << 15;

const fn fixed(value: f64) -> i32 {
    (value * 65536.0 + 0.5) as i32
}

/// Converts a row. `luma`, `blue` and `red` have one value per pixel, and `out` has three.
#[inline(always)]
pub(crate) fn ycc_to_rgb(luma: &[u8], blue: &[u8], red: &[u8], out: &mut [u8]) {
    let chroma = blue.iter().zip(red);
    for ((rgb, &y), (&cb, &cr)) in out.as_chunks_mut::<3>().0.iter_mut().zip(luma).zip(chroma) {
        let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
        let r = y + ((fixed(1.40200) * cr + HALF) >> 16);
        let g = y + ((-fixed(0.34414) * cb - fixed(0.71414) * cr + HALF) >> 16);
        let b = y + ((fixed(1.77200) * cb + HALF) >> 16);
        *rgb = [to_byte(r), to_byte(g), to_byte(b)];
    }
}

/// Interleaves a row of three components that are already red, green and blue.
#[inline(always)]
pub(crate) fn interleave(red: &[u8], green: &[u8], blue: &[u8], out: &mut [u8]) {
    let others = green.iter().zip(blue);
    for ((rgb, &r), (&g, &b)) in out.as_chunks_mut::<3>().0.iter_mut().zip(red).zip(others) {
        *rgb = [r, g, b];
    }
}

/// Replicates a row of gray values.
#[inline(always)]
pub(crate) fn gray_to_rgb(luma: &[u8], out: &mut [u8]) {
    for (rgb, &y) in out.as_chunks_mut::<3>().0.iter_mut().zip(luma) {
        *rgb = [y; 3];
    }
}

#[inline(always)]
fn to_byte(value: i32) -> u8 {
    value.clamp(0, 255) as u8
}
