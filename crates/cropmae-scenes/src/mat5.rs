//! Uncompressed MATLAB 5 files of one array: what JHMDB's `joint_positions.mat` needs.
//!
//! Layout after "MAT-File Format" (MathWorks): a 128-byte header, then one `miMATRIX` element that holds
//! array flags, dimensions, name and values, each padded to 8 bytes.

/// Data types of elements.
const INT8: u32 = 1;
const INT32: u32 = 5;
const UINT32: u32 = 6;
const DOUBLE: u32 = 9;
const MATRIX: u32 = 14;
/// Class of an array of doubles.
const DOUBLE_CLASS: u32 = 6;

/// A file holding the array `name` of the given dimensions; `values` run along the first dimension first.
///
/// The caller sees to it that there are as many values as the dimensions ask for.
pub(crate) fn file(name: &str, dimensions: &[i32], values: &[f64]) -> Vec<u8> {
    let mut matrix = Vec::with_capacity(values.len() * 8 + 64);
    element(
        &mut matrix,
        UINT32,
        &bytes_of([DOUBLE_CLASS, 0], u32::to_le_bytes),
    );
    element(
        &mut matrix,
        INT32,
        &bytes_of(dimensions.iter().copied(), i32::to_le_bytes),
    );
    element(&mut matrix, INT8, name.as_bytes());
    element(
        &mut matrix,
        DOUBLE,
        &bytes_of(values.iter().copied(), f64::to_le_bytes),
    );

    let mut file = b"MATLAB 5.0 MAT-file, written by CropMAE in Rust".to_vec();
    file.resize(116, b' ');
    file.extend([0; 8]); // no subsystem data
    file.extend(0x0100u16.to_le_bytes());
    file.extend(b"IM"); // little endian
    element(&mut file, MATRIX, &matrix);
    file
}

fn element(into: &mut Vec<u8>, kind: u32, data: &[u8]) {
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

    /// Tag, data and rest of the element at the front.
    fn read(bytes: &[u8]) -> (u32, &[u8], &[u8]) {
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let length = word(4) as usize;
        (
            word(0),
            &bytes[8..8 + length],
            &bytes[8 + length.next_multiple_of(8)..],
        )
    }

    #[test]
    fn elements_read_back() {
        let values: Vec<f64> = (0..30).map(f64::from).collect();
        let bytes = file("pos_img", &[2, 15, 1], &values);
        assert_eq!(&bytes[124..128], [0, 1, b'I', b'M']);
        assert_eq!(bytes.len() % 8, 0);
        let (kind, matrix, rest) = read(&bytes[128..]);
        assert_eq!((kind, rest.len()), (MATRIX, 0));
        let (kind, flags, matrix) = read(matrix);
        assert_eq!((kind, flags), (UINT32, &[6, 0, 0, 0, 0, 0, 0, 0][..]));
        let (kind, dimensions, matrix) = read(matrix);
        assert_eq!(
            (kind, dimensions),
            (INT32, &[2, 0, 0, 0, 15, 0, 0, 0, 1, 0, 0, 0][..])
        );
        let (kind, name, matrix) = read(matrix);
        assert_eq!((kind, name), (INT8, &b"pos_img"[..]));
        let (kind, doubles, matrix) = read(matrix);
        assert_eq!((kind, doubles.len(), matrix.len()), (DOUBLE, 240, 0));
        assert_eq!(doubles[8..16], 1f64.to_le_bytes());
    }
}
