//! Label maps: reading masks, label sets, soft labels on the feature grid, and back to pixels.
//!
//! As in the reference, frame 0's mask is resized to the encoder's input by nearest neighbour, its distinct
//! colours are the classes in the order of (blue, green, red), and the one-hot maps are resized bilinearly
//! to the grid. Predictions go back bilinearly, the largest wins (the first class of equals), and reach the
//! annotation's size by nearest neighbour. An id that frame 0 does not show, or that vanishes when frame 0
//! is resized, is therefore never predicted.

use std::io::Cursor;
use std::path::Path;

use rayon::prelude::*;

use crate::error::{EvalError, Size};
use crate::palette::Palette;
use crate::propagation::Grid;
use crate::resize::{Tap, bilinear, nearest_centre, nearest_corner, widen};

/// Ids of the pixels of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelMap {
    /// Height and width.
    pub size: Size,
    /// (H, W) ids.
    pub ids: Vec<u8>,
}

/// A label map as stored: ids and the colours they have in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    /// The ids.
    pub map: LabelMap,
    /// Their colours.
    pub palette: Palette,
    /// How the file stores them.
    pub storage: Storage,
}

/// How a PNG stores ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Storage {
    /// As indices of its palette.
    Palette,
    /// As grey levels.
    Grey,
    /// As colours of the DAVIS palette.
    Colour,
}

impl std::fmt::Display for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Palette => "palette",
            Self::Grey => "grey",
            Self::Colour => "colour",
        })
    }
}

impl Mask {
    /// Reads a palette PNG (ids are its indices), a grey PNG (ids are its levels) or an RGB PNG (colours
    /// of the DAVIS palette, the lowest id of a colour).
    ///
    /// # Errors
    /// [`EvalError::Read`], [`EvalError::Image`] or [`EvalError::UnknownColour`], naming the file.
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
        let (ids, palette, storage) = match decoded.colours {
            Some(palette) if decoded.indexed => (decoded.samples, palette, Storage::Palette),
            Some(palette) => (decoded.samples, palette, Storage::Grey),
            None => {
                let davis = Palette::davis();
                let unknown = |colour| EvalError::UnknownColour {
                    path: path.into(),
                    colour,
                };
                let colours = decoded.samples.as_chunks::<3>().0;
                let ids = colour_ids(colours, &davis).map_err(unknown)?;
                (ids, davis, Storage::Colour)
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

/// Masks that unfold to more bytes are refused.
const MAX_BYTES: usize = 1 << 28;

/// Samples of a PNG: one id a pixel with its palette, or three colours a pixel.
struct Decoded {
    size: Size,
    samples: Vec<u8>,
    colours: Option<Palette>,
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
        let colours = Some(Palette::from_png(palette));
        if depth < 8 {
            samples = unpack(&samples, frame.line_size, size.width, depth);
        }
        return Ok(Decoded {
            size,
            samples,
            colours,
            indexed,
        });
    }
    let (samples, colours) = match frame.color_type {
        ColorType::Grayscale => (samples, Some(Palette::grey())),
        ColorType::GrayscaleAlpha => (
            samples.iter().step_by(2).copied().collect(),
            Some(Palette::grey()),
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
        colours,
        indexed,
    })
}

/// Indices of 1, 2 or 4 bits, most significant first; each line starts on a byte.
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

/// Ids of `colours`, or the first one that has none.
fn colour_ids(colours: &[[u8; 3]], palette: &Palette) -> Result<Vec<u8>, [u8; 3]> {
    let mut last = ([0; 3], 0);
    colours
        .iter()
        .map(|&colour| {
            if colour != last.0 {
                last = (colour, palette.id(colour).ok_or(colour)?);
            }
            Ok(last.1)
        })
        .collect()
}

impl LabelMap {
    /// Nearest neighbour, OpenCV's convention: source `floor(i * in / out)`.
    pub fn resize_opencv(&self, size: Size) -> Self {
        self.pick(
            size,
            &nearest_corner(self.size.height, size.height),
            &nearest_corner(self.size.width, size.width),
        )
    }

    /// Nearest neighbour, Pillow's convention: source `floor((i + 0.5) * in / out)`.
    pub fn resize_pillow(&self, size: Size) -> Self {
        self.pick(
            size,
            &nearest_centre(self.size.height, size.height),
            &nearest_centre(self.size.width, size.width),
        )
    }

    fn pick(&self, size: Size, rows: &[usize], columns: &[usize]) -> Self {
        let mut ids = Vec::with_capacity(size.area());
        for row in rows {
            let line = &self.ids[row * self.size.width..][..self.size.width];
            ids.extend(columns.iter().map(|&column| line[column]));
        }
        Self { size, ids }
    }
}

/// The classes that are propagated: frame 0's distinct colours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelSet {
    /// Annotation id of each class, in the order of (blue, green, red).
    pub ids: Vec<u8>,
}

impl LabelSet {
    /// Classes of frame 0's mask at the encoder's input size, and its pixels' classes (H, W). Ids that
    /// share a colour are one class and become the lowest of them.
    pub fn of(map: &LabelMap, palette: &Palette) -> (Self, Vec<u8>) {
        let mut present = [false; 256];
        for &id in &map.ids {
            present[usize::from(id)] = true;
        }
        let bgr = |id: u8| {
            let [r, g, b] = palette.0[usize::from(id)];
            [b, g, r]
        };
        let mut ids: Vec<u8> = (0..=255).filter(|&id| present[usize::from(id)]).collect();
        ids.sort_by_key(|&id| (bgr(id), id));
        let mut class_of = [0; 256];
        let mut classes: Vec<u8> = Vec::new();
        for id in ids {
            if classes.last().is_none_or(|&last| bgr(last) != bgr(id)) {
                classes.push(id);
            }
            class_of[usize::from(id)] = (classes.len() - 1) as u8;
        }
        let pixels = map
            .ids
            .iter()
            .map(|&id| class_of[usize::from(id)])
            .collect();
        (Self { ids: classes }, pixels)
    }

    /// One-hot maps of `pixels` (H, W) resized bilinearly to the grid -> (h*w, L).
    pub fn soft_labels(&self, pixels: &[u8], size: Size, grid: Grid) -> Vec<f32> {
        let classes = self.ids.len();
        let (rows, columns) = (
            bilinear(size.height, grid.height),
            bilinear(size.width, grid.width),
        );
        let mut labels = vec![0.0; grid.cells() * classes];
        let taps = rows
            .iter()
            .flat_map(|row| columns.iter().map(move |column| (row, column)));
        for (cell, (row, column)) in labels.chunks_exact_mut(classes).zip(taps) {
            for (y, wy) in [(row.low, 1.0 - row.weight), (row.high, row.weight)] {
                for (x, wx) in [
                    (column.low, 1.0 - column.weight),
                    (column.high, column.weight),
                ] {
                    cell[usize::from(pixels[y * size.width + x])] += wy * wx;
                }
            }
        }
        labels
    }

    /// The id of the strongest class of every pixel, from `soft` (h*w, L) resized bilinearly to `size`.
    pub fn hard_labels(&self, soft: &[f32], grid: Grid, size: Size) -> LabelMap {
        let wide = WideLabels::new(soft, self.ids.len(), grid, size);
        let mut ids = vec![0; size.area()];
        ids.par_chunks_mut(size.width).enumerate().for_each_init(
            || (vec![0.0; size.width], vec![0.0; size.width]),
            |(best, other), (y, line)| {
                wide.row(y, 0, best);
                line.fill(self.ids[0]);
                for (class, &id) in self.ids.iter().enumerate().skip(1) {
                    wide.row(y, class, other);
                    for ((winner, best), &value) in line.iter_mut().zip(&mut *best).zip(&*other) {
                        if value > *best {
                            (*best, *winner) = (value, id);
                        }
                    }
                }
            },
        );
        LabelMap { size, ids }
    }
}

/// Soft labels after the horizontal half of their resize to pixels.
pub(crate) struct WideLabels {
    /// (h, L, W)
    planes: Vec<f32>,
    classes: usize,
    rows: Vec<Tap>,
    width: usize,
}

impl WideLabels {
    pub fn new(soft: &[f32], classes: usize, grid: Grid, size: Size) -> Self {
        let columns = bilinear(grid.width, size.width);
        let mut planes = vec![0.0; grid.height * classes * size.width];
        for (row, plane) in soft
            .chunks_exact(grid.width * classes)
            .zip(planes.chunks_exact_mut(classes * size.width))
        {
            widen(row, classes, &columns, plane);
        }
        Self {
            planes,
            classes,
            rows: bilinear(grid.height, size.height),
            width: size.width,
        }
    }

    /// One class on one row of pixels.
    pub fn row(&self, y: usize, class: usize, values: &mut [f32]) {
        let tap = self.rows[y];
        let plane =
            |row: usize| &self.planes[(row * self.classes + class) * self.width..][..self.width];
        for ((value, &low), &high) in values.iter_mut().zip(plane(tap.low)).zip(plane(tap.high)) {
            *value = tap.blend(low, high);
        }
    }
}
