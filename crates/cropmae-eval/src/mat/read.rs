//! Reads arrays that may be compressed with zlib.
//!
//! Cells, structs, strings, sparse and complex arrays are not supported, because JHMDB does not use them. Sizes in the
//! file are not trusted: memory is only allocated for bytes that exist, and a compressed element must not decompress to
//! more than 64 MiB.

use std::io::Read;
use std::path::Path;

use super::{Array, HEADER, kind};
use crate::error::EvalError;

/// The maximum size of a decompressed element.
const MAX_UNFOLDED: u64 = 64 << 20;

/// Reads the array `name` from a MATLAB 5 file.
///
/// # Errors
/// Returns [`EvalError::Read`] if the file cannot be read, and [`EvalError::Mat`] if it is damaged or contains no
/// numeric array with this name.
pub fn read(path: &Path, name: &str) -> Result<Array, EvalError> {
    let bytes = std::fs::read(path).map_err(|source| EvalError::Read {
        path: path.into(),
        source,
    })?;
    find_array(&bytes, name).map_err(|message| EvalError::Mat {
        path: path.into(),
        message,
    })
}

fn find_array(bytes: &[u8], name: &str) -> Result<Array, String> {
    let header = bytes
        .get(..HEADER)
        .ok_or("expected a header of 128 bytes, but the file is shorter: copy it again")?;
    let big_endian = match &header[126..] {
        b"IM" => false,
        b"MI" => true,
        _ => {
            return Err("no MATLAB 5 signature (version 7.3 files are HDF5: save with -v7)".into());
        }
    };
    let mut names = Vec::new();
    let mut elements = Reader {
        bytes: &bytes[HEADER..],
        big_endian,
    };
    while !elements.bytes.is_empty() {
        let element = elements.element()?;
        let found = match element.kind {
            kind::COMPRESSED => {
                let unfolded = inflate(element.bytes)?;
                let mut inner = Reader {
                    bytes: &unfolded,
                    big_endian,
                };
                let element = inner.element()?;
                match element.kind {
                    kind::MATRIX => matrix(element.bytes, big_endian, name, &mut names)?,
                    _ => None,
                }
            }
            kind::MATRIX => matrix(element.bytes, big_endian, name, &mut names)?,
            _ => None,
        };
        if let Some(array) = found {
            return Ok(array);
        }
    }
    Err(format!(
        "no array {name:?}: found {}",
        if names.is_empty() {
            "none".to_string()
        } else {
            names.join(", ")
        }
    ))
}

fn inflate(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut unfolded = Vec::new();
    flate2::read::ZlibDecoder::new(bytes)
        .take(MAX_UNFOLDED + 1)
        .read_to_end(&mut unfolded)
        .map_err(|error| format!("damaged compressed element: {error}"))?;
    if unfolded.len() as u64 > MAX_UNFOLDED {
        return Err(format!(
            "a compressed element is larger than {} MiB",
            MAX_UNFOLDED >> 20
        ));
    }
    Ok(unfolded)
}

/// A tagged element.
struct Element<'a> {
    kind: u32,
    bytes: &'a [u8],
}

struct Reader<'a> {
    bytes: &'a [u8],
    big_endian: bool,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let (head, tail) = self.bytes.split_at_checked(length).ok_or_else(|| {
            format!(
                "cut short: {} bytes left where {length} should follow",
                self.bytes.len()
            )
        })?;
        self.bytes = tail;
        Ok(head)
    }

    fn word(&self, bytes: &[u8]) -> u32 {
        let bytes = [bytes[0], bytes[1], bytes[2], bytes[3]];
        if self.big_endian {
            u32::from_be_bytes(bytes)
        } else {
            u32::from_le_bytes(bytes)
        }
    }

    /// Reads the next element. Data are padded to 8 bytes, except in compressed elements.
    fn element(&mut self) -> Result<Element<'a>, String> {
        let tag = self.take(8)?;
        let found = self.word(tag);
        if found >> 16 != 0 {
            // In a small element, the tag contains the length, the type and up to 4 bytes of data.
            let length = (found >> 16) as usize;
            let bytes = tag[4..]
                .get(..length)
                .ok_or_else(|| format!("a small element of {length} bytes, at most 4 fit"))?;
            let kind = found & 0xffff;
            return Ok(Element { kind, bytes });
        }
        let length = self.word(&tag[4..]) as usize;
        let bytes = self.take(length)?;
        if found != kind::COMPRESSED {
            let padding = length.wrapping_neg() % 8;
            self.take(padding.min(self.bytes.len()))?;
        }
        Ok(Element { kind: found, bytes })
    }
}

/// Returns the array of a matrix element if its name is `wanted`. Otherwise the name is recorded.
fn matrix(
    bytes: &[u8],
    big_endian: bool,
    wanted: &str,
    names: &mut Vec<String>,
) -> Result<Option<Array>, String> {
    let mut parts = Reader { bytes, big_endian };
    let flags = parts.element()?;
    let dims = parts.element()?;
    let name = parts.element()?;
    let name = String::from_utf8_lossy(name.bytes).into_owned();
    if name != wanted {
        names.push(name);
        return Ok(None);
    }
    let flags = match flags.bytes.get(..4) {
        Some(flags) => parts.word(flags),
        None => return Err(format!("array {name:?}: its flags are cut short")),
    };
    let class = flags & 0xff;
    if !(6..=15).contains(&class) || flags & 0x0800 != 0 {
        return Err(format!(
            "array {name:?} is of class {class}{}: expected real numbers",
            if flags & 0x0800 != 0 { ", complex" } else { "" }
        ));
    }
    let dims: Vec<usize> = dims
        .bytes
        .chunks_exact(4)
        .map(|dim| parts.word(dim) as usize)
        .collect();
    let values = numbers(&parts.element()?, big_endian)
        .ok_or_else(|| format!("array {name:?}: its data are of an unknown type"))?;
    let expected = dims.iter().try_fold(1usize, |n, &dim| n.checked_mul(dim));
    if expected != Some(values.len()) {
        return Err(format!(
            "array {name:?} of {dims:?} holds {} values",
            values.len()
        ));
    }
    Ok(Some(Array { dims, values }))
}

/// Returns the values of a data element. MATLAB stores doubles in any narrower type that can represent them.
fn numbers(element: &Element<'_>, big_endian: bool) -> Option<Vec<f64>> {
    fn read<const N: usize>(
        bytes: &[u8],
        big_endian: bool,
        convert: impl Fn([u8; N]) -> f64,
    ) -> Vec<f64> {
        bytes
            .as_chunks::<N>()
            .0
            .iter()
            .map(|&value| {
                let mut value = value;
                if big_endian {
                    value.reverse();
                }
                convert(value)
            })
            .collect()
    }
    let bytes = element.bytes;
    Some(match element.kind {
        1 => read(bytes, big_endian, |b| f64::from(i8::from_le_bytes(b))),
        2 => read(bytes, big_endian, |b| f64::from(u8::from_le_bytes(b))),
        3 => read(bytes, big_endian, |b| f64::from(i16::from_le_bytes(b))),
        4 => read(bytes, big_endian, |b| f64::from(u16::from_le_bytes(b))),
        5 => read(bytes, big_endian, |b| f64::from(i32::from_le_bytes(b))),
        6 => read(bytes, big_endian, |b| f64::from(u32::from_le_bytes(b))),
        7 => read(bytes, big_endian, |b| f64::from(f32::from_le_bytes(b))),
        9 => read(bytes, big_endian, f64::from_le_bytes),
        12 => read(bytes, big_endian, |b| i64::from_le_bytes(b) as f64),
        13 => read(bytes, big_endian, |b| u64::from_le_bytes(b) as f64),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::to_bytes;
    use super::super::write::element;
    use super::*;
    use proptest::prelude::*;

    /// Returns a file with one small array of doubles.
    fn file(name: &str) -> Vec<u8> {
        let array = Array {
            dims: vec![2, 3],
            values: vec![1.0, 2.5, -3.0, 0.0, 1e9, 7.0],
        };
        to_bytes(name, &array)
    }

    #[test]
    fn reads_what_was_written_and_names_what_is_there() {
        let bytes = file("pos_img");
        let array = find_array(&bytes, "pos_img").unwrap();
        assert_eq!(array.dims, [2, 3]);
        assert_eq!(array.values, [1.0, 2.5, -3.0, 0.0, 1e9, 7.0]);
        let error = find_array(&bytes, "scale").unwrap_err();
        assert_eq!(error, "no array \"scale\": found pos_img");
    }

    #[test]
    fn a_bomb_is_refused() {
        use std::io::Write;
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        for _ in 0..65 {
            encoder.write_all(&vec![0; 1 << 20]).unwrap();
        }
        let mut bytes = file("x");
        bytes.truncate(HEADER);
        element(&mut bytes, kind::COMPRESSED, &encoder.finish().unwrap());
        assert!(find_array(&bytes, "x").unwrap_err().contains("64 MiB"));
    }

    proptest! {
        #[test]
        fn damaged_files_are_errors(cut in 0usize..300, at in 128usize..300, byte in any::<u8>()) {
            let mut bytes = file("pos_img");
            let whole = bytes.len();
            let at = at.min(whole - 1);
            bytes[at] = byte;
            let _ = find_array(&bytes, "pos_img");
            let mut bytes = file("pos_img");
            bytes.truncate(cut.min(whole - 1));
            prop_assert!(find_array(&bytes, "pos_img").is_err());
        }
    }
}
