//! One batch through model and optimizer: the arithmetic of training, without files, clocks and data sets.

use candle_core::Device;
use candle_nn::VarMap;
use cropmae_config::Experiment;
use cropmae_data::Batch;
use cropmae_model::{DropoutStream, Execution, Pretrainer};

use crate::batch_tensors::BatchTensors;
use crate::ema::Ema;
use crate::{AdamW, Checkpoint, Cursor, RunState, Schedule, TrainError, checkpoint};

/// What one batch did. Numbers that stay on the device are absent where they were not read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Step {
    /// The gradients of the batch wait for the next update.
    Accumulated {
        /// Loss of the batch.
        loss: Option<f64>,
    },
    /// The batch completed an update.
    Updated {
        /// Loss of the batch.
        loss: Option<f64>,
        /// Mean of the losses that were read since the update before.
        mean_loss: Option<f64>,
        /// L2 norm of the gradient, before clipping.
        grad_norm: Option<f64>,
        /// Learning rate of the update.
        lr: f64,
    },
    /// The batch gave a number that is not finite; no weight was changed, and the run cannot go on.
    NonFinite {
        /// `loss` or `gradient norm`.
        what: &'static str,
        /// `NaN` or an infinity.
        value: f64,
    },
}

/// A model in training.
pub struct Trainer {
    model: Pretrainer,
    weights: VarMap,
    optimizer: AdamW,
    ema: Option<Ema>,
    schedule: Schedule,
    state: RunState,
    experiment: Experiment,
    device: Device,
}

impl Trainer {
    /// The model of `experiment` with its initial weights, on a source of `batches_per_epoch` batches.
    ///
    /// # Errors
    /// [`TrainError::Model`] or [`TrainError::Compute`] when the model does not fit the device.
    pub fn new(
        experiment: &Experiment,
        batches_per_epoch: usize,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let (config, method) = (&experiment.model, experiment.method);
        let weights = cropmae_model::init_parameters(config, method, experiment.seed, device)?;
        Self::with_weights(experiment, batches_per_epoch, weights, device)
    }

    /// Like [`Self::new`] in the state of `checkpoint`.
    ///
    /// # Errors
    /// [`TrainError::Model`], [`TrainError::MissingTensor`] or [`TrainError::Compute`] when the checkpoint
    /// is of another model.
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

    /// Like [`Self::new`] from given weights, for fine-tuning and for comparisons.
    ///
    /// # Errors
    /// [`TrainError::Model`] when a tensor is absent or of the wrong shape.
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
                "train.compute = \"bf16\": {device:?} has no such instructions, products run in f32"
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
            device: device.clone(),
        })
    }

    /// The model.
    pub fn model(&self) -> &Pretrainer {
        &self.model
    }

    /// The weights of the model, by name.
    pub fn weights(&self) -> &VarMap {
        &self.weights
    }

    /// The optimizer.
    pub fn optimizer(&self) -> &AdamW {
        &self.optimizer
    }

    /// The moving average of the weights, by name, with `train.ema_decay`.
    pub fn ema(&self) -> Option<&VarMap> {
        self.ema.as_ref().map(Ema::averages)
    }

    /// Where the run stands.
    pub fn state(&self) -> &RunState {
        &self.state
    }

    /// The tensors that a checkpoint holds.
    pub(crate) fn contents(&self) -> checkpoint::Contents<'_> {
        checkpoint::Contents {
            weights: &self.weights,
            ema: self.ema(),
            optimizer: &self.optimizer,
        }
    }

    /// Puts `batch` on the training device.
    ///
    /// # Errors
    /// [`TrainError::Compute`] when the batch does not fit the model's input.
    pub fn tensors(&self, batch: Batch) -> Result<BatchTensors, TrainError> {
        BatchTensors::new(batch, &self.experiment, &self.device)
    }

    /// Takes the next batch of the epoch through a forward and a backward pass, makes the update if the batch
    /// completes one, and moves the cursor on.
    ///
    /// With `read` the loss and the norm of the gradient are read, which waits for the device; only then
    /// are they checked.
    ///
    /// # Errors
    /// [`TrainError::Compute`], [`TrainError::Model`] or [`TrainError::NoGradient`].
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
        let loss = if read {
            Some(number(&forward.loss)?)
        } else {
            None
        };
        if let Some(value) = loss.filter(|loss| !loss.is_finite()) {
            return Ok(Step::NonFinite {
                what: "loss",
                value,
            });
        }
        self.optimizer.accumulate(&forward.loss)?;
        self.state.accumulated += 1;
        self.state.losses.extend(loss);
        if (at.batch + 1).is_multiple_of(self.experiment.train.accum_iter) {
            self.update(at, loss, read)
        } else {
            Ok(Step::Accumulated { loss })
        }
    }

    /// The update that the batch at `at` completes.
    fn update(&mut self, at: Cursor, loss: Option<f64>, read: bool) -> Result<Step, TrainError> {
        let gradient = self.optimizer.reduce(self.experiment.train.accum_iter);
        let clips = self.experiment.optim.clip_grad_norm.is_some();
        let grad_norm = if read || clips {
            Some(gradient.norm()?)
        } else {
            None
        };
        if let Some(value) = grad_norm.filter(|norm| !norm.is_finite()) {
            return Ok(Step::NonFinite {
                what: "gradient norm",
                value,
            });
        }
        let lr = self.schedule.lr(at.epoch, at.batch);
        let scale = grad_norm.map_or(1.0, |norm| self.optimizer.clip_scale(norm));
        let step = at.step + 1;
        self.optimizer.step(&gradient, step, lr, scale)?;
        self.optimizer.clear();
        if let Some(ema) = &self.ema {
            ema.update(step)?;
        }
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

    /// Counts `seconds` of training time.
    pub fn add_seconds(&mut self, seconds: f64) {
        self.state.seconds += seconds;
    }
}

/// The value of a scalar f32 tensor.
fn number(scalar: &candle_core::Tensor) -> Result<f64, TrainError> {
    let value = scalar
        .to_scalar::<f32>()
        .map_err(TrainError::compute("reading the loss"))?;
    Ok(value.into())
}
