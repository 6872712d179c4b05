//! The frame and its components (ITU-T T.81, B.2.2 and B.2.3).

use crate::error::JpegError;
use crate::huffman::Table;
use crate::tables::Tables;

/// A component of the frame, with the tables that the scan selects.
#[derive(Debug)]
pub(crate) struct Component {
    pub(crate) id: u8,
    /// The number of blocks side by side in an MCU.
    pub(crate) across: usize,
    /// The number of blocks on top of each other in an MCU.
    pub(crate) down: usize,
    /// The quantization table, in natural order.
    pub(crate) quantizers: [i32; 64],
    pub(crate) dc: Table,
    pub(crate) ac: Table,
}

/// The size of a picture and its components.
pub(crate) struct FrameHeader {
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// The identifier, the horizontal and vertical sampling factors, and the quantizer of each component.
    components: Vec<[u8; 4]>,
}

impl FrameHeader {
    /// Reads the content of a SOF segment.
    pub(crate) fn parse(segment: &[u8]) -> Result<Self, JpegError> {
        let short = || JpegError::short("the frame header");
        let (&[precision, h1, h0, w1, w0, count], rest) =
            segment.split_first_chunk::<6>().ok_or_else(short)?;
        let size = [[w1, w0], [h1, h0]].map(|side| usize::from(u16::from_be_bytes(side)));
        let [width, height] = size;
        if precision != 8 {
            return Err(JpegError::unsupported(
                "a JPEG with other than 8 bits per value",
            ));
        }
        if !matches!(count, 1 | 3) {
            return Err(JpegError::unsupported(
                "a JPEG with other than one or three components, such as CMYK",
            ));
        }
        if height == 0 {
            // A height of 0 is defined after the first scan.
            return Err(JpegError::unsupported(
                "a JPEG whose height comes after its first scan",
            ));
        }
        if width == 0 {
            return Err(JpegError::invalid("no pixels"));
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
            // The blocks of a single component are not grouped.
            (only[1], only[2]) = (1, 1);
        }
        for axis in [1, 2] {
            let most = components.iter().map(|component| component[axis]).max();
            let supported = |factor| matches!(factor, 1 | 2);
            if !most.is_some_and(supported) || components.iter().any(|c| !supported(c[axis])) {
                return Err(JpegError::unsupported("a JPEG with unusual subsampling"));
            }
        }
        Ok(Self {
            width,
            height,
            components,
        })
    }

    /// Reads the content of a SOS segment, which contains the components with the tables that it selects.
    ///
    /// All components must be in one scan.
    pub(crate) fn scan_components(
        &self,
        segment: &[u8],
        tables: &Tables,
    ) -> Result<Vec<Component>, JpegError> {
        let count = self.components.len();
        let (&listed, rest) = segment
            .split_first()
            .ok_or_else(|| JpegError::short("the scan header"))?;
        if usize::from(listed) != count {
            return Err(JpegError::unsupported("a JPEG with several scans"));
        }
        let selected = rest
            .get(..2 * count)
            .ok_or_else(|| JpegError::short("the scan header"))?;
        let components = self.components.iter().zip(selected.chunks_exact(2));
        components
            .map(|(&[id, across, down, quantizer], selected)| {
                if selected[0] != id {
                    return Err(JpegError::unsupported(
                        "a JPEG whose scan has another order of components than its frame",
                    ));
                }
                let (dc, ac) = (selected[1] >> 4, selected[1] & 15);
                let quantizers = tables.quantizers.get(usize::from(quantizer)).copied();
                let table = |class: &[Option<Table>; 4], index: u8| {
                    // A file without tables uses those of annex K of the standard.
                    let table = class.get(usize::from(index)).cloned().flatten();
                    table.ok_or(JpegError::unsupported("a JPEG without Huffman tables"))
                };
                Ok(Component {
                    id,
                    across: across.into(),
                    down: down.into(),
                    quantizers: quantizers.flatten().ok_or_else(|| {
                        JpegError::invalid("a component without quantization table")
                    })?,
                    dc: table(&tables.dc, dc)?,
                    ac: table(&tables.ac, ac)?,
                })
            })
            .collect()
    }
}
