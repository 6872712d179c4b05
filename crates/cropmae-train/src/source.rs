//! The sources of batches for the training loop.

use std::sync::Arc;

use cropmae_data::{Batch, DataError, Dataset, Loader, LoaderConfig};

/// The batches of one epoch, in order.
pub type Batches<'a> = Box<dyn Iterator<Item = Result<Batch, DataError>> + 'a>;

/// A source of batches that can start at any position.
pub trait BatchSource {
    /// Returns a text that identifies the data. A run continues only on data with the same fingerprint.
    fn fingerprint(&self) -> String;

    /// Returns the number of batches in an epoch.
    fn batches_per_epoch(&self) -> usize;

    /// Returns the batches of `epoch` (from 0), starting at index `first_batch`.
    ///
    /// The same arguments always return the same batches.
    fn epoch(&self, epoch: u64, first_batch: usize) -> Batches<'_>;
}

/// The batches of a data set on disk.
pub struct DatasetSource {
    fingerprint: String,
    loader: Loader,
}

impl DatasetSource {
    /// Creates a loader for `dataset`.
    ///
    /// # Errors
    /// Returns the errors of [`Loader::new`].
    pub fn new(dataset: Arc<Dataset>, config: LoaderConfig) -> Result<Self, DataError> {
        Ok(Self {
            fingerprint: dataset.fingerprint(),
            loader: Loader::new(dataset, config)?,
        })
    }

    /// Returns the loader, which lists the unusable files found so far.
    pub fn loader(&self) -> &Loader {
        &self.loader
    }
}

impl BatchSource for DatasetSource {
    fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }

    fn batches_per_epoch(&self) -> usize {
        self.loader.batches_per_epoch()
    }

    fn epoch(&self, epoch: u64, first_batch: usize) -> Batches<'_> {
        Box::new(self.loader.epoch(epoch, first_batch))
    }
}

/// A source that repeats the first batch of another source.
///
/// It serves as a test of training: the loss on a single batch must go to zero.
pub struct RepeatFirstBatch<'a>(pub &'a dyn BatchSource);

impl BatchSource for RepeatFirstBatch<'_> {
    fn fingerprint(&self) -> String {
        format!("{}, first batch only", self.0.fingerprint())
    }

    fn batches_per_epoch(&self) -> usize {
        self.0.batches_per_epoch()
    }

    fn epoch(&self, _epoch: u64, first_batch: usize) -> Batches<'_> {
        let rest = first_batch..self.batches_per_epoch();
        match self.0.epoch(0, 0).next() {
            Some(Ok(batch)) => Box::new(rest.map(move |_| Ok(batch.clone()))),
            failed => Box::new(failed.into_iter()),
        }
    }
}
