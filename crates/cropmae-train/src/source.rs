//! Where the loop gets its batches from.

use std::sync::Arc;

use cropmae_data::{Batch, DataError, Dataset, Loader, LoaderConfig};

/// Batches of one epoch, in order.
pub type Batches<'a> = Box<dyn Iterator<Item = Result<Batch, DataError>> + 'a>;

/// A stream of batches that can be entered anywhere.
pub trait BatchSource {
    /// Identifies the data: a run continues only on data of the same fingerprint.
    fn fingerprint(&self) -> String;

    /// Batches of an epoch.
    fn batches_per_epoch(&self) -> usize;

    /// The batches of `epoch` (from 0), from the one of index `first_batch` on. The same arguments always
    /// give the same batches.
    fn epoch(&self, epoch: u64, first_batch: usize) -> Batches<'_>;
}

/// A data set on the disk.
pub struct DatasetSource {
    fingerprint: String,
    loader: Loader,
}

impl DatasetSource {
    /// The batches of `dataset`.
    ///
    /// # Errors
    /// As [`Loader::new`].
    pub fn new(dataset: Arc<Dataset>, config: LoaderConfig) -> Result<Self, DataError> {
        Ok(Self {
            fingerprint: dataset.fingerprint(),
            loader: Loader::new(dataset, config)?,
        })
    }

    /// The loader, which knows the unusable files met so far.
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

/// The first batch of another source, over and over: a model that learns at all drives its loss to zero.
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
