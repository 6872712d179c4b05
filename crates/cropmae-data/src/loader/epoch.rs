//! An iterator over the batches of one epoch, with a limited number of batches under construction.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, bounded};

use super::batch::Built;
use super::{Batch, Shared};
use crate::stages::Stage;
use crate::{DataError, Order};

/// The order in which an epoch visits samples.
pub(super) struct EpochPlan {
    pub(super) epoch: u64,
    pub(super) order: Order,
    /// The order in which samples replace unusable ones.
    pub(super) replacements: Order,
}

/// An iterator over the batches of an epoch, which [`super::Loader::epoch`] returns.
pub struct Epoch {
    shared: Arc<Shared>,
    pool: Arc<rayon::ThreadPool>,
    plan: Arc<EpochPlan>,
    /// The batches under construction or ready, in order of delivery.
    pending: VecDeque<Receiver<Built>>,
    /// The next batch to deliver.
    next: usize,
    /// One past the last batch to deliver.
    end: usize,
    stop: Arc<AtomicBool>,
}

impl Epoch {
    pub(super) fn start(
        shared: Arc<Shared>,
        pool: Arc<rayon::ThreadPool>,
        epoch: u64,
        first_batch: usize,
    ) -> Self {
        let end = shared.batches_per_epoch();
        let (dataset, seed) = (&shared.dataset, shared.config.seed);
        let plan = EpochPlan {
            epoch,
            order: dataset.order(seed, epoch),
            replacements: Order::of_replacements(seed, epoch, dataset.len()),
        };
        let mut this = Self {
            shared,
            pool,
            plan: Arc::new(plan),
            pending: VecDeque::new(),
            next: first_batch.min(end),
            end,
            stop: Arc::default(),
        };
        this.top_up();
        this
    }

    /// Starts building batches until the limit is reached.
    fn top_up(&mut self) {
        let missing = self
            .shared
            .config
            .prefetch_batches
            .saturating_sub(self.pending.len());
        let first = self.next + self.pending.len();
        for number in (first..self.end).take(missing) {
            let (sender, receiver) = bounded(1);
            let (shared, stop, plan) = (self.shared.clone(), self.stop.clone(), self.plan.clone());
            self.pool.spawn(move || {
                if !stop.load(Ordering::Relaxed) {
                    let built = shared.build(&plan, number, &stop);
                    // If the epoch was dropped, the receiver no longer exists, and the batch is dropped too.
                    let _ = shared.clock.time(Stage::HandOver, || sender.send(built));
                }
            });
            self.pending.push_back(receiver);
        }
    }

    /// Waits for the next batch in order.
    fn receive(&mut self) -> Option<Result<Batch, DataError>> {
        let receiver = self.pending.pop_front()?;
        let Ok(built) = receiver.recv() else {
            return Some(Err(DataError::WorkerPanicked { batch: self.next }));
        };
        Some(
            self.shared
                .report(built.found, built.complete)
                .map(|()| built.batch),
        )
    }
}

impl Iterator for Epoch {
    type Item = Result<Batch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.receive()?;
        self.next += 1;
        if batch.is_err() {
            self.end = self.next;
            self.stop.store(true, Ordering::Relaxed);
            self.pending.clear();
        }
        self.top_up();
        Some(batch)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // An error may end the epoch early.
        let left = self.end - self.next;
        (left.min(1), Some(left))
    }
}

impl Drop for Epoch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
