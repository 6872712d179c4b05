//! Temporary buffers that a thread keeps from call to call, so that their pages are cleared only once. A new buffer
//! contains zeros, and a reused one its old values.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

use super::output::Unset;

thread_local! {
    static FREE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// The number of elements of a cache line.
const LINE: usize = 16;

/// A temporary buffer with arbitrary values, aligned to cache lines.
pub(crate) struct Scratch {
    data: Vec<f32>,
    start: usize,
    len: usize,
}

impl Scratch {
    /// Returns a buffer of `len` elements.
    pub(crate) fn new(len: usize) -> Self {
        // Use the smallest buffer that is large enough, so that small requests do not occupy large buffers.
        let free = FREE.with_borrow_mut(|free| {
            let fitting = free
                .iter()
                .enumerate()
                .filter(|(_, data)| data.len() >= len + LINE);
            if let Some((i, _)) = fitting.min_by_key(|(_, data)| data.len()) {
                return Some(free.swap_remove(i));
            }
            // The new buffer replaces the largest one, so that their number does not grow with larger requests.
            let largest = (0..free.len()).max_by_key(|&i| free[i].len())?;
            drop(free.swap_remove(largest));
            None
        });
        let data = free.unwrap_or_else(|| vec![0.0; len + LINE]);
        // Any start is correct, so the offset may be unknown, as under Miri.
        let start = data.as_ptr().align_offset(64).min(LINE);
        Self { data, start, len }
    }

    /// Returns the elements, which must be written before they are read.
    pub(super) fn unset(&mut self) -> Unset<'_> {
        Unset::from(&mut **self)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let data = std::mem::take(&mut self.data);
        if data.is_empty() {
            return;
        }
        // If the thread is ending and its list no longer exists, the buffer is freed here.
        let _ = FREE.try_with(|free| free.borrow_mut().push(data));
    }
}

impl Deref for Scratch {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.data[self.start..][..self.len]
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.data[self.start..][..self.len]
    }
}
