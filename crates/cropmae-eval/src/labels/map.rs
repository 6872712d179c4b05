//! Maps of the ids of pixels, which can be resized and written as PNG.

use std::path::Path;

use crate::error::EvalError;
use crate::files;
use crate::palette::Palette;
use crate::resize::{nearest_center, nearest_corner};
use crate::size::Size;

/// The ids of the pixels of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelMap {
    /// Height and width.
    pub size: Size,
    /// The ids (H, W).
    pub ids: Vec<u8>,
}

impl LabelMap {
    /// Resizes the map by nearest neighbor with OpenCV's convention: the source is `floor(i * in / out)`.
    pub fn resize_opencv(&self, size: Size) -> Self {
        self.pick(
            size,
            &nearest_corner(self.size.height, size.height),
            &nearest_corner(self.size.width, size.width),
        )
    }

    /// Resizes the map by nearest neighbor with Pillow's convention: the source is `floor((i + 0.5) * in / out)`.
    pub fn resize_pillow(&self, size: Size) -> Self {
        self.pick(
            size,
            &nearest_center(self.size.height, size.height),
            &nearest_center(self.size.width, size.width),
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

    /// Writes the ids as a palette PNG, the format of DAVIS. Missing folders are created.
    ///
    /// # Errors
    /// Returns [`EvalError::Write`] if the file cannot be written.
    pub fn write_palette(&self, path: &Path, palette: &Palette) -> Result<(), EvalError> {
        self.write(path, Some(palette))
    }

    /// Writes the ids as a gray PNG, the format of VIP. Missing folders are created.
    ///
    /// # Errors
    /// Returns [`EvalError::Write`] if the file cannot be written.
    pub fn write_gray(&self, path: &Path) -> Result<(), EvalError> {
        self.write(path, None)
    }

    fn write(&self, path: &Path, palette: Option<&Palette>) -> Result<(), EvalError> {
        let bytes = self.png(palette).map_err(|error| EvalError::Write {
            path: path.into(),
            source: error.into(),
        })?;
        files::write(path, &bytes)
    }

    fn png(&self, palette: Option<&Palette>) -> Result<Vec<u8>, png::EncodingError> {
        let mut bytes = Vec::new();
        let (width, height) = (self.size.width as u32, self.size.height as u32);
        let mut encoder = png::Encoder::new(&mut bytes, width, height);
        encoder.set_depth(png::BitDepth::Eight);
        match palette {
            Some(palette) => {
                encoder.set_color(png::ColorType::Indexed);
                encoder.set_palette(palette.bytes());
            }
            None => encoder.set_color(png::ColorType::Grayscale),
        }
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.ids)?;
        writer.finish()?;
        Ok(bytes)
    }
}
