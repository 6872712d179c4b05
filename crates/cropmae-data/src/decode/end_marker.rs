//! Checks whether a JPEG is complete.

/// Returns whether a JPEG contains its end-of-image marker.
///
/// Markers of thumbnails inside segments do not count.
pub(super) fn is_in(bytes: &[u8]) -> bool {
    const EOI: u8 = 0xd9;
    if bytes.ends_with(&[0xff, EOI]) {
        return true;
    }
    let mut rest = bytes;
    loop {
        let Some(start) = rest.iter().position(|&byte| byte == 0xff) else {
            return false;
        };
        let (Some(&marker), tail) = (rest.get(start + 1), rest.get(start + 2..).unwrap_or(&[]))
        else {
            return false;
        };
        rest = match marker {
            EOI => return true,
            0xff => &rest[start + 1..],
            // Stuffed bytes, restarts, start of image and TEM have no length.
            0x00 | 0x01 | 0xd0..=0xd8 => tail,
            _ => {
                let &[high, low, ..] = tail else { return false };
                let length = usize::from(u16::from_be_bytes([high, low]));
                let Some(after) = tail.get(length..) else {
                    return false;
                };
                after
            }
        };
    }
}
