//! Writes an uncompressed array of doubles.

use std::path::Path;

use super::{Array, HEADER, kind};
use crate::error::EvalError;
use crate::files;

/// The class of an array of doubles.
const DOUBLE_CLASS: u32 = 6;

/// Writes a file that contains `array` under `name`. Missing folders are created.
///
/// # Errors
/// Returns [`EvalError::Write`] if the file cannot be written.
///
/// # Panics
/// Panics in the same cases as [`to_bytes`].
pub fn write(path: &Path, name: &str, array: &Array) -> Result<(), EvalError> {
    files::write(path, &to_bytes(name, array))
}

/// Returns the bytes of a little-endian file that contains `array` under `name`.
///
/// # Panics
/// Panics if the number of values does not match the dimensions of `array`, or if the values take 512 MiB or more, which
/// the format does not support.
pub fn to_bytes(name: &str, array: &Array) -> Vec<u8> {
    let Array { dims, values } = array;
    assert_eq!(
        dims.iter().product::<usize>(),
        values.len(),
        "an array of {dims:?}"
    );
    assert!(
        values.len() < 1 << 26,
        "{} values: more than a file can hold",
        values.len()
    );
    let dims = dims.iter().map(|&dim| dim as i32);
    let mut matrix = Vec::with_capacity(values.len() * 8 + 64);
    let flags = bytes_of([DOUBLE_CLASS, 0], u32::to_le_bytes);
    element(&mut matrix, kind::UINT32, &flags);
    element(&mut matrix, kind::INT32, &bytes_of(dims, i32::to_le_bytes));
    element(&mut matrix, kind::INT8, name.as_bytes());
    let values = bytes_of(values.iter().copied(), f64::to_le_bytes);
    element(&mut matrix, kind::DOUBLE, &values);

    let mut file = b"MATLAB 5.0 MAT-file, written by CropMAE in Rust".to_vec();
    file.resize(HEADER - 12, b' ');
    file.extend([0; 8]); // no subsystem data
    file.extend(0x0100u16.to_le_bytes());
    file.extend(b"IM"); // little endian
    element(&mut file, kind::MATRIX, &matrix);
    file
}

/// Appends a tag, `data` and the padding to 8 bytes.
pub(super) fn element(into: &mut Vec<u8>, kind: u32, data: &[u8]) {
    into.extend(kind.to_le_bytes());
    into.extend((data.len() as u32).to_le_bytes());
    into.extend(data);
    into.resize(into.len().next_multiple_of(8), 0);
}

fn bytes_of<T, const N: usize>(
    values: impl IntoIterator<Item = T>,
    to_bytes: fn(T) -> [u8; N],
) -> Vec<u8> {
    values.into_iter().flat_map(to_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the type and the data of the first element, and the rest.
    fn split(bytes: &[u8]) -> (u32, &[u8], &[u8]) {
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let length = word(4) as usize;
        let next = 8 + length.next_multiple_of(8);
        (word(0), &bytes[8..8 + length], &bytes[next..])
    }

    /// The reader accepts more than MATLAB does, so the test checks each element.
    #[test]
    fn elements_are_those_of_the_format() {
        let array = Array {
            dims: vec![2, 15, 1],
            values: (0..30).map(f64::from).collect(),
        };
        let bytes = to_bytes("pos_img", &array);
        assert_eq!(&bytes[124..128], [0, 1, b'I', b'M']);
        assert_eq!(bytes.len() % 8, 0);
        let (found, matrix, rest) = split(&bytes[HEADER..]);
        assert_eq!((found, rest.len()), (kind::MATRIX, 0));
        let (found, flags, matrix) = split(matrix);
        assert_eq!(
            (found, flags),
            (kind::UINT32, &[6, 0, 0, 0, 0, 0, 0, 0][..])
        );
        let (found, dims, matrix) = split(matrix);
        assert_eq!(
            (found, dims),
            (kind::INT32, &[2, 0, 0, 0, 15, 0, 0, 0, 1, 0, 0, 0][..])
        );
        let (found, name, matrix) = split(matrix);
        assert_eq!((found, name), (kind::INT8, &b"pos_img"[..]));
        let (found, doubles, matrix) = split(matrix);
        assert_eq!((found, doubles.len(), matrix.len()), (kind::DOUBLE, 240, 0));
        assert_eq!(doubles[8..16], 1f64.to_le_bytes());
    }

    #[test]
    #[should_panic(expected = "an array of [2, 2]")]
    fn values_that_do_not_fill_the_dimensions_are_a_mistake() {
        let values = vec![1.0; 3];
        to_bytes(
            "x",
            &Array {
                dims: vec![2, 2],
                values,
            },
        );
    }
}
