//! Passes batches through the model and the optimizer. This module does not access files, clocks or data sets.

use candle_core::{Device, Tensor};
use candle_nn::VarMap;
use cropmae_config::Experiment;
use cropmae_data::Batch;
use cropmae_kernels::GradNorm;
use cropmae_model::{DropoutStream, Execution, Pretrainer};

use crate::batch_tensors::{BatchTensors, Route};
use crate::ema::Ema;
use crate::unread::{Fault, Number, Unread};
use crate::{AdamW, Checkpoint, Cursor, RunState, Schedule, TrainError, checkpoint};

/// The effect of one batch. Numbers that were not read from the device are `None`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Step {
    /// The gradients of the batch wait for the next update.
    Accumulated {
        /// The loss of the batch.
        loss: Option<f64>,
    },
    /// The batch completed an update.
    Updated {
        /// The loss of the batch.
        loss: Option<f64>,
        /// The mean of the losses that were read since the previous update.
        mean_loss: Option<f64>,
        /// The L2 norm of the gradient, before clipping.
        grad_norm: Option<f64>,
        /// The learning rate of the update.
        lr: f64,
    },
    /// A batch resulted in a number that is not finite. It is an earlier one if nothing was read from the device since.
    /// Neither this batch nor a later one has changed a weight, and the run cannot continue.
    NonFinite(Fault),
}

/// A model that is being trained, with its optimizer and the state of the run.
pub struct Trainer {
    model: Pretrainer,
    weights: VarMap,
    optimizer: AdamW,
    ema: Option<Ema>,
    schedule: Schedule,
    state: RunState,
    experiment: Experiment,
    route: Route,
    unread: Option<Unread>,
}

impl Trainer {
    /// Creates the model of `experiment` with its initial weights.
    ///
    /// `batches_per_epoch` is the number of batches of the source, which the learning rate depends on.
    ///
    /// # Errors
    /// Returns [`TrainError::Model`] or [`TrainError::Compute`] if the model cannot be created on `device`.
    pub fn new(
        experiment: &Experiment,
        batches_per_epoch: usize,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let (config, method) = (&experiment.model, experiment.method);
        let weights = cropmae_model::init_parameters(config, method, experiment.seed, device)?;
        Self::with_weights(experiment, batches_per_epoch, weights, device)
    }

    /// Creates the model of `experiment` in the state of `checkpoint`. See also [`Self::new`].
    ///
    /// # Errors
    /// Returns [`TrainError::Model`], [`TrainError::MissingTensor`] or [`TrainError::Compute`] if the checkpoint
    /// belongs to another model.
    pub fn resume(
        experiment: &Experiment,
        batches_per_epoch: usize,
        checkpoint: Checkpoint,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let Checkpoint {
            progress,
            weights,
            ema,
            optimizer,
        } = checkpoint;
        let mut trainer = Self::with_weights(experiment, batches_per_epoch, weights, device)?;
        if let (Some(decay), Some(averages)) = (experiment.train.ema_decay, ema) {
            trainer.ema = Some(Ema::resume(decay, averages, &trainer.weights)?);
        }
        trainer.state = progress.state;
        let accumulated = trainer.state.accumulated > 0;
        trainer.optimizer.restore(&optimizer, accumulated)?;
        Ok(trainer)
    }

    /// Creates the model of `experiment` with the given weights, for fine-tuning and for comparisons. See also
    /// [`Self::new`].
    ///
    /// # Errors
    /// Returns [`TrainError::Model`] if a tensor is missing or has the wrong shape, and [`TrainError::Compute`] if the
    /// device has too little memory.
    pub fn with_weights(
        experiment: &Experiment,
        batches_per_epoch: usize,
        weights: VarMap,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let execution = Execution::from(&experiment.train);
        if execution.compute.available_on(device) != execution.compute {
            let device = device.location();
            tracing::warn!(
                "train.compute = \"bf16\": {device:?} has no bf16 instructions, so products are computed in f32"
            );
        }
        let vb = candle_nn::VarBuilder::from_varmap(&weights, candle_core::DType::F32, device);
        let model =
            Pretrainer::new(experiment.method, &experiment.model, vb)?.with_execution(execution);
        let parameters = cropmae_model::named_parameters(&weights);
        let ema = experiment.train.ema_decay;
        Ok(Self {
            model,
            ema: ema.map(|decay| Ema::new(decay, &weights)).transpose()?,
            optimizer: AdamW::new(&experiment.optim, parameters)?,
            schedule: Schedule::new(experiment, batches_per_epoch),
            state: RunState::default(),
            weights,
            experiment: experiment.clone(),
            route: Route::new(device)?,
            unread: Unread::new(device)?,
        })
    }

    /// Returns the model.
    pub fn model(&self) -> &Pretrainer {
        &self.model
    }

    /// Returns the weights of the model by name.
    pub fn weights(&self) -> &VarMap {
        &self.weights
    }

    /// Returns the optimizer.
    pub fn optimizer(&self) -> &AdamW {
        &self.optimizer
    }

    /// Returns the moving average of the weights by name, if `train.ema_decay` is set.
    pub fn ema(&self) -> Option<&VarMap> {
        self.ema.as_ref().map(Ema::averages)
    }

    /// Returns the state of the run.
    pub fn state(&self) -> &RunState {
        &self.state
    }

    /// Returns the tensors that a checkpoint contains.
    pub(crate) fn contents(&self) -> checkpoint::Contents<'_> {
        checkpoint::Contents {
            weights: &self.weights,
            ema: self.ema(),
            optimizer: &self.optimizer,
        }
    }

    /// Moves `batch` to the training device.
    ///
    /// # Errors
    /// Returns [`TrainError::Compute`] if the batch does not have the shape of the model's input.
    pub fn tensors(&mut self, batch: Batch) -> Result<BatchTensors, TrainError> {
        BatchTensors::new(batch, &self.experiment, &mut self.route)
    }

    /// Returns `true` if batches need not be read for faults to be found: the device itself watches its numbers.
    pub fn can_wait(&self) -> bool {
        self.unread.is_some()
    }

    /// Runs the forward and the backward pass on the next batch of the epoch, and makes the update if the batch
    /// completes one.
    ///
    /// If `read` is true, the loss and the norm of the gradient are read, which waits for the device, and faults of this
    /// batch and of those since the last read are found. The cursor moves to the next batch.
    ///
    /// # Errors
    /// Returns [`TrainError::Compute`], [`TrainError::Model`] or [`TrainError::NoGradient`] if a pass or the update
    /// fails. A number that is not finite is no error, but [`Step::NonFinite`].
    pub fn step(&mut self, batch: &BatchTensors, read: bool) -> Result<Step, TrainError> {
        let at = self.state.cursor;
        self.state.cursor.batch += 1;
        let dropout = DropoutStream::new(
            self.experiment.model.decoder_dropout,
            self.experiment.seed,
            at.step,
            self.state.accumulated as u64,
        );
        let norm_pix = self.experiment.loss.norm_pix;
        let forward = self
            .model
            .forward(&batch.views, &batch.mask, norm_pix, dropout)?;
        if let Some(unread) = &mut self.unread {
            unread.begin(at);
            unread.note(&forward.loss, Number::Loss)?;
        }
        let loss = if read {
            if let Some(fault) = self.fault()? {
                return Ok(Step::NonFinite(fault));
            }
            Some(number(&forward.loss)?)
        } else {
            None
        };
        if let Some(value) = loss.filter(|loss| !loss.is_finite()) {
            return Ok(Step::NonFinite(Number::Loss.fault(at, value)));
        }
        self.optimizer.accumulate(&forward.loss)?;
        self.state.accumulated += 1;
        self.state.losses.extend(loss);
        if (at.batch + 1).is_multiple_of(self.experiment.train.accum_iter) {
            self.update(at, loss, read)
        } else {
            self.forget(read);
            Ok(Step::Accumulated { loss })
        }
    }

    /// Returns the first fault that the device has noted.
    fn fault(&self) -> Result<Option<Fault>, TrainError> {
        self.unread.as_ref().map_or(Ok(None), Unread::fault)
    }

    /// Forgets the batches up to now if their numbers were read.
    fn forget(&mut self, read: bool) {
        if let (Some(unread), true) = (&mut self.unread, read) {
            unread.clear();
        }
    }

    /// Makes the update that the batch at `at` completes.
    fn update(&mut self, at: Cursor, loss: Option<f64>, read: bool) -> Result<Step, TrainError> {
        let gradient = self.optimizer.reduce(self.experiment.train.accum_iter);
        let clips = self.experiment.optim.clip_grad_norm.is_some();
        let norm = if read || clips || self.unread.is_some() {
            Some(gradient.norm()?)
        } else {
            None
        };
        if let (Some(unread), Some(GradNorm::OnDevice { squares })) = (&self.unread, &norm) {
            unread.note(squares, Number::GradNorm)?;
        }
        let grad_norm = match &norm {
            Some(norm) if read || !self.can_wait() => Some(gradient.read(norm)?),
            _ => None,
        };
        if let Some(value) = grad_norm.filter(|norm| !norm.is_finite()) {
            return Ok(Step::NonFinite(Number::GradNorm.fault(at, value)));
        }
        let lr = self.schedule.lr(at.epoch, at.batch);
        let step = at.step + 1;
        let guard = self.unread.as_ref().map(Unread::guard);
        self.optimizer
            .step(&gradient, (step, lr), norm.as_ref(), guard)?;
        self.optimizer.clear();
        if let Some(ema) = &self.ema {
            ema.update(step, guard)?;
        }
        self.forget(read);
        let losses = std::mem::take(&mut self.state.losses);
        self.state.accumulated = 0;
        self.state.cursor.step = step;
        Ok(Step::Updated {
            loss,
            mean_loss: loss.map(|_| losses.iter().sum::<f64>() / losses.len() as f64),
            grad_norm,
            lr,
        })
    }

    /// Moves the cursor to the first batch of the next epoch.
    pub fn end_epoch(&mut self) {
        self.state.cursor.epoch += 1;
        self.state.cursor.batch = 0;
    }

    /// Adds `seconds` to the training time.
    pub fn add_seconds(&mut self, seconds: f64) {
        self.state.seconds += seconds;
    }
}

/// Reads the value of a scalar f32 tensor.
fn number(scalar: &Tensor) -> Result<f64, TrainError> {
    let value = scalar
        .to_scalar::<f32>()
        .map_err(TrainError::compute("reading the loss"))?;
    Ok(value.into())
}
