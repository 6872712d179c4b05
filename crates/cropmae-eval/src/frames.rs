//! Frames as the encoder sees them: decoded, resized in memory, normalised.
//!
//! The reference evaluates privately resized copies of the data sets; here the official files are read and
//! resized by the rule it uses for sizes: bilinear, half-pixel centres, no antialiasing (`cv2.resize`), on
//! RGB values in 0..1 (f32). Pixels of baseline JPEGs equal libjpeg's, those of progressive ones may differ by
//! 1 or 2 levels.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cropmae_data::decode;
use cropmae_data::normalize::{MEAN, STD};
use image::RgbImage;

use crate::error::{EvalError, Size};
use crate::resize::{bilinear, widen};

/// Cells of the frames that go through the encoder together, at most: its memory grows with them.
const BATCH_CELLS: usize = 8192;

/// Frames of `cells` cells that go through the encoder together: 4 of 480x880 with patches of 16, one with
/// patches of 8.
pub fn batch_len(cells: usize) -> usize {
    (BATCH_CELLS / cells.max(1)).clamp(1, 4)
}

/// Frames of more are refused: no benchmark has any, and a hostile file may claim them.
const MAX_MEGAPIXELS: u32 = 64;

/// Decodes a JPEG or PNG file to RGB as training does: grey is replicated, alpha dropped, EXIF orientation
/// ignored, a truncated file refused.
///
/// # Errors
/// [`EvalError::Image`], naming the file.
pub fn read_frame(path: &Path) -> Result<RgbImage, EvalError> {
    decode::read(path, MAX_MEGAPIXELS).map_err(|bad| EvalError::Image {
        path: bad.path,
        message: bad.reason,
    })
}

/// Size of an image file, from its header alone.
///
/// # Errors
/// [`EvalError::Image`], naming the file.
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

/// Resizes to `size` and scales to 0..1 -> (3, H, W).
pub fn resize_frame(frame: &RgbImage, size: Size) -> Vec<f32> {
    let (input_width, input_height) = (frame.width() as usize, frame.height() as usize);
    let columns = bilinear(input_width, size.width);
    let unit: [f32; 256] = std::array::from_fn(|level| level as f32 / 255.0);
    let mut output = vec![0.0; 3 * size.area()];
    // The two input rows in use, widened; moving down the picture replaces one at a time.
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

/// `(x - mean) / std` with ImageNet's statistics, in place on (3, H, W) values in 0..1.
pub fn normalise(pixels: &mut [f32]) {
    let area = pixels.len() / 3;
    for (plane, (mean, std)) in pixels.chunks_exact_mut(area).zip(MEAN.into_iter().zip(STD)) {
        for value in plane {
            *value = (*value - mean) / std;
        }
    }
}

/// One frame as the encoder's input (3, H, W); `original` is the size that every frame must have.
///
/// # Errors
/// As [`read_frame`], and [`EvalError::Size`] for a frame of another size than the first.
pub(crate) fn encoder_input(
    path: &Path,
    original: Size,
    reference: &Path,
    size: Size,
) -> Result<Vec<f32>, EvalError> {
    let frame = read_frame(path)?;
    let found = Size {
        height: frame.height() as usize,
        width: frame.width() as usize,
    };
    if found != original {
        return Err(EvalError::Size {
            path: path.into(),
            found,
            expected: original,
            reference: reference.into(),
        });
    }
    let mut pixels = resize_frame(&frame, size);
    normalise(&mut pixels);
    Ok(pixels)
}

/// Files of a folder with one of the `extensions`, in the order of their names, where digits count as
/// numbers: frames taken from a video may be called `2.png` and `10.png`.
///
/// # Errors
/// [`EvalError::Layout`] if the folder does not exist or holds none; [`EvalError::Read`].
pub(crate) fn list_files(
    folder: &Path,
    extensions: &[&str],
    expected: &str,
) -> Result<Vec<PathBuf>, EvalError> {
    let layout = || EvalError::Layout {
        path: folder.into(),
        expected: expected.into(),
    };
    if !folder.is_dir() {
        return Err(layout());
    }
    let read = |source| EvalError::Read {
        path: folder.into(),
        source,
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(read)? {
        let path = entry.map_err(read)?.path();
        let wanted = path
            .extension()
            .is_some_and(|found| extensions.iter().any(|e| found.eq_ignore_ascii_case(e)));
        // Dot files are other systems' side files ("._00000.jpg"), not frames.
        let hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if wanted && !hidden {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(layout());
    }
    files.sort_by(|a, b| natural(stem(a)).cmp(natural(stem(b))).then(a.cmp(b)));
    Ok(files)
}

/// Names of the folders inside a folder, in order.
///
/// # Errors
/// [`EvalError::Layout`] if the folder does not exist or holds none; [`EvalError::Read`].
pub(crate) fn list_folders(parent: &Path, expected: &str) -> Result<Vec<String>, EvalError> {
    let entries = std::fs::read_dir(parent).map_err(|_| EvalError::Layout {
        path: parent.into(),
        expected: expected.into(),
    })?;
    let mut names: Vec<String> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    if names.is_empty() {
        return Err(EvalError::Layout {
            path: parent.into(),
            expected: expected.into(),
        });
    }
    Ok(names)
}

/// A name as text and numbers in turn, for sorting.
fn natural(name: &str) -> impl Iterator<Item = (&str, u128)> {
    let mut rest = name;
    std::iter::from_fn(move || {
        let text = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (text, after) = rest.split_at(text);
        let digits = after
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(after.len());
        let (digits, after) = after.split_at(digits);
        let more = !rest.is_empty();
        rest = after;
        more.then(|| (text, digits.parse().unwrap_or(0)))
    })
}

/// File name without extension, for pairing frames with annotations.
pub(crate) fn stem(path: &Path) -> &str {
    path.file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or_default()
}

/// Checks that every frame has an annotation of the same name and no annotation is left over.
///
/// # Errors
/// [`EvalError::Layout`], naming the first file that is missing.
pub(crate) fn require_pairs(frames: &[PathBuf], annotations: &[PathBuf]) -> Result<(), EvalError> {
    unpaired(frames, annotations)
        .into_iter()
        .next()
        .map_or(Ok(()), Err)
}

/// One [`EvalError::Layout`] for every frame without an annotation and every annotation without a frame.
pub(crate) fn unpaired(frames: &[PathBuf], annotations: &[PathBuf]) -> Vec<EvalError> {
    let missing = |from: &[PathBuf], to: &[PathBuf], what: &str| -> Vec<EvalError> {
        let names: BTreeSet<&str> = to.iter().map(|path| stem(path)).collect();
        let lacks = |path: &&PathBuf| !names.contains(stem(path));
        let error = |path: &PathBuf| {
            let like = &to[0];
            EvalError::Layout {
                path: like
                    .with_file_name(stem(path))
                    .with_extension(like.extension().unwrap_or_default()),
                expected: format!("the {what} that belongs to {}", path.display()),
            }
        };
        from.iter().filter(lacks).map(error).collect()
    };
    let mut errors = missing(frames, annotations, "annotation");
    errors.extend(missing(annotations, frames, "frame"));
    errors
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

    #[test]
    fn numbers_in_names_count_as_numbers() {
        let before = |a: &str, b: &str| natural(a).lt(natural(b));
        assert!(before("2", "10") && before("00009", "00010") && before("frame2", "frame10"));
        assert!(before("a1_b2", "a1_b10") && before("", "0") && !before("7", "007"));
    }

    #[test]
    fn a_gap_in_the_frames_is_named() {
        let paths = |names: &[&str], ext: &str| -> Vec<PathBuf> {
            names
                .iter()
                .map(|n| format!("seq/{n}.{ext}").into())
                .collect()
        };
        let masks = paths(&["00000", "00001", "00002"], "png");
        let error = require_pairs(&paths(&["00000", "00002"], "jpg"), &masks).unwrap_err();
        assert!(
            error.to_string().starts_with("seq/00001.jpg: not found"),
            "{error}"
        );
        let error = require_pairs(&paths(&["00000", "00001", "00002"], "jpg"), &masks[..2]);
        assert!(
            error
                .unwrap_err()
                .to_string()
                .starts_with("seq/00002.png: not found")
        );
    }
}
