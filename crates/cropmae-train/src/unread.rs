//! The batches whose numbers were not read from the device, and the guard that watches over them.

use candle_core::{Device, Tensor};
use cropmae_kernels::Guard;

use crate::{Cursor, TrainError};

/// A number of a batch that is not finite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fault {
    /// The batch.
    pub at: Cursor,
    /// `loss` or `gradient norm`.
    pub what: &'static str,
    /// `NaN` or an infinity.
    pub value: f64,
}

/// A number of a batch that must be finite.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Number {
    Loss,
    GradNorm,
}

impl Number {
    /// Returns the fault of the batch at `at`.
    pub(crate) fn fault(self, at: Cursor, value: f64) -> Fault {
        let what = match self {
            Self::Loss => "loss",
            Self::GradNorm => "gradient norm",
        };
        Fault { at, what, value }
    }
}

/// The batches since the last one whose numbers were read.
pub(crate) struct Unread {
    guard: Guard,
    batches: Vec<Cursor>,
}

const FAILED: &str = "watching for numbers that are not finite";

impl Unread {
    /// Returns `None` if the kernels of `device` cannot watch its numbers.
    pub(crate) fn new(device: &Device) -> Result<Option<Self>, TrainError> {
        let guard = Guard::new(device).map_err(TrainError::compute(FAILED))?;
        Ok(guard.map(|guard| Self {
            guard,
            batches: Vec::new(),
        }))
    }

    /// Starts with the batch at `at`.
    pub(crate) fn begin(&mut self, at: Cursor) {
        self.batches.push(at);
    }

    /// Has the device check a number of the current batch.
    pub(crate) fn note(&self, value: &Tensor, number: Number) -> Result<(), TrainError> {
        let position = self.batches.len().saturating_sub(1);
        self.guard
            .check(value, number as usize, position)
            .map_err(TrainError::compute(FAILED))
    }

    /// Returns the first fault since the last read. This waits for the device.
    pub(crate) fn fault(&self) -> Result<Option<Fault>, TrainError> {
        let found = self.guard.read().map_err(TrainError::compute(FAILED))?;
        Ok(found.and_then(|found| {
            let at = *self.batches.get(found.position)?;
            let number = match found.what {
                0 => Number::Loss,
                _ => Number::GradNorm,
            };
            Some(number.fault(at, found.value))
        }))
    }

    /// Forgets the batches, whose numbers were read.
    pub(crate) fn clear(&mut self) {
        self.batches.clear();
    }

    /// Returns the guard, for updates.
    pub(crate) fn guard(&self) -> &Guard {
        &self.guard
    }
}
