//! Regions of JPEGs through libjpeg-turbo: the part of the TurboJPEG 3 interface that the decoding of crops
//! needs, and the unsafe code that calling it takes.
//!
//! A crate of its own because no safe wrapper offers the cropping of a decompressed picture, and because
//! `cropmae-data` has no unsafe code.
#![cfg(feature = "libjpeg-turbo")]
#![expect(
    unsafe_code,
    reason = "calls of a C library, each with the reason why it is sound"
)]

use std::ffi::{CStr, c_int};
use std::ops::Range;
use std::ptr::NonNull;

use turbojpeg_sys as raw;

/// Bytes of an RGB pixel.
const CHANNELS: usize = 3;

/// A decompressor, used for one picture after the other.
#[derive(Debug)]
pub struct Turbo {
    handle: NonNull<std::ffi::c_void>,
}

/// What a JPEG's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
    /// Width of an MCU in pixels; `None` where libjpeg-turbo does not know the subsampling.
    mcu_width: Option<usize>,
    /// Whether it is luma and chroma, RGB, or grey.
    pub is_rgb_or_grey: bool,
}

impl Turbo {
    /// A decompressor that refuses damaged pictures; `None` if there is no memory for it.
    pub fn new() -> Option<Self> {
        // SAFETY: the call takes no pointers; a null result is an error.
        let handle = NonNull::new(unsafe { raw::tj3Init(raw::TJINIT_TJINIT_DECOMPRESS as c_int) })?;
        let turbo = Self { handle };
        // Data that ends early would become grey without a word.
        turbo.set(raw::TJPARAM_TJPARAM_STOPONWARNING, 1).ok()?;
        Some(turbo)
    }

    /// Reads the header of `jpeg`.
    ///
    /// # Errors
    /// What libjpeg-turbo says about it.
    pub fn header(&mut self, jpeg: &[u8]) -> Result<Header, String> {
        // SAFETY: the handle is live until `self` is dropped, and `jpeg` lives as long as the call.
        let status = unsafe {
            raw::tj3DecompressHeader(self.handle.as_ptr(), jpeg.as_ptr(), jpeg.len() as _)
        };
        self.check(status)?;
        let mcu_width = match self.get(raw::TJPARAM_TJPARAM_SUBSAMP) {
            raw::TJSAMP_TJSAMP_444 | raw::TJSAMP_TJSAMP_GRAY | raw::TJSAMP_TJSAMP_440 => Some(8),
            raw::TJSAMP_TJSAMP_422 | raw::TJSAMP_TJSAMP_420 => Some(16),
            _ => None,
        };
        let colours = self.get(raw::TJPARAM_TJPARAM_COLORSPACE) as raw::TJCS;
        let side =
            |value: c_int| usize::try_from(value).map_err(|_| format!("a side of {value} pixels"));
        Ok(Header {
            width: side(self.get(raw::TJPARAM_TJPARAM_JPEGWIDTH))?,
            height: side(self.get(raw::TJPARAM_TJPARAM_JPEGHEIGHT))?,
            mcu_width,
            is_rgb_or_grey: matches!(
                colours,
                raw::TJCS_TJCS_RGB | raw::TJCS_TJCS_YCbCr | raw::TJCS_TJCS_GRAY
            ),
        })
    }

    /// Decodes the pixels of `jpeg` in `columns` and `rows`, which must lie inside it, into `out`
    /// `(rows, columns, 3)`; `header` must be that of `jpeg`. `room` serves call after call.
    ///
    /// # Errors
    /// What libjpeg-turbo says about it.
    ///
    /// # Panics
    /// When the region does not lie inside the picture, or `out` is not of its size.
    pub fn decode(
        &mut self,
        jpeg: &[u8],
        header: Header,
        columns: Range<usize>,
        rows: Range<usize>,
        out: &mut [u8],
        room: &mut Vec<u8>,
    ) -> Result<(), String> {
        assert!(columns.end <= header.width && rows.end <= header.height);
        assert_eq!(
            out.len(),
            columns.len() * rows.len() * CHANNELS,
            "size of the output"
        );
        if out.is_empty() {
            return Ok(());
        }
        // Forgets the cropping of the picture before.
        let found = self.header(jpeg)?;
        assert_eq!(found, header, "the header of another picture");
        // Cropping starts at MCUs, and at its edges chroma is not interpolated with what lies outside.
        let (wide, tall) = match header.mcu_width {
            Some(mcu) => {
                let first = (columns.start / mcu).saturating_sub(1) * mcu;
                let end = (columns.end + mcu).min(header.width);
                (
                    first..end,
                    rows.start.saturating_sub(2)..(rows.end + 2).min(header.height),
                )
            }
            None => (0..header.width, 0..header.height),
        };
        let whole = wide.len() == header.width && tall.len() == header.height;
        let region = match whole {
            true => [0; 4],
            false => [wide.start, tall.start, wide.len(), tall.len()],
        };
        let [x, y, w, h] = region.map(|value| value as c_int);
        // SAFETY: the handle is live; the region is passed by value.
        let status = unsafe {
            raw::tj3SetCroppingRegion(self.handle.as_ptr(), raw::tjregion { x, y, w, h })
        };
        self.check(status)?;
        let pitch = wide.len() * CHANNELS;
        room.resize(pitch * tall.len(), 0);
        // SAFETY: the handle is live, `jpeg` and `room` live as long as the call. It writes `tall` rows of
        // `pitch` bytes, the size of the cropping region (or of the picture) in RGB, which `room` holds:
        // the header was just read from the same bytes.
        let status = unsafe {
            raw::tj3Decompress8(
                self.handle.as_ptr(),
                jpeg.as_ptr(),
                jpeg.len() as _,
                room.as_mut_ptr(),
                pitch as c_int,
                raw::TJPF_TJPF_RGB,
            )
        };
        self.check(status)?;
        let start = (columns.start - wide.start) * CHANNELS;
        let row_bytes = columns.len() * CHANNELS;
        let decoded = room.chunks_exact(pitch).skip(rows.start - tall.start);
        for (out, row) in out.chunks_exact_mut(row_bytes).zip(decoded) {
            out.copy_from_slice(&row[start..start + row_bytes]);
        }
        Ok(())
    }

    fn set(&self, parameter: raw::TJPARAM, value: c_int) -> Result<(), String> {
        // SAFETY: the handle is live; nothing else is passed by pointer.
        self.check(unsafe { raw::tj3Set(self.handle.as_ptr(), parameter as c_int, value) })
    }

    fn get(&self, parameter: raw::TJPARAM) -> c_int {
        // SAFETY: as above.
        unsafe { raw::tj3Get(self.handle.as_ptr(), parameter as c_int) }
    }

    fn check(&self, status: c_int) -> Result<(), String> {
        if status == 0 {
            return Ok(());
        }
        // SAFETY: the result is a string of the handle's that ends in zero and stays until the next call.
        let message = unsafe { CStr::from_ptr(raw::tj3GetErrorStr(self.handle.as_ptr())) };
        Err(message.to_string_lossy().into_owned())
    }
}

impl Drop for Turbo {
    fn drop(&mut self) {
        // SAFETY: the handle came from `tj3Init` and is not used after this.
        unsafe { raw::tj3Destroy(self.handle.as_ptr()) }
    }
}
