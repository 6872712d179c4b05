//! The memory of a batch, which goes round: what the consumer drops, the workers fill again. Fresh memory
//! would have to be cleared and mapped for every batch, which costs more than normalising into it.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

/// Normalised patches of one view of a batch, `(B, N, P*P*3)`. Its memory returns to its loader on drop.
#[derive(Default)]
pub struct Patches {
    values: Vec<f32>,
    home: Option<Arc<Spares>>,
}

impl Patches {
    /// The values in memory of their own, which does not return.
    pub fn into_vec(mut self) -> Vec<f32> {
        self.home = None;
        std::mem::take(&mut self.values)
    }

    /// Keeps the first `len` values.
    pub fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
    }
}

impl From<Vec<f32>> for Patches {
    fn from(values: Vec<f32>) -> Self {
        Self { values, home: None }
    }
}

impl Deref for Patches {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values
    }
}

impl DerefMut for Patches {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }
}

impl Clone for Patches {
    fn clone(&self) -> Self {
        Self::from(self.values.clone())
    }
}

impl PartialEq for Patches {
    fn eq(&self, other: &Self) -> bool {
        self.values == other.values
    }
}

impl fmt::Debug for Patches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Patches").field(&self.values.len()).finish()
    }
}

impl Drop for Patches {
    fn drop(&mut self) {
        if let Some(home) = self.home.take() {
            home.put(std::mem::take(&mut self.values));
        }
    }
}

/// Memory that waits to be filled again.
#[derive(Debug)]
pub(super) struct Spares {
    /// Values of each piece.
    len: usize,
    /// Pieces kept at most; more are in use only while a consumer hoards batches.
    most: usize,
    waiting: Mutex<Vec<Vec<f32>>>,
}

impl Spares {
    pub(super) fn new(len: usize, most: usize) -> Self {
        Self {
            len,
            most,
            waiting: Mutex::default(),
        }
    }

    /// Memory of `len` values: zeros, or whatever a dropped batch held.
    pub(super) fn take(self: &Arc<Self>) -> Patches {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let values = waiting.pop();
        drop(waiting);
        Patches {
            values: values.unwrap_or_else(|| vec![0.0; self.len]),
            home: Some(Arc::clone(self)),
        }
    }

    fn put(&self, values: Vec<f32>) {
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
    fn memory_goes_round_and_what_left_stays_away() {
        let spares = Arc::new(Spares::new(4, 1));
        let mut first = spares.take();
        first[0] = 7.0;
        let place = first.as_ptr();
        let copy = first.clone();
        assert_eq!(copy, first);
        drop(first);
        let second = spares.take();
        assert_eq!((second.as_ptr(), second[0]), (place, 7.0));
        drop(copy);
        let kept = second.into_vec();
        assert_eq!(kept, [7.0, 0.0, 0.0, 0.0]);
        assert!(spares.waiting.lock().unwrap().is_empty());
        let (mut cut, whole, beyond) = (spares.take(), spares.take(), spares.take());
        cut.truncate(2);
        drop((cut, whole, beyond));
        assert_eq!(spares.waiting.lock().unwrap().len(), 1);
    }
}
