//! A picture of a sample, before it is known which of its pixels are needed.

use std::borrow::Cow;
use std::path::Path;

use image::RgbImage;

use crate::BadFile;
use crate::boxes::CropBox;
use crate::decode::{Encoded, Options};
use crate::sources::{Content, Picture};

pub(super) struct Frame<'a> {
    path: &'a Path,
    pixels: Pixels<'a>,
}

enum Pixels<'a> {
    Encoded(Encoded<'a>),
    Decoded(&'a RgbImage),
}

impl<'a> Frame<'a> {
    /// Reads the headers of a picture.
    pub(super) fn open(picture: &'a Picture, options: Options) -> Result<Self, BadFile> {
        let pixels = match &picture.content {
            Content::Decoded(pixels) => Pixels::Decoded(pixels),
            Content::Encoded(bytes) => Pixels::Encoded(
                Encoded::open(bytes, options).map_err(|reason| bad(&picture.path, reason))?,
            ),
        };
        Ok(Self {
            path: &picture.path,
            pixels,
        })
    }

    /// Width and height.
    pub(super) fn dimensions(&self) -> (u32, u32) {
        match &self.pixels {
            Pixels::Encoded(encoded) => encoded.dimensions(),
            Pixels::Decoded(pixels) => pixels.dimensions(),
        }
    }

    /// The box around `area` whose pixels are cheapest to have.
    pub(super) fn cheapest(&self, area: CropBox) -> CropBox {
        match &self.pixels {
            Pixels::Encoded(_) => area,
            Pixels::Decoded(pixels) => CropBox::full(pixels.width(), pixels.height()),
        }
    }

    /// The pixels inside `area`.
    pub(super) fn region(&self, area: CropBox) -> Result<Cow<'a, RgbImage>, BadFile> {
        match &self.pixels {
            Pixels::Encoded(encoded) => encoded
                .region(area)
                .map(Cow::Owned)
                .map_err(|reason| bad(self.path, reason)),
            Pixels::Decoded(pixels) if area == self.cheapest(area) => Ok(Cow::Borrowed(pixels)),
            Pixels::Decoded(pixels) => {
                let part = image::imageops::crop_imm(
                    *pixels,
                    area.left,
                    area.top,
                    area.width,
                    area.height,
                );
                Ok(Cow::Owned(part.to_image()))
            }
        }
    }

    /// Frames of one video must not differ in size.
    pub(super) fn require_size(&self, expected: (u32, u32)) -> Result<(), BadFile> {
        let found = self.dimensions();
        if found == expected {
            return Ok(());
        }
        let reason =
            format!("{found:?} pixels, but an earlier frame of its video has {expected:?}");
        Err(bad(self.path, reason))
    }
}

fn bad(path: &Path, reason: String) -> BadFile {
    BadFile {
        path: path.to_owned(),
        reason,
    }
}
