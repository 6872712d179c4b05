//! Reads masks that are stored as palette, gray or color PNGs.

use std::io::Cursor;
use std::path::Path;

use super::LabelMap;
use crate::error::EvalError;
use crate::palette::Palette;
use crate::size::Size;

/// A label map with the colors that its ids have in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    /// The ids.
    pub map: LabelMap,
    /// The colors of the ids.
    pub palette: Palette,
    /// The way in which the file stores the ids.
    pub storage: Storage,
}

/// The way in which a PNG stores ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Storage {
    /// The ids are indices of the palette.
    Palette,
    /// The ids are gray levels.
    Gray,
    /// The ids are colors of the DAVIS palette.
    Color,
}

impl std::fmt::Display for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Palette => "palette",
            Self::Gray => "gray",
            Self::Color => "color",
        })
    }
}

impl Mask {
    /// Reads a mask from a PNG.
    ///
    /// The ids are the indices of a palette PNG, the levels of a gray PNG, or for an RGB PNG the lowest ids that have
    /// its colors in the DAVIS palette.
    ///
    /// # Errors
    /// Returns [`EvalError::Read`], [`EvalError::Image`] or [`EvalError::UnknownColor`] with the path if the mask cannot
    /// be read.
    pub fn read(path: &Path) -> Result<Self, EvalError> {
        let bytes = std::fs::read(path).map_err(|source| EvalError::Read {
            path: path.into(),
            source,
        })?;
        let decoded = decode(&bytes).map_err(|error| EvalError::Image {
            path: path.into(),
            message: error.to_string(),
        })?;
        let size = decoded.size;
        let (ids, palette, storage) = match decoded.colors {
            Some(palette) if decoded.indexed => (decoded.samples, palette, Storage::Palette),
            Some(palette) => (decoded.samples, palette, Storage::Gray),
            None => {
                let davis = Palette::davis();
                let unknown = |color| EvalError::UnknownColor {
                    path: path.into(),
                    color,
                };
                let colors = decoded.samples.as_chunks::<3>().0;
                let ids = color_ids(colors, &davis).map_err(unknown)?;
                (ids, davis, Storage::Color)
            }
        };
        let map = LabelMap { size, ids };
        Ok(Self {
            map,
            palette,
            storage,
        })
    }
}

/// The maximum number of bytes of a decoded mask.
const MAX_BYTES: usize = 1 << 28;

/// The decoded values of a PNG: one id per pixel and the palette, or three values per pixel.
struct Decoded {
    size: Size,
    samples: Vec<u8>,
    colors: Option<Palette>,
    indexed: bool,
}

fn decode(bytes: &[u8]) -> Result<Decoded, png::DecodingError> {
    use png::{BitDepth, ColorType, Transformations};
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    let header = decoder.read_header_info()?;
    let size = Size {
        height: header.height as usize,
        width: header.width as usize,
    };
    let indexed = header.color_type == ColorType::Indexed;
    let depth = match header.bit_depth {
        BitDepth::One => 1,
        BitDepth::Two => 2,
        BitDepth::Four => 4,
        BitDepth::Eight | BitDepth::Sixteen => 8,
    };
    if !indexed {
        decoder.set_transformations(Transformations::normalize_to_color8());
    }
    let mut reader = decoder.read_info()?;
    let length = reader
        .output_buffer_size()
        .filter(|&length| length <= MAX_BYTES)
        .ok_or(png::DecodingError::LimitsExceeded)?;
    let mut samples = vec![0; length];
    let frame = reader.next_frame(&mut samples)?;
    samples.truncate(frame.buffer_size());
    if indexed {
        let palette = reader.info().palette.as_deref().unwrap_or_default();
        let colors = Some(Palette::from_png(palette));
        if depth < 8 {
            samples = unpack(&samples, frame.line_size, size.width, depth);
        }
        return Ok(Decoded {
            size,
            samples,
            colors,
            indexed,
        });
    }
    let (samples, colors) = match frame.color_type {
        ColorType::Grayscale => (samples, Some(Palette::gray())),
        ColorType::GrayscaleAlpha => (
            samples.iter().step_by(2).copied().collect(),
            Some(Palette::gray()),
        ),
        ColorType::Rgba => {
            let pixels = samples.as_chunks::<4>().0;
            (
                pixels.iter().flat_map(|p| [p[0], p[1], p[2]]).collect(),
                None,
            )
        }
        ColorType::Rgb | ColorType::Indexed => (samples, None),
    };
    Ok(Decoded {
        size,
        samples,
        colors,
        indexed,
    })
}

/// Unpacks indices of 1, 2 or 4 bits, the most significant first. Each line starts at a byte.
fn unpack(samples: &[u8], line_size: usize, width: usize, depth: usize) -> Vec<u8> {
    let per_byte = 8 / depth;
    samples
        .chunks_exact(line_size)
        .flat_map(|line| {
            (0..width).map(move |x| {
                let shift = 8 - depth * (x % per_byte + 1);
                line[x / per_byte] >> shift & ((1 << depth) - 1)
            })
        })
        .collect()
}

/// Returns the ids of `colors`, or the first color that has none as an error.
fn color_ids(colors: &[[u8; 3]], palette: &Palette) -> Result<Vec<u8>, [u8; 3]> {
    let mut last = ([0; 3], 0);
    colors
        .iter()
        .map(|&color| {
            if color != last.0 {
                last = (color, palette.id(color).ok_or(color)?);
            }
            Ok(last.1)
        })
        .collect()
}
