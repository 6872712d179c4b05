//! Baseline JPEG decoding of just a region, with the pixels that libjpeg gives.
//!
//! A crop needs a part of its photo. Huffman codes can only be found one after the other, but the blocks
//! outside the region are passed over without being transformed, and what lies below it is not looked
//! at: damage there goes unnoticed. The result equals libjpeg's accurate inverse DCT, triangle-filtered
//! chroma and fixed-point colours bit for bit, and thereby Pillow's.
//!
//! Covers what photos are: Huffman-coded sequential frames of 8 bits in one scan, grey or three
//! components, subsampled by 2 at most, with or without restart markers. Everything else is
//! [`Fault::Unsupported`] and goes through `zune-jpeg`.

mod bits;
mod block;
mod color;
mod groups;
mod headers;
mod huffman;
mod idct;
mod planes;
mod region;
mod upsample;

use std::cell::RefCell;

use image::RgbImage;

use crate::boxes::CropBox;

/// Why a file is not decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// A kind of JPEG that this decoder does not cover.
    #[error("neither baseline nor of a customary kind")]
    Unsupported,
    /// Damage, in words.
    #[error("{0}")]
    Broken(String),
}

impl Fault {
    fn broken(reason: &str) -> Self {
        Self::Broken(reason.to_owned())
    }

    fn short(part: &str) -> Self {
        Self::Broken(format!("{part} is cut short"))
    }
}

/// A JPEG whose headers are read and whose pixels are not.
#[derive(Debug)]
pub(crate) struct Jpeg<'a>(headers::Headers<'a>);

impl<'a> Jpeg<'a> {
    /// Reads the headers of `bytes`, which start with a start-of-image marker.
    pub(crate) fn open(bytes: &'a [u8]) -> Result<Self, Fault> {
        headers::Headers::parse(bytes).map(Self)
    }

    /// Width and height in pixels, as stored.
    pub(crate) fn dimensions(&self) -> (u32, u32) {
        (self.0.width as u32, self.0.height as u32)
    }

    /// The TIFF data of the Exif segment.
    pub(crate) fn exif(&self) -> Option<&'a [u8]> {
        self.0.exif
    }

    /// Decodes the pixels inside `area`, which must lie inside the picture.
    pub(crate) fn region(&self, area: CropBox) -> Result<RgbImage, Fault> {
        thread_local! {
            static SCRATCH: RefCell<region::Scratch> = RefCell::default();
        }
        let mut out = RgbImage::new(area.width, area.height);
        SCRATCH.with_borrow_mut(|scratch| region::decode(&self.0, area, &mut out, scratch))?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests;
