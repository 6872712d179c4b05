//! Reads the segments before the entropy-coded data of a JPEG (ITU-T T.81, annex B; JFIF 1.02; Adobe TN 5116).

use crate::error::JpegError;
use crate::frame::{Component, FrameHeader};
use crate::tables::Tables;

mod marker {
    pub(super) const BASELINE: u8 = 0xc0;
    pub(super) const EXTENDED: u8 = 0xc1;
    pub(super) const PROGRESSIVE: u8 = 0xc2;
    pub(super) const HUFFMAN: u8 = 0xc4;
    pub(super) const START: u8 = 0xd8;
    pub(super) const END: u8 = 0xd9;
    pub(super) const SCAN: u8 = 0xda;
    pub(super) const QUANTIZERS: u8 = 0xdb;
    pub(super) const RESTARTS: u8 = 0xdd;
    pub(super) const JFIF: u8 = 0xe0;
    pub(super) const EXIF: u8 = 0xe1;
    pub(super) const ADOBE: u8 = 0xee;
}

/// The content of the headers, which is everything that is needed to decode pixels.
#[derive(Debug)]
pub(crate) struct Headers<'a> {
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// The components: one or three.
    pub(crate) components: Vec<Component>,
    /// `true` if three components are luma, blue difference and red difference, not red, green and blue.
    pub(crate) ycc: bool,
    /// The number of MCUs between two restart markers.
    pub(crate) restart_interval: Option<usize>,
    /// The TIFF data of the Exif segment.
    pub(crate) exif: Option<&'a [u8]>,
    /// The entropy-coded data and the rest of the file.
    pub(crate) scan: &'a [u8],
}

impl<'a> Headers<'a> {
    /// Reads all segments up to the first scan.
    pub(crate) fn parse(file: &'a [u8]) -> Result<Self, JpegError> {
        let mut rest = file
            .strip_prefix(&[0xff, marker::START])
            .ok_or(JpegError::NotJpeg)?;
        let mut tables = Tables::default();
        let mut frame: Option<FrameHeader> = None;
        let (mut restart_interval, mut exif) = (None, None);
        let (mut jfif, mut adobe_transform) = (false, None);
        loop {
            let (marker, segment) = next_segment(&mut rest)?;
            match marker {
                marker::BASELINE | marker::EXTENDED => {
                    if frame.is_some() {
                        return Err(JpegError::invalid("two frames"));
                    }
                    frame = Some(FrameHeader::parse(segment)?);
                }
                marker::HUFFMAN => tables.read_huffman(segment)?,
                marker::QUANTIZERS => tables.read_quantizers(segment)?,
                marker::RESTARTS => {
                    let [high, low] = *segment
                        .first_chunk()
                        .ok_or_else(|| JpegError::short("the restart interval"))?;
                    restart_interval =
                        Some(usize::from(u16::from_be_bytes([high, low]))).filter(|&n| n > 0);
                }
                marker::JFIF => jfif |= segment.starts_with(b"JFIF\0"),
                marker::EXIF if exif.is_none() => exif = segment.strip_prefix(b"Exif\0\0"),
                marker::ADOBE if segment.starts_with(b"Adobe") && segment.len() >= 12 => {
                    adobe_transform = Some(segment[11]);
                }
                marker::SCAN => {
                    let frame =
                        frame.ok_or_else(|| JpegError::invalid("a scan before any frame"))?;
                    let components = frame.scan_components(segment, &tables)?;
                    return Ok(Self {
                        width: frame.width,
                        height: frame.height,
                        ycc: is_ycc(&components, jfif, adobe_transform),
                        components,
                        restart_interval,
                        exif,
                        scan: rest,
                    });
                }
                marker::PROGRESSIVE => return Err(JpegError::unsupported("a progressive JPEG")),
                // These markers are lossless and hierarchical frames, and arithmetic coding.
                0xc3..=0xcf => {
                    return Err(JpegError::unsupported(
                        "a lossless, hierarchical or arithmetic-coded JPEG",
                    ));
                }
                marker::END => return Err(JpegError::invalid("no scan")),
                _ => {}
            }
        }
    }
}

/// Returns the next marker and the content of its segment. Other bytes before a marker are skipped.
fn next_segment<'a>(rest: &mut &'a [u8]) -> Result<(u8, &'a [u8]), JpegError> {
    loop {
        let at = memchr::memchr(0xff, rest).ok_or_else(|| JpegError::short("the headers"))?;
        let after = &rest[at..];
        let fill = after.iter().take_while(|&&byte| byte == 0xff).count();
        let Some((&marker, tail)) = after[fill..].split_first() else {
            return Err(JpegError::short("the headers"));
        };
        *rest = tail;
        match marker {
            // Stuffed bytes, restarts, start of image and TEM have no segments.
            0x00 | 0x01 | 0xd0..=0xd8 => {}
            marker::END => return Ok((marker, &[])),
            _ => {
                let &length = tail
                    .first_chunk()
                    .ok_or_else(|| JpegError::short("a segment"))?;
                let length = usize::from(u16::from_be_bytes(length));
                let segment = tail
                    .get(2..length)
                    .ok_or_else(|| JpegError::short("a segment"))?;
                *rest = &tail[length..];
                return Ok((marker, segment));
            }
        }
    }
}

/// Returns `true` if three components are luma and chroma instead of red, green and blue, by the rules of libjpeg.
fn is_ycc(components: &[Component], jfif: bool, adobe_transform: Option<u8>) -> bool {
    let ids = components.iter().map(|component| component.id);
    match adobe_transform {
        _ if jfif => true,
        Some(transform) => transform != 0,
        None => !ids.eq(*b"RGB"),
    }
}
