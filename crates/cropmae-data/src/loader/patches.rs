//! The memory of a batch, which goes round: what the consumer drops, the workers fill again. Fresh memory
//! would have to be cleared and mapped for every batch, which costs more than normalizing into it.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use crate::normalize;
use crate::patchify::patchify;
use crate::views::View;

/// What a batch's pixels are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pixels {
    /// Normalized f32, as models take them: least work where the model runs on the same processor.
    #[default]
    Normalized,
    /// 8-bit, to be normalized by the device: a quarter of the bytes to move there.
    Bytes,
}

/// Patches of one view of a batch, `(B, N, P*P*3)`.
#[derive(Debug, Clone, PartialEq)]
pub enum Patches {
    /// Normalized by ImageNet's mean and standard deviation.
    Normalized(Buffer<f32>),
    /// 8-bit RGB.
    Bytes(Buffer<u8>),
}

impl Patches {
    /// Keeps the first `len` values.
    pub fn truncate(&mut self, len: usize) {
        match self {
            Self::Normalized(buffer) => buffer.values.truncate(len),
            Self::Bytes(buffer) => buffer.values.truncate(len),
        }
    }

    /// The values as models take them.
    pub fn normalized(&self) -> Cow<'_, [f32]> {
        match self {
            Self::Normalized(buffer) => Cow::Borrowed(buffer),
            Self::Bytes(buffer) => Cow::Owned(normalize::normalized(buffer).collect()),
        }
    }

    /// The places of the samples, of `values` values each.
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

/// Where one sample's view is written to.
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

/// Memory that returns to its loader on drop.
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

/// Where the memory of batches waits to be filled again.
pub(super) enum Memory {
    Normalized(Arc<Spares<f32>>),
    Bytes(Arc<Spares<u8>>),
}

impl Memory {
    /// Memory in pieces of `len` values, of which at most `most` are kept.
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

/// Memory that waits to be filled again.
#[derive(Debug)]
pub(super) struct Spares<T> {
    /// Values of each piece.
    len: usize,
    /// Pieces kept at most; more are in use only while a consumer hoards batches.
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

    /// Memory of `len` values: zeros, or whatever a dropped batch held.
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
        // A piece that was cut short by its consumer is of no use.
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
        // A copy has memory of its own, which does not return.
        assert!(spares.waiting.lock().unwrap().is_empty());
        drop(second);
        let (mut cut, whole, beyond) = (spares.take(), spares.take(), spares.take());
        cut.values.truncate(2);
        drop((cut, whole, beyond));
        assert_eq!(spares.waiting.lock().unwrap().len(), 1);
    }
}
