//! The memory of batches, which is reused.
//!
//! When the consumer drops a batch, the workers fill its memory again. New memory would have to be cleared and mapped
//! for every batch, which costs more than normalizing into it.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use crate::normalize;
use crate::patchify::patchify;
use crate::views::View;

/// The type of the pixels in a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pixels {
    /// Normalized f32, as models take them. This is the least work if the model runs on the CPU.
    #[default]
    Normalized,
    /// 8-bit RGB, which the device normalizes. This is a quarter of the bytes to transfer.
    Bytes,
}

/// The patches of one view of a batch, of shape `(B, N, P*P*3)`.
#[derive(Debug, Clone, PartialEq)]
pub enum Patches {
    /// Values normalized with the mean and standard deviation of ImageNet.
    Normalized(Buffer<f32>),
    /// 8-bit RGB.
    Bytes(Buffer<u8>),
}

impl Patches {
    /// Shortens the patches to the first `len` values.
    ///
    /// The shape becomes that of fewer samples if `len` is a multiple of N*P*P*3.
    pub fn truncate(&mut self, len: usize) {
        match self {
            Self::Normalized(buffer) => buffer.values.truncate(len),
            Self::Bytes(buffer) => buffer.values.truncate(len),
        }
    }

    /// Returns the values normalized, as models take them.
    pub fn normalized(&self) -> Cow<'_, [f32]> {
        match self {
            Self::Normalized(buffer) => Cow::Borrowed(buffer),
            Self::Bytes(buffer) => Cow::Owned(normalize::normalized(buffer).collect()),
        }
    }

    /// Returns the places of the samples, each of `values` values.
    pub(super) fn places(&mut self, values: usize) -> Vec<Place<'_>> {
        match self {
            Self::Normalized(buffer) => {
                let places = buffer.values.chunks_exact_mut(values);
                places.map(Place::Normalized).collect()
            }
            Self::Bytes(buffer) => {
                let places = buffer.values.chunks_exact_mut(values);
                places.map(Place::Bytes).collect()
            }
        }
    }
}

impl From<Vec<f32>> for Patches {
    fn from(values: Vec<f32>) -> Self {
        Self::Normalized(Buffer { values, home: None })
    }
}

/// The memory that one sample's view is written to.
pub(super) enum Place<'a> {
    Normalized(&'a mut [f32]),
    Bytes(&'a mut [u8]),
}

impl Place<'_> {
    pub(super) fn fill(&mut self, view: &View, patch: usize) {
        match self {
            Self::Normalized(out) => patchify(&view.pixels, patch, view.flip, out),
            Self::Bytes(out) => patchify(&view.pixels, patch, view.flip, out),
        }
    }
}

/// A buffer whose memory returns to its loader on drop.
pub struct Buffer<T> {
    values: Vec<T>,
    home: Option<Arc<Spares<T>>>,
}

impl<T> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.values
    }
}

impl<T: Clone> Clone for Buffer<T> {
    fn clone(&self) -> Self {
        Self {
            values: self.values.clone(),
            home: None,
        }
    }
}

impl<T: PartialEq> PartialEq for Buffer<T> {
    fn eq(&self, other: &Self) -> bool {
        self.values == other.values
    }
}

impl<T> fmt::Debug for Buffer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Buffer").field(&self.values.len()).finish()
    }
}

impl<T> Drop for Buffer<T> {
    fn drop(&mut self) {
        if let Some(home) = self.home.take() {
            home.put(std::mem::take(&mut self.values));
        }
    }
}

/// The unused memory of batches, by the type of their pixels.
pub(super) enum Memory {
    Normalized(Arc<Spares<f32>>),
    Bytes(Arc<Spares<u8>>),
}

impl Memory {
    /// Creates the store of buffers of `len` values. It keeps at most `most` of them.
    pub(super) fn new(pixels: Pixels, len: usize, most: usize) -> Self {
        match pixels {
            Pixels::Normalized => Self::Normalized(Arc::new(Spares::new(len, most))),
            Pixels::Bytes => Self::Bytes(Arc::new(Spares::new(len, most))),
        }
    }

    pub(super) fn take(&self) -> Patches {
        match self {
            Self::Normalized(spares) => Patches::Normalized(spares.take()),
            Self::Bytes(spares) => Patches::Bytes(spares.take()),
        }
    }
}

/// Unused buffers that can be filled again.
#[derive(Debug)]
pub(super) struct Spares<T> {
    /// The number of values of each buffer.
    len: usize,
    /// The largest number of buffers to keep. More are in use only while a consumer holds many batches.
    most: usize,
    waiting: Mutex<Vec<Vec<T>>>,
}

impl<T> Spares<T> {
    fn new(len: usize, most: usize) -> Self {
        Self {
            len,
            most,
            waiting: Mutex::new(Vec::new()),
        }
    }

    /// Returns a buffer of `len` values, which are zeros or the values of a dropped batch.
    fn take(self: &Arc<Self>) -> Buffer<T>
    where
        T: Clone + Default,
    {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let values = waiting.pop();
        drop(waiting);
        Buffer {
            values: values.unwrap_or_else(|| vec![T::default(); self.len]),
            home: Some(Arc::clone(self)),
        }
    }

    fn put(&self, values: Vec<T>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // A buffer that its consumer truncated cannot be reused.
        if values.len() == self.len && waiting.len() < self.most {
            waiting.push(values);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_goes_round_and_copies_stay_away() {
        let spares = Arc::new(Spares::new(4, 1));
        let mut first = spares.take();
        first.values[0] = 7.0f32;
        let place = first.as_ptr();
        let copy = first.clone();
        assert!(copy == first);
        drop(first);
        let second = spares.take();
        assert_eq!((second.as_ptr(), second[0]), (place, 7.0));
        drop(copy);
        // A copy has its own memory, which does not return.
        assert!(spares.waiting.lock().unwrap().is_empty());
        drop(second);
        let (mut cut, whole, beyond) = (spares.take(), spares.take(), spares.take());
        cut.values.truncate(2);
        drop((cut, whole, beyond));
        assert_eq!(spares.waiting.lock().unwrap().len(), 1);
    }
}
