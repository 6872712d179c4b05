//! Buffers for file contents that each thread reuses.
//!
//! A thread that reads a thousand photos allocates memory only for the largest one.

use std::cell::RefCell;
use std::ops::Deref;

/// The number of buffers kept per thread. A pair of frames needs two at once.
const KEPT: usize = 2;

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Bytes whose memory returns to the thread that drops them.
#[derive(Debug, Default)]
pub(crate) struct FileBytes(Vec<u8>);

impl FileBytes {
    /// Returns the bytes that `fill` appends to an empty buffer.
    pub(crate) fn filled<E>(fill: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<Self, E> {
        let mut bytes = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
        bytes.clear();
        let mut this = Self(bytes);
        fill(&mut this.0)?;
        Ok(this)
    }
}

impl Deref for FileBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for FileBytes {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.0);
        // While a thread ends, its spare buffers no longer exist.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < KEPT {
                spare.push(bytes);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(bytes: &[u8]) -> FileBytes {
        FileBytes::filled(|buffer| {
            buffer.extend_from_slice(bytes);
            Ok::<_, ()>(())
        })
        .unwrap()
    }

    #[test]
    fn memory_is_used_again_and_never_shows_what_was_there() {
        let first = filled(&[7; 5000]);
        let memory = first.as_ptr();
        drop(first);
        let second = filled(b"short");
        assert_eq!(&*second, b"short");
        assert_eq!(second.as_ptr(), memory);
        let both = filled(b"another");
        assert_ne!(both.as_ptr(), memory);
        assert!(FileBytes::filled(|_| Err("refused")).is_err());
    }
}
