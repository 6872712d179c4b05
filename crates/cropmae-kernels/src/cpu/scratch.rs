//! Temporary buffers that a thread keeps from call to call, so that their pages are cleared once: a new buffer is
//! zeros, a used one holds what it held.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

use super::output::Unset;

thread_local! {
    static FREE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Elements of a cache line.
const LINE: usize = 16;

/// A temporary buffer with arbitrary values that begins with a cache line.
pub(crate) struct Scratch {
    data: Vec<f32>,
    start: usize,
    len: usize,
}

impl Scratch {
    /// A buffer of `len` elements.
    pub(crate) fn new(len: usize) -> Self {
        // The smallest that is large enough, so that small requests do not use up large buffers.
        let free = FREE.with_borrow_mut(|free| {
            let fitting = free
                .iter()
                .enumerate()
                .filter(|(_, data)| data.len() >= len + LINE);
            if let Some((i, _)) = fitting.min_by_key(|(_, data)| data.len()) {
                return Some(free.swap_remove(i));
            }
            // The new buffer takes the place of the largest, so that they do not pile up as requests grow.
            let largest = (0..free.len()).max_by_key(|&i| free[i].len())?;
            drop(free.swap_remove(largest));
            None
        });
        let data = free.unwrap_or_else(|| vec![0.0; len + LINE]);
        // Any start is correct, so it does not matter that the offset may be unknown (under Miri).
        let start = data.as_ptr().align_offset(64).min(LINE);
        Self { data, start, len }
    }

    /// The elements, to be written before they are read.
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
        // While a thread ends its list may be gone: the buffer is then freed here.
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
