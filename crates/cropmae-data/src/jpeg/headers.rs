//! What stands before a JPEG's entropy-coded data (ITU-T T.81, annex B; JFIF 1.02; Adobe TN 5116).

use super::Fault;
use super::block::ZIGZAG;
use super::huffman::{LARGEST_AC, LARGEST_DC, Table};

mod marker {
    pub(super) const BASELINE: u8 = 0xc0;
    pub(super) const EXTENDED: u8 = 0xc1;
    pub(super) const HUFFMAN: u8 = 0xc4;
    pub(super) const END: u8 = 0xd9;
    pub(super) const SCAN: u8 = 0xda;
    pub(super) const QUANTIZERS: u8 = 0xdb;
    pub(super) const RESTARTS: u8 = 0xdd;
    pub(super) const JFIF: u8 = 0xe0;
    pub(super) const EXIF: u8 = 0xe1;
    pub(super) const ADOBE: u8 = 0xee;
}

/// All that is known before pixels are decoded.
#[derive(Debug)]
pub(super) struct Headers<'a> {
    pub(super) width: usize,
    pub(super) height: usize,
    /// One, or three.
    pub(super) components: Vec<Component>,
    /// Whether three components are luma, blue difference and red difference, not red, green and blue.
    pub(super) ycc: bool,
    /// MCUs between two restart markers.
    pub(super) restart_interval: Option<usize>,
    /// The Exif segment's TIFF data.
    pub(super) exif: Option<&'a [u8]>,
    /// Entropy-coded data and what follows it.
    pub(super) scan: &'a [u8],
}

/// A component of the frame, with the tables that its scan selects.
#[derive(Debug)]
pub(super) struct Component {
    id: u8,
    /// Blocks side by side in an MCU.
    pub(super) across: usize,
    /// Blocks on top of each other in an MCU.
    pub(super) down: usize,
    /// In natural order.
    pub(super) quantizers: [i32; 64],
    pub(super) dc: Table,
    pub(super) ac: Table,
}

/// What the segments so far have defined.
#[derive(Default)]
struct Tables {
    quantizers: [Option<[i32; 64]>; 4],
    dc: [Option<Table>; 4],
    ac: [Option<Table>; 4],
}

struct Frame {
    width: usize,
    height: usize,
    /// Identifier, sampling factors across and down, quantizer.
    components: Vec<[u8; 4]>,
}

impl<'a> Headers<'a> {
    /// Reads the headers of `bytes`, which start with a start-of-image marker.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut rest = bytes.get(2..).unwrap_or(&[]);
        let mut tables = Tables::default();
        let mut frame: Option<Frame> = None;
        let (mut restart_interval, mut exif) = (None, None);
        let (mut jfif, mut adobe_transform) = (false, None);
        loop {
            let (marker, segment) = next_segment(&mut rest)?;
            match marker {
                marker::BASELINE | marker::EXTENDED => {
                    if frame.is_some() {
                        return Err(Fault::broken("two frames"));
                    }
                    frame = Some(Frame::parse(segment)?);
                }
                marker::HUFFMAN => tables.read_huffman(segment)?,
                marker::QUANTIZERS => tables.read_quantizers(segment)?,
                marker::RESTARTS => {
                    let [high, low] = *segment
                        .first_chunk()
                        .ok_or_else(|| Fault::short("the restart interval"))?;
                    restart_interval =
                        Some(usize::from(u16::from_be_bytes([high, low]))).filter(|&n| n > 0);
                }
                marker::JFIF => jfif |= segment.starts_with(b"JFIF\0"),
                marker::EXIF if exif.is_none() => exif = segment.strip_prefix(b"Exif\0\0"),
                marker::ADOBE if segment.starts_with(b"Adobe") && segment.len() >= 12 => {
                    adobe_transform = Some(segment[11]);
                }
                marker::SCAN => {
                    let frame = frame.ok_or_else(|| Fault::broken("a scan before any frame"))?;
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
                // Progressive, lossless and hierarchical frames, and arithmetic coding.
                0xc2..=0xcf => return Err(Fault::Unsupported),
                marker::END => return Err(Fault::broken("no scan")),
                _ => {}
            }
        }
    }
}

/// The next marker and its segment's content. Odd bytes before a marker are passed over.
fn next_segment<'a>(rest: &mut &'a [u8]) -> Result<(u8, &'a [u8]), Fault> {
    loop {
        let at = memchr::memchr(0xff, rest).ok_or_else(|| Fault::short("the headers"))?;
        let after = &rest[at..];
        let fill = after.iter().take_while(|&&byte| byte == 0xff).count();
        let Some((&marker, tail)) = after[fill..].split_first() else {
            return Err(Fault::short("the headers"));
        };
        *rest = tail;
        match marker {
            // Stuffed bytes, restarts, start of image and TEM have no segment.
            0x00 | 0x01 | 0xd0..=0xd8 => {}
            marker::END => return Ok((marker, &[])),
            _ => {
                let &length = tail
                    .first_chunk()
                    .ok_or_else(|| Fault::short("a segment"))?;
                let length = usize::from(u16::from_be_bytes(length));
                let segment = tail
                    .get(2..length)
                    .ok_or_else(|| Fault::short("a segment"))?;
                *rest = &tail[length..];
                return Ok((marker, segment));
            }
        }
    }
}

/// Which colours three components are, as libjpeg decides it.
fn is_ycc(components: &[Component], jfif: bool, adobe_transform: Option<u8>) -> bool {
    let ids = components.iter().map(|component| component.id);
    match adobe_transform {
        _ if jfif => true,
        Some(transform) => transform != 0,
        None => !ids.eq(*b"RGB"),
    }
}

impl Tables {
    fn read_huffman(&mut self, mut segment: &[u8]) -> Result<(), Fault> {
        let short = || Fault::short("a Huffman table");
        while let Some((&target, rest)) = segment.split_first() {
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or_else(short)?;
            let total = counts.iter().map(|&count| usize::from(count)).sum();
            let (symbols, rest) = rest.split_at_checked(total).ok_or_else(short)?;
            let table = Table::new(counts, symbols)?;
            let (class, table, too_large) = match target >> 4 {
                0 => (
                    &mut self.dc,
                    table,
                    symbols.iter().any(|&size| size > LARGEST_DC),
                ),
                1 => (
                    &mut self.ac,
                    table.with_groups(),
                    symbols.iter().any(|&symbol| symbol & 15 > LARGEST_AC),
                ),
                _ => return Err(Fault::broken("a Huffman table of an unknown class")),
            };
            if too_large {
                return Err(Fault::Unsupported);
            }
            let slot = class
                .get_mut(usize::from(target & 15))
                .ok_or_else(|| Fault::broken("a Huffman table beyond the fourth"))?;
            *slot = Some(table);
            segment = rest;
        }
        Ok(())
    }

    fn read_quantizers(&mut self, mut segment: &[u8]) -> Result<(), Fault> {
        while let Some((&target, rest)) = segment.split_first() {
            let slot = self
                .quantizers
                .get_mut(usize::from(target & 15))
                .ok_or_else(|| Fault::broken("a quantization table beyond the fourth"))?;
            let width = 1 + usize::from(target >> 4 != 0);
            let (values, rest) = rest
                .split_at_checked(64 * width)
                .ok_or_else(|| Fault::short("a quantization table"))?;
            let table = slot.insert([0; 64]);
            for (value, place) in values.chunks_exact(width).zip(ZIGZAG) {
                let value = value
                    .iter()
                    .fold(0, |high, &low| high << 8 | i32::from(low));
                table[usize::from(place)] = value;
            }
            segment = rest;
        }
        Ok(())
    }
}

impl Frame {
    fn parse(segment: &[u8]) -> Result<Self, Fault> {
        let short = || Fault::short("the frame header");
        let (&[precision, h1, h0, w1, w0, count], rest) =
            segment.split_first_chunk::<6>().ok_or_else(short)?;
        let size = [[w1, w0], [h1, h0]].map(|side| usize::from(u16::from_be_bytes(side)));
        let [width, height] = size;
        // A height of 0 is defined behind the first scan.
        if precision != 8 || !matches!(count, 1 | 3) || height == 0 {
            return Err(Fault::Unsupported);
        }
        if width == 0 {
            return Err(Fault::broken("no pixels"));
        }
        let specified = rest.get(..3 * usize::from(count)).ok_or_else(short)?;
        let mut components: Vec<[u8; 4]> = specified
            .chunks_exact(3)
            .map(|component| {
                [
                    component[0],
                    component[1] >> 4,
                    component[1] & 15,
                    component[2],
                ]
            })
            .collect();
        if let [only] = &mut components[..] {
            // Alone, a component's blocks are not grouped.
            (only[1], only[2]) = (1, 1);
        }
        for axis in [1, 2] {
            let most = components.iter().map(|component| component[axis]).max();
            let supported = |factor| matches!(factor, 1 | 2);
            if !most.is_some_and(supported) || components.iter().any(|c| !supported(c[axis])) {
                return Err(Fault::Unsupported);
            }
        }
        Ok(Self {
            width,
            height,
            components,
        })
    }

    /// The components with their tables; all of them must be in the one scan.
    fn scan_components(&self, segment: &[u8], tables: &Tables) -> Result<Vec<Component>, Fault> {
        let count = self.components.len();
        let (&listed, rest) = segment
            .split_first()
            .ok_or_else(|| Fault::short("the scan header"))?;
        if usize::from(listed) != count {
            return Err(Fault::Unsupported);
        }
        let selected = rest
            .get(..2 * count)
            .ok_or_else(|| Fault::short("the scan header"))?;
        let components = self.components.iter().zip(selected.chunks_exact(2));
        components
            .map(|(&[id, across, down, quantizer], selected)| {
                if selected[0] != id {
                    return Err(Fault::Unsupported);
                }
                let (dc, ac) = (selected[1] >> 4, selected[1] & 15);
                let quantizers = tables.quantizers.get(usize::from(quantizer)).copied();
                let table = |class: &[Option<Table>; 4], index: u8| {
                    // Without tables of its own a file means the customary ones.
                    let table = class.get(usize::from(index)).cloned().flatten();
                    table.ok_or(Fault::Unsupported)
                };
                Ok(Component {
                    id,
                    across: across.into(),
                    down: down.into(),
                    quantizers: quantizers
                        .flatten()
                        .ok_or_else(|| Fault::broken("a component without quantization table"))?,
                    dc: table(&tables.dc, dc)?,
                    ac: table(&tables.ac, ac)?,
                })
            })
            .collect()
    }
}
