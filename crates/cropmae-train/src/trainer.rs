//! One batch through model and optimizer: the arithmetic of training, without files, clocks and data sets.

use candle_core::Device;
use candle_nn::VarMap;
use cropmae_config::Experiment;
use cropmae_data::Batch;
use cropmae_model::{Compute, DropoutStream, Execution, Pretrainer};

use crate::batch_tensors::BatchTensors;
use crate::ema::Ema;
use crate::{AdamW, Checkpoint, Cursor, Progress, Schedule, TrainError, checkpoint};

/// An update that was made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Update {
    /// Its learning rate.
    pub lr: f64,
    /// Its loss and gradient, where they were read.
    pub read: Option<Reading>,
}

/// Numbers that have to be fetched from the device.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// Mean of the losses read since the update before.
    pub loss: f64,
    /// L2 norm of the gradient before clipping.
    pub grad_norm: f64,
}

/// A number that should have been finite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fault {
    /// `loss` or `gradient norm`.
    pub what: &'static str,
    /// `NaN` or an infinity.
    pub value: f64,
}

/// What one batch led to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Effect {
    /// Its gradients wait for the next update.
    Accumulated,
    /// It completed an update.
    Updated(Update),
    /// It gave a number that is not finite; no weight was changed.
    Faulty(Fault),
}

/// What one batch did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MicroStep {
    /// Its loss, if it was read.
    pub loss: Option<f64>,
    /// What it led to.
    pub effect: Effect,
}

/// A model in training.
pub struct Trainer {
    model: Pretrainer,
    weights: VarMap,
    optimizer: AdamW,
    ema: Option<Ema>,
    schedule: Schedule,
    losses: Vec<f64>,
    experiment: Experiment,
    device: Device,
}

/// How the config wants the model run on `device`.
fn execution(experiment: &Experiment, device: &Device) -> Execution {
    let asked = match experiment.train.compute {
        cropmae_config::Compute::F32 => Compute::F32,
        cropmae_config::Compute::Bf16 => Compute::Bf16,
    };
    if asked.available_on(device) != asked {
        let device = device.location();
        tracing::warn!(
            "train.compute = \"bf16\": {device:?} has no such instructions, products run in f32"
        );
    }
    Execution {
        compute: asked,
        recompute_blocks: experiment.train.recompute_blocks,
    }
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
        trainer
            .optimizer
            .restore(&optimizer, progress.cursor.step, progress.accumulated)?;
        trainer.losses = progress.losses;
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
        let vb = candle_nn::VarBuilder::from_varmap(&weights, candle_core::DType::F32, device);
        let model = Pretrainer::new(experiment.method, &experiment.model, vb)?
            .with_execution(execution(experiment, device));
        let parameters = cropmae_model::named_parameters(&weights);
        let ema = experiment.train.ema_decay;
        Ok(Self {
            model,
            ema: ema.map(|decay| Ema::new(decay, &weights)).transpose()?,
            optimizer: AdamW::new(&experiment.optim, parameters)?,
            schedule: Schedule::new(experiment, batches_per_epoch),
            losses: Vec::new(),
            weights,
            experiment: experiment.clone(),
            device: device.clone(),
        })
    }

    /// The model.
    pub fn model(&self) -> &Pretrainer {
        &self.model
    }

    /// Its weights, by name.
    pub fn weights(&self) -> &VarMap {
        &self.weights
    }

    /// Its optimizer.
    pub fn optimizer(&self) -> &AdamW {
        &self.optimizer
    }

    /// The moving average of the weights, by name, with `train.ema_decay`.
    pub fn ema(&self) -> Option<&VarMap> {
        self.ema.as_ref().map(Ema::averages)
    }

    /// Everything that a checkpoint holds beside the position.
    pub(crate) fn state(&self) -> checkpoint::State<'_> {
        checkpoint::State {
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

    /// Forward and backward pass of the batch at `at`, and the update if it completes one.
    ///
    /// With `read` the loss and the norm of the gradient are read, which waits for the device; only then
    /// are they checked. The caller advances the cursor.
    ///
    /// # Errors
    /// [`TrainError::Compute`], [`TrainError::Model`] or [`TrainError::NoGradient`].
    pub fn micro_step(
        &mut self,
        batch: &BatchTensors,
        at: Cursor,
        read: bool,
    ) -> Result<MicroStep, TrainError> {
        let dropout = DropoutStream::new(
            self.experiment.model.decoder_dropout,
            self.experiment.seed,
            at.step,
            self.optimizer.accumulated() as u64,
        );
        let norm_pix = self.experiment.loss.norm_pix;
        let loss = self
            .model
            .forward(&batch.views, &batch.mask, norm_pix, dropout)?
            .loss;
        let mut value = None;
        if read {
            let read = loss
                .to_scalar::<f32>()
                .map_err(TrainError::compute("reading the loss"))?;
            value = Some(f64::from(read));
            if !read.is_finite() {
                let fault = Fault {
                    what: "loss",
                    value: read.into(),
                };
                return Ok(MicroStep {
                    loss: value,
                    effect: Effect::Faulty(fault),
                });
            }
            self.losses.extend(value);
        }
        self.optimizer.accumulate(&loss)?;
        let completes = (at.batch + 1).is_multiple_of(self.experiment.train.accum_iter);
        let effect = if completes {
            self.update(at, read)?
        } else {
            Effect::Accumulated
        };
        Ok(MicroStep {
            loss: value,
            effect,
        })
    }

    /// The update after the batch at `at`.
    fn update(&mut self, at: Cursor, read: bool) -> Result<Effect, TrainError> {
        let batches = self.experiment.train.accum_iter;
        let grad_norm = if read {
            Some(self.optimizer.grad_norm(batches)?)
        } else {
            None
        };
        if let Some(value) = grad_norm.filter(|norm| !norm.is_finite()) {
            return Ok(Effect::Faulty(Fault {
                what: "gradient norm",
                value,
            }));
        }
        let lr = self.schedule.lr(at.epoch, at.batch);
        self.optimizer.update(lr, batches, grad_norm)?;
        if let Some(ema) = &self.ema {
            ema.update(self.optimizer.updates())?;
        }
        let losses = std::mem::take(&mut self.losses);
        let loss = losses.iter().sum::<f64>() / losses.len() as f64;
        let read = grad_norm.map(|grad_norm| Reading { loss, grad_norm });
        Ok(Effect::Updated(Update { lr, read }))
    }

    /// Writes into `progress` what of the state is neither weights nor moments.
    pub(crate) fn describe(&self, progress: &mut Progress) {
        progress.accumulated = self.optimizer.accumulated();
        progress.losses.clone_from(&self.losses);
    }
}
