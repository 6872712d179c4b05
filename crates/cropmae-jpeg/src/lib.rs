//! Decodes regions of JPEGs with exactly the pixels of Pillow, in safe Rust.
//!
//! A program that crops photos needs only a part of each photo. The Huffman codes of a JPEG can only be read one after
//! the other, but blocks outside of the region are skipped without being transformed, and nothing below the region is
//! read, so damage there is not noticed. The result is equal, bit for bit, to that of libjpeg-turbo with its default
//! settings (accurate integer inverse DCT, triangle-filtered chroma, fixed-point colors), which Pillow uses.
//!
//! ```
//! use cropmae_jpeg::{Jpeg, Region};
//!
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/data/jpeg/420.jpg");
//! let file = std::fs::read(path)?;
//! let jpeg = Jpeg::parse(&file)?;
//! let region = Region { left: 10, top: 5, width: 16, height: 8 };
//! let rgb = jpeg.decode_region(region)?;
//! assert_eq!(rgb.len(), 16 * 8 * 3);
//!
//! // The pixels are the same as in the whole picture.
//! let whole = jpeg.decode()?;
//! let start = (5 * jpeg.width() as usize + 10) * 3;
//! assert_eq!(rgb[..16 * 3], whole[start..start + 16 * 3]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The decoder supports the usual format of photos: sequential frames with Huffman coding, 8 bits per value and one
//! scan, gray or with three components, subsampled by at most 2 in each direction, with or without restart markers. For
//! all other files, such as progressive or CMYK files, it returns [`JpegError::Unsupported`], and the caller can use
//! another decoder.

mod bits;
mod block;
mod color;
mod decode;
mod error;
mod frame;
mod groups;
mod headers;
mod huffman;
mod idct;
mod planes;
mod region;
mod symbol;
mod tables;
#[cfg(test)]
mod tests;
mod upsample;

use std::cell::RefCell;

pub use error::JpegError;
pub use region::Region;

use decode::Scratch;
use headers::Headers;

/// A JPEG whose headers have been read.
#[derive(Debug)]
pub struct Jpeg<'a>(Headers<'a>);

impl<'a> Jpeg<'a> {
    /// Reads the headers of a JPEG file.
    ///
    /// # Errors
    /// Returns [`JpegError::Unsupported`] for a kind of JPEG that this crate does not decode, and another [`JpegError`]
    /// if `file` is not a JPEG or its headers are damaged.
    pub fn parse(file: &'a [u8]) -> Result<Self, JpegError> {
        Headers::parse(file).map(Self)
    }

    /// Returns the width of the stored picture in pixels, from 1 to 65,535.
    pub fn width(&self) -> u32 {
        self.0.width as u32
    }

    /// Returns the height of the stored picture in pixels, from 1 to 65,535.
    pub fn height(&self) -> u32 {
        self.0.height as u32
    }

    /// Returns the region of the whole picture.
    pub fn bounds(&self) -> Region {
        Region {
            left: 0,
            top: 0,
            width: self.width(),
            height: self.height(),
        }
    }

    /// Returns the TIFF data of the Exif segment, which may contain the orientation of the picture.
    ///
    /// This crate does not rotate pictures.
    pub fn exif(&self) -> Option<&'a [u8]> {
        self.0.exif
    }

    /// Decodes the whole picture.
    ///
    /// Shapes: the result is `(height, width, 3)`, 8-bit RGB, row by row.
    ///
    /// # Errors
    /// [`JpegError::BrokenData`] if the entropy-coded data is damaged or ends early.
    pub fn decode(&self) -> Result<Vec<u8>, JpegError> {
        self.decode_region(self.bounds())
    }

    /// Decodes the pixels of `region`.
    ///
    /// Shapes: the result is `(region.height, region.width, 3)`, 8-bit RGB, row by row.
    ///
    /// # Errors
    /// Returns the errors of [`Self::decode_region_into`], except for [`JpegError::BufferLength`].
    pub fn decode_region(&self, region: Region) -> Result<Vec<u8>, JpegError> {
        self.require_inside(region)?;
        let mut rgb = vec![0; region.rgb_len()];
        self.decode_region_into(region, &mut rgb)?;
        Ok(rgb)
    }

    /// Decodes the pixels of `region` into `rgb`.
    ///
    /// Each thread keeps its working memory for the next picture.
    ///
    /// Shapes: `rgb` is `(region.height, region.width, 3)`, 8-bit RGB, row by row.
    ///
    /// # Errors
    /// - [`JpegError::OutsidePicture`] if `region` is empty or not inside of the picture.
    /// - [`JpegError::BufferLength`] if `rgb` does not have the length of the region.
    /// - [`JpegError::BrokenData`] if the entropy-coded data is damaged or ends early. Only the data above the
    ///   region's last row is read. The content of `rgb` is then unspecified.
    pub fn decode_region_into(&self, region: Region, rgb: &mut [u8]) -> Result<(), JpegError> {
        thread_local! {
            static SCRATCH: RefCell<Scratch> = RefCell::default();
        }
        self.require_inside(region)?;
        if rgb.len() != region.rgb_len() {
            return Err(JpegError::BufferLength {
                found: rgb.len(),
                expected: region.rgb_len(),
            });
        }
        SCRATCH.with_borrow_mut(|scratch| decode::decode(&self.0, region, rgb, scratch))
    }

    fn require_inside(&self, region: Region) -> Result<(), JpegError> {
        let (width, height) = (self.width(), self.height());
        if region.is_inside(width, height) {
            return Ok(());
        }
        Err(JpegError::OutsidePicture {
            region,
            width,
            height,
        })
    }
}

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
