//! An image of a sample, before it is known which of its pixels are needed.

use std::borrow::Cow;
use std::path::Path;

use image::RgbImage;

use crate::BadFile;
use crate::boxes::CropBox;
use crate::decode::{Encoded, Options};
use crate::sources::{Content, Picture};

/// An image whose size is known and whose pixels are decoded on demand.
pub(super) struct LazyPicture<'a> {
    path: &'a Path,
    state: State<'a>,
}

enum State<'a> {
    Encoded(Encoded<'a>),
    Decoded(&'a RgbImage),
}

impl<'a> LazyPicture<'a> {
    /// Reads the headers of an image.
    pub(super) fn open(picture: &'a Picture, options: Options) -> Result<Self, BadFile> {
        let state = match &picture.content {
            Content::Decoded(pixels) => State::Decoded(pixels),
            Content::Encoded(bytes) => State::Encoded(
                Encoded::open(bytes, options)
                    .map_err(|reason| BadFile::new(&picture.path, reason))?,
            ),
        };
        Ok(Self {
            path: &picture.path,
            state,
        })
    }

    /// Returns the width and height in pixels.
    pub(super) fn dimensions(&self) -> (u32, u32) {
        match &self.state {
            State::Encoded(encoded) => encoded.dimensions(),
            State::Decoded(pixels) => pixels.dimensions(),
        }
    }

    /// Returns the box around `area` whose pixels are cheapest to get.
    pub(super) fn cheapest(&self, area: CropBox) -> CropBox {
        match &self.state {
            State::Encoded(_) => area,
            State::Decoded(pixels) => CropBox::full(pixels.width(), pixels.height()),
        }
    }

    /// Returns the pixels inside `area`.
    pub(super) fn region(&self, area: CropBox) -> Result<Cow<'a, RgbImage>, BadFile> {
        match &self.state {
            State::Encoded(encoded) => encoded
                .region(area)
                .map(Cow::Owned)
                .map_err(|reason| BadFile::new(self.path, reason)),
            State::Decoded(pixels) if area == self.cheapest(area) => Ok(Cow::Borrowed(pixels)),
            State::Decoded(pixels) => {
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

    /// Returns an error if the size is not `expected`, because all frames of a video must have the same size.
    pub(super) fn require_size(&self, expected: (u32, u32)) -> Result<(), BadFile> {
        let found = self.dimensions();
        if found == expected {
            return Ok(());
        }
        let reason = format!(
            "frame of {found:?} pixels, expected {expected:?} as in an earlier frame of its video"
        );
        Err(BadFile::new(self.path, reason))
    }
}
