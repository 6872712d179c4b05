//! Decodes frames, resizes them in memory and normalizes them for the encoder.
//!
//! The reference evaluates resized copies of the data sets. Here the official files are read and resized to the sizes
//! of the reference: bilinear with half-pixel centers and without antialiasing (`cv2.resize`), on RGB values in 0..1
//! (f32). The pixels of baseline JPEGs equal those of libjpeg. The pixels of progressive and CMYK files may differ by a
//! few of 255 levels: by at most 2 on the golden files, and by up to 12 on larger progressive files with subsampled
//! chroma.

use std::path::Path;

use cropmae_data::decode;
use cropmae_data::normalize::{MEAN, STD};
use image::RgbImage;

use crate::error::EvalError;
use crate::resize::{bilinear, widen};
use crate::size::Size;

/// The maximum number of cells of the frames that are encoded together, which limits the memory of the encoder.
const BATCH_CELLS: usize = 8192;

/// Returns the number of frames with `cells` cells that are encoded together.
///
/// For frames of 480x880 pixels it is 4 with patches of 16 pixels, and 1 with patches of 8 pixels.
pub(crate) fn batch_len(cells: usize) -> usize {
    (BATCH_CELLS / cells.max(1)).clamp(1, 4)
}

/// The maximum size of a frame. No benchmark has larger frames, but a malicious file may declare any size.
const MAX_MEGAPIXELS: u32 = 64;

/// Decodes a JPEG or PNG file to RGB in the same way as for training.
///
/// Gray values are copied to all channels. Alpha and EXIF orientation are ignored.
///
/// # Errors
/// Returns [`EvalError::Image`] with the path if the file cannot be decoded or is truncated.
pub fn read_frame(path: &Path) -> Result<RgbImage, EvalError> {
    decode::read(path, MAX_MEGAPIXELS).map_err(|bad| EvalError::Image {
        path: bad.path,
        message: bad.reason,
    })
}

/// Reads the size of an image file from its header.
///
/// # Errors
/// Returns [`EvalError::Image`] with the path if the header cannot be read.
pub(crate) fn read_size(path: &Path) -> Result<Size, EvalError> {
    let (width, height) = image::image_dimensions(path).map_err(|error| EvalError::Image {
        path: path.into(),
        message: error.to_string(),
    })?;
    Ok(Size {
        height: height as usize,
        width: width as usize,
    })
}

/// Resizes a frame to `size`, scales it to 0..1 and returns it with the shape (3, H, W).
pub fn resize_frame(frame: &RgbImage, size: Size) -> Vec<f32> {
    let (input_width, input_height) = (frame.width() as usize, frame.height() as usize);
    let columns = bilinear(input_width, size.width);
    let unit: [f32; 256] = std::array::from_fn(|level| level as f32 / 255.0);
    let mut output = vec![0.0; 3 * size.area()];
    // These are the two input rows in use, after the horizontal resize. Each step down replaces at most one of them.
    let mut rows = [(usize::MAX, Vec::new()), (usize::MAX, Vec::new())];
    let load = |rows: &mut [(usize, Vec<f32>); 2], row: usize, keep: usize| {
        if let Some(at) = rows.iter().position(|(loaded, _)| *loaded == row) {
            return at;
        }
        let at = usize::from(rows[0].0 == keep);
        let line = &frame.as_raw()[row * input_width * 3..][..input_width * 3];
        let line: Vec<f32> = line.iter().map(|&level| unit[usize::from(level)]).collect();
        rows[at].0 = row;
        rows[at].1.resize(3 * size.width, 0.0);
        widen(&line, 3, &columns, &mut rows[at].1);
        at
    };
    for (y, tap) in bilinear(input_height, size.height).into_iter().enumerate() {
        let low = load(&mut rows, tap.low, tap.high);
        let high = load(&mut rows, tap.high, tap.low);
        let (low, high) = (&rows[low].1, &rows[high].1);
        for channel in 0..3 {
            let target = &mut output[channel * size.area() + y * size.width..][..size.width];
            let lines = low[channel * size.width..]
                .iter()
                .zip(&high[channel * size.width..]);
            for (value, (&low, &high)) in target.iter_mut().zip(lines) {
                *value = tap.blend(low, high);
            }
        }
    }
    output
}

/// Normalizes `pixels` (3, H, W) with values in 0..1 by the statistics of ImageNet, in place: `(x - mean) / std`.
pub fn normalize(pixels: &mut [f32]) {
    let area = pixels.len() / 3;
    for (plane, (mean, std)) in pixels.chunks_exact_mut(area).zip(MEAN.into_iter().zip(STD)) {
        for value in plane {
            *value = (*value - mean) / std;
        }
    }
}

/// Decodes a frame that must have the size `expected` of the image `reference`.
///
/// # Errors
/// Returns the errors of [`read_frame`], and [`EvalError::Size`] if the frame has another size.
pub(crate) fn read_frame_of(
    path: &Path,
    expected: Size,
    reference: &Path,
) -> Result<RgbImage, EvalError> {
    let frame = read_frame(path)?;
    let found = Size::of(&frame);
    if found == expected {
        return Ok(frame);
    }
    Err(EvalError::Size {
        path: path.into(),
        found,
        expected,
        reference: reference.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_shrinks_as_its_frames_grow() {
        let cells = |patch: usize| (480 / patch) * (880 / patch);
        assert_eq!([16, 8, 4].map(|patch| batch_len(cells(patch))), [4, 1, 1]);
        assert_eq!(batch_len(1), 4);
    }

    #[test]
    fn resizing_to_the_same_size_is_division_by_255() {
        let frame = RgbImage::from_fn(5, 4, |x, y| image::Rgb([x as u8 * 50, y as u8 * 60, 7]));
        let size = Size {
            height: 4,
            width: 5,
        };
        let pixels = resize_frame(&frame, size);
        for (x, y, pixel) in frame.enumerate_pixels() {
            for channel in 0..3 {
                let value = pixels[channel * 20 + y as usize * 5 + x as usize];
                assert_eq!(value, f32::from(pixel.0[channel]) / 255.0);
            }
        }
    }
}
