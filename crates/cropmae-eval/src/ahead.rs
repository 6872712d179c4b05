//! Runs work one item ahead of the use of its results.

use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};

/// An iterator over the results of work on items, in order.
///
/// The work runs in a separate thread, one item ahead of the caller, so the memory does not depend on the number of
/// items. If the iterator is dropped, the thread ends after its current item.
pub(crate) struct Ahead<R> {
    results: Receiver<R>,
    worker: Option<JoinHandle<()>>,
}

impl<R: Send + 'static> Ahead<R> {
    /// Starts the work on `items`.
    pub fn new<T: Send + 'static>(
        items: Vec<T>,
        mut work: impl FnMut(T) -> R + Send + 'static,
    ) -> Self {
        // No queue: the result that waits to be taken is the one that is ahead.
        let (send, results) = sync_channel(0);
        let worker = thread::spawn(move || {
            for item in items {
                if send.send(work(item)).is_err() {
                    break; // the iterator was dropped
                }
            }
        });
        Self {
            results,
            worker: Some(worker),
        }
    }
}

impl<R> Iterator for Ahead<R> {
    type Item = R;

    fn next(&mut self) -> Option<R> {
        if let Ok(result) = self.results.recv() {
            return Some(result);
        }
        if let Some(worker) = self.worker.take()
            && let Err(panic) = worker.join()
        {
            resume_unwind(panic);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order() {
        let squares = Ahead::new((0..9).collect(), |item: usize| item * item);
        assert_eq!(
            squares.collect::<Vec<_>>(),
            [0, 1, 4, 9, 16, 25, 36, 49, 64]
        );
        assert_eq!(Ahead::new(vec![1, 2, 3], |item| item).next(), Some(1));
    }

    #[test]
    #[should_panic(expected = "at item 2")]
    fn a_panic_of_the_work_is_not_taken_for_its_end() {
        Ahead::new(vec![1, 2], |item| assert_ne!(item, 2, "at item {item}")).count();
    }
}
