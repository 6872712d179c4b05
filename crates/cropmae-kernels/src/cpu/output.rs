//! Memory for outputs, which cannot be read before it is written.
//!
//! Clearing new pages took 40 % of a training step in plain candle, so outputs are not cleared. An [`Unset`] can only be
//! written. After all of it is written, the elements are available as a slice, which proves that they were written.
//! [`output`] requires this slice as a proof that its vector is complete.

use std::mem::MaybeUninit;

use candle_core::Result;
use rayon::prelude::*;

/// Elements that must be written before they are read: new memory, or a buffer whose values are not needed.
///
/// An `Unset` can only write values, never move them out.
pub(super) struct Unset<'a>(&'a mut [MaybeUninit<f32>]);

impl<'a> From<&'a mut [f32]> for Unset<'a> {
    fn from(data: &'a mut [f32]) -> Self {
        let data: *mut [f32] = data;
        // SAFETY: both types have the same layout, and an `Unset` only writes values, so `data` contains valid
        // values afterwards, too.
        Self(unsafe { &mut *(data as *mut [MaybeUninit<f32>]) })
    }
}

/// Returns a vector of `len` elements that `write` has written.
///
/// Debug builds fill the vector with NaN first, so that tests fail if a kernel with an `unsafe` promise does not write
/// an element.
pub(super) fn output(
    len: usize,
    write: impl for<'b> FnOnce(Unset<'b>) -> Result<&'b mut [f32]>,
) -> Result<Vec<f32>> {
    let mut data = Vec::new();
    if cfg!(debug_assertions) {
        data.resize(len, f32::NAN);
        data.clear();
    }
    data.reserve_exact(len);
    let unset = Unset(&mut data.spare_capacity_mut()[..len]);
    let place = unset.place();
    place.is(write(unset)?);
    // SAFETY: the capacity is at least `len`, and these elements are written, because there is a slice of them.
    unsafe { data.set_len(len) };
    Ok(data)
}

/// The location of elements.
struct Place(*const f32, usize);

impl Place {
    /// Asserts that `written` are the elements at this location.
    ///
    /// This proves that they are written, because there is no other way to such a slice while the `Unset` exists.
    #[inline(always)]
    fn is(self, written: &[f32]) {
        let same = self.0 == written.as_ptr() && self.1 == written.len();
        assert!(same, "another slice than the one to be written");
    }
}

impl<'a> Unset<'a> {
    /// # Safety
    /// The `len` elements must be valid for writes for `'a`, and nothing else may access them meanwhile.
    #[inline(always)]
    pub(super) unsafe fn from_raw(data: *mut f32, len: usize) -> Self {
        // SAFETY: the caller ensures this.
        Self(unsafe { std::slice::from_raw_parts_mut(data.cast(), len) })
    }

    #[inline(always)]
    fn place(&self) -> Place {
        Place(self.0.as_ptr().cast(), self.0.len())
    }

    /// Returns the number of elements.
    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns a pointer to the first element, for writing.
    #[inline(always)]
    pub(super) fn as_mut_ptr(&mut self) -> *mut f32 {
        self.0.as_mut_ptr().cast()
    }

    /// Returns the elements, which have been written through pointers.
    ///
    /// # Safety
    /// All of them must have been written.
    #[inline(always)]
    pub(super) unsafe fn assume_written(self) -> &'a mut [f32] {
        let data: *mut [MaybeUninit<f32>] = self.0;
        // SAFETY: the same layout, exclusively borrowed, and written (the caller's promise).
        unsafe { &mut *(data as *mut [f32]) }
    }

    /// Writes one value to each element.
    ///
    /// # Panics
    /// Panics if there are fewer values than elements.
    #[inline(always)]
    pub(super) fn fill(self, values: impl Iterator<Item = f32>) -> &'a mut [f32] {
        let mut written = 0;
        for (element, value) in self.0.iter_mut().zip(values) {
            element.write(value);
            written += 1;
        }
        assert!(written == self.0.len(), "fewer values than elements");
        // SAFETY: all elements have been written, from the first one.
        unsafe { self.assume_written() }
    }

    /// Writes one block of `len` elements after the other. The last block may be shorter.
    ///
    /// `write` receives each block and its number.
    #[inline(always)]
    pub(super) fn blocks(
        self,
        len: usize,
        mut write: impl for<'b> FnMut(usize, Unset<'b>) -> &'b mut [f32],
    ) -> &'a mut [f32] {
        for (i, block) in self.0.chunks_mut(len.max(1)).enumerate() {
            let block = Unset(block);
            let place = block.place();
            place.is(write(i, block));
        }
        // SAFETY: the blocks are all elements, and the slice of each was shown.
        unsafe { self.assume_written() }
    }

    /// Writes like [`Unset::blocks`] until `write` fails.
    pub(super) fn try_blocks(
        self,
        len: usize,
        mut write: impl for<'b> FnMut(usize, Unset<'b>) -> Result<&'b mut [f32]>,
    ) -> Result<&'a mut [f32]> {
        for (i, block) in self.0.chunks_mut(len.max(1)).enumerate() {
            let block = Unset(block);
            let place = block.place();
            place.is(write(i, block)?);
        }
        // SAFETY: the blocks are all elements, and the slice of each was shown.
        Ok(unsafe { self.assume_written() })
    }

    /// Writes one piece after the other, with the lengths `lens`. `write` receives each piece and its number.
    ///
    /// # Panics
    /// Panics if the sum of the lengths is not the number of elements.
    pub(super) fn pieces(
        self,
        lens: impl Iterator<Item = usize>,
        mut write: impl for<'b> FnMut(usize, Unset<'b>) -> &'b mut [f32],
    ) -> &'a mut [f32] {
        let mut rest = &mut *self.0;
        for (i, len) in lens.enumerate() {
            let (piece, behind) = std::mem::take(&mut rest).split_at_mut(len);
            let piece = Unset(piece);
            let place = piece.place();
            place.is(write(i, piece));
            rest = behind;
        }
        assert!(rest.is_empty(), "pieces shorter than the whole");
        // SAFETY: the pieces are all elements, and the slice of each was shown.
        unsafe { self.assume_written() }
    }

    /// Writes like [`Unset::blocks`] in parallel. Returns the other results of `write`, in order.
    pub(super) fn par_blocks<R: Send>(
        self,
        len: usize,
        write: impl for<'b> Fn(usize, Unset<'b>) -> (&'b mut [f32], R) + Sync,
    ) -> (&'a mut [f32], Vec<R>) {
        let blocks = self.0.par_chunks_mut(len.max(1)).enumerate();
        let results = blocks.map(|(i, block)| {
            let block = Unset(block);
            let place = block.place();
            let (written, result) = write(i, block);
            place.is(written);
            result
        });
        let results = results.collect();
        // SAFETY: the blocks are all elements, and the slice of each was shown.
        (unsafe { self.assume_written() }, results)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_what_was_written() {
        let counted = |first: usize| move |i: usize| (first + i) as f32;
        let data = output(10, |y| {
            Ok(y.blocks(4, |block, y| {
                let len = y.len();
                y.fill((0..len).map(counted(4 * block)))
            }))
        });
        let expected: Vec<f32> = (0..10).map(counted(0)).collect();
        assert_eq!(data.unwrap(), expected);
        let data = output(10, |y| {
            let (y, lens) = y.par_blocks(3, |block, y| {
                let len = y.len();
                (y.fill((0..len).map(counted(3 * block))), len)
            });
            assert_eq!(lens, [3, 3, 3, 1]);
            Ok(y)
        });
        assert_eq!(data.unwrap(), expected);
        assert!(
            output(0, |y| Ok(y.fill(std::iter::empty())))
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn errors_of_the_writer_are_passed_on() {
        let result = output(4, |y| {
            y.try_blocks(2, |i, y| match i {
                0 => Ok(y.fill([1.0, 2.0].into_iter())),
                _ => candle_core::bail!("no more"),
            })
        });
        assert_eq!(
            result.unwrap_err().to_string().lines().next(),
            Some("no more")
        );
    }

    #[test]
    #[should_panic(expected = "fewer values than elements")]
    fn a_part_is_not_enough() {
        let _ = output(4, |y| Ok(y.fill([1.0].into_iter())));
    }

    #[test]
    #[should_panic(expected = "another slice")]
    fn another_slice_is_not_enough() {
        let _ = output(4, |_| Ok(Box::leak(Box::new([0.0; 4])).as_mut_slice()));
    }
}
