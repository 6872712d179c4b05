//! Tensors as views of storages: the check of their bounds, and their elements in row-major order.

use safetensors::Dtype;

/// The maximum number of dimensions of a tensor.
const MAX_RANK: usize = 8;

/// A tensor as a view of a storage. The offset and strides are in elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct View {
    pub shape: Vec<usize>,
    /// The type, or `None` for a type that is not supported.
    pub dtype: Option<Dtype>,
    /// The key of the storage in the file.
    pub storage: String,
    /// The length of the storage in elements.
    pub storage_len: usize,
    pub offset: usize,
    pub strides: Vec<usize>,
}

impl View {
    /// Checks that all elements are within the storage and returns their number.
    pub fn check(&self) -> Result<usize, String> {
        let outside = || {
            format!(
                "shape {:?} with strides {:?} from element {} exceeds its storage of {}",
                self.shape, self.strides, self.offset, self.storage_len
            )
        };
        let count = self
            .shape
            .iter()
            .try_fold(1usize, |count, &side| count.checked_mul(side))
            .ok_or_else(outside)?;
        if self.strides.len() != self.shape.len() || self.shape.len() > MAX_RANK {
            return Err(outside());
        }
        if count > 0 {
            let steps = self.shape.iter().zip(&self.strides);
            let last = steps
                .map(|(&side, &stride)| (side - 1).checked_mul(stride))
                .try_fold(self.offset, |last, step| last.checked_add(step?))
                .ok_or_else(outside)?;
            if last >= self.storage_len {
                return Err(outside());
            }
        }
        Ok(count)
    }

    /// Returns the elements in row-major order.
    pub fn gather(&self, storage: &[u8]) -> Result<Vec<u8>, String> {
        let count = self.check()?;
        let size = match self.dtype {
            Some(dtype) => dtype.bitsize() / 8,
            None => return Err("its type is not supported".to_owned()),
        };
        let expected = self.storage_len.checked_mul(size);
        if expected.is_none_or(|expected| storage.len() < expected) {
            return Err(format!(
                "storage {} has {} bytes, expected {} elements of {size}",
                self.storage,
                storage.len(),
                self.storage_len
            ));
        }
        let mut values = Vec::with_capacity(count * size);
        if count > 0 {
            self.gather_from(storage, size, 0, self.offset, &mut values);
        }
        Ok(values)
    }

    fn gather_from(&self, storage: &[u8], size: usize, axis: usize, at: usize, to: &mut Vec<u8>) {
        let rest: usize = self.shape[axis..].iter().product();
        let row_major = self.strides[axis..]
            .iter()
            .zip(&self.shape[axis..])
            .rev()
            .try_fold(1, |dense, (&stride, &side)| {
                (side == 1 || stride == dense).then_some(dense * side)
            });
        if row_major.is_some() {
            to.extend_from_slice(&storage[at * size..(at + rest) * size]);
            return;
        }
        for step in 0..self.shape[axis] {
            self.gather_from(storage, size, axis + 1, at + step * self.strides[axis], to);
        }
    }
}
