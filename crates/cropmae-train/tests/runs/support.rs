//! A tiny experiment, and reproducible batches of noise.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{Device, Tensor};
use candle_nn::VarMap;
use cropmae_config::{Experiment, ModelConfig, Seed, Stream};
use cropmae_data::{Batch, DataError};
use cropmae_train::{
    BatchSource, Batches, Cursor, HookError, Observer, Outcome, PretrainOptions, StepStats,
    Trainer, checkpoint,
};
use rand::Rng;

/// Returns an experiment on 16 patches with dropout, three epochs, two batches per update, and a line per update.
pub fn experiment(overrides: &[&str]) -> Experiment {
    let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
    let mut experiment = Experiment::demo(&[]).unwrap();
    experiment.model = ModelConfig {
        image_size: 16,
        patch_size: 4,
        embed_dim: 32,
        depth: 2,
        num_heads: 2,
        mlp_ratio: 2.0,
        layer_norm_eps: 1e-6,
        decoder_embed_dim: 16,
        decoder_depth: 1,
        decoder_num_heads: 2,
        decoder_dropout: 0.1,
    };
    experiment.mask.ratio = 0.75;
    experiment.schedule.warmup_epochs = Some(1.0);
    experiment.train.epochs = 3;
    experiment.train.batch_size = 4;
    experiment.train.accum_iter = 2;
    experiment.train.log_every_steps = 1;
    for text in overrides {
        let (key, value) = text.split_once('=').unwrap();
        match key {
            "accum_iter" => experiment.train.accum_iter = value.parse().unwrap(),
            "batch_size" => experiment.train.batch_size = value.parse().unwrap(),
            "betas" => {
                experiment.optim.beta1 = value.parse().unwrap();
                experiment.optim.beta2 = experiment.optim.beta1;
            }
            "blr" => experiment.optim.blr = value.parse().unwrap(),
            "clip_grad_norm" => experiment.optim.clip_grad_norm = value.parse().ok(),
            "compat" => experiment.schedule.compat = value.parse().unwrap(),
            "decoder_width" => experiment.model.decoder_embed_dim = value.parse().unwrap(),
            "decay" => experiment.optim.weight_decay = value.parse().unwrap(),
            "dropout" => experiment.model.decoder_dropout = value.parse().unwrap(),
            "ema_decay" => experiment.train.ema_decay = value.parse().ok(),
            "epochs" => experiment.train.epochs = value.parse().unwrap(),
            "every_minutes" => experiment.checkpoint.every_minutes = value.parse().unwrap(),
            "keep_every" => experiment.checkpoint.keep_every = value.parse().ok(),
            "keep_last" => experiment.checkpoint.keep_last = value.parse().unwrap(),
            "log_every_steps" => experiment.train.log_every_steps = value.parse().unwrap(),
            "max_steps" => experiment.train.max_steps = value.parse().ok(),
            "norm_pix" => experiment.loss.norm_pix = value.parse().unwrap(),
            "warmup_epochs" => experiment.schedule.warmup_epochs = value.parse().ok(),
            _ => panic!("{key}"),
        }
    }
    experiment.validate().unwrap();
    experiment
}

/// Creates a folder of 26 images.
pub fn images() -> tempfile::TempDir {
    let images = tempfile::tempdir().unwrap();
    for i in 0..26u32 {
        let pixel = |x, y| image::Rgb([x * i, y * 7 + i, x * y].map(|value| value as u8));
        let picture = image::RgbImage::from_fn(30 + i, 50 - i, pixel);
        picture
            .save(images.path().join(format!("{i}.png")))
            .unwrap();
    }
    images
}

/// A source of noise. Each batch is a function of its epoch and index.
pub struct Noise {
    pub experiment: Experiment,
    pub batches: usize,
    /// The epoch and the index of a batch that contains a NaN.
    pub broken: Option<(u64, usize)>,
}

impl Noise {
    pub fn new(experiment: &Experiment, batches: usize) -> Self {
        Self {
            experiment: experiment.clone(),
            batches,
            broken: None,
        }
    }

    fn batch(&self, epoch: u64, index: usize) -> Batch {
        let model = &self.experiment.model;
        let (b, n) = (self.experiment.train.batch_size, model.num_patches());
        let sample = |i: usize| {
            let mut rng = Seed(5).rng(Stream::Views, epoch, (index * b + i) as u64);
            let values = n * model.patch_values();
            let mut view = || -> Vec<f32> {
                (0..values)
                    .map(|_| rng.random_range(-2.0f32..2.0))
                    .collect()
            };
            (
                view(),
                view(),
                cropmae_data::masks::noise(Seed(5), epoch, (index * b + i) as u64, n),
            )
        };
        let samples: Vec<_> = (0..b).map(sample).collect();
        let mut views = vec![
            samples
                .iter()
                .flat_map(|(view, ..)| view.clone())
                .collect::<Vec<f32>>(),
            samples
                .iter()
                .flat_map(|(_, view, _)| view.clone())
                .collect(),
        ];
        // The masked view is last, and a single view is masked itself.
        views.drain(..2 - self.experiment.data.views.count());
        if self.broken == Some((epoch, index)) {
            views.last_mut().unwrap()[7] = f32::NAN;
        }
        let order = |noise: &[f32]| cropmae_data::masks::ids_shuffle(noise);
        Batch {
            size: b,
            views: views.into_iter().map(Into::into).collect(),
            ids_shuffle: samples
                .iter()
                .flat_map(|(.., noise)| order(noise))
                .collect(),
            first_index: (index * b) as u64,
            bad_files: 0,
        }
    }
}

impl BatchSource for Noise {
    fn fingerprint(&self) -> String {
        format!("noise of {} batches", self.batches)
    }

    fn batches_per_epoch(&self) -> usize {
        self.batches
    }

    fn epoch(&self, epoch: u64, first_batch: usize) -> Batches<'_> {
        let batch = move |index| Ok::<_, DataError>(self.batch(epoch, index));
        Box::new((first_batch..self.batches).map(batch))
    }
}

pub fn options(dir: &Path) -> PretrainOptions {
    PretrainOptions {
        run_dir: dir.to_owned(),
        device: Device::Cpu,
        stop: Arc::new(AtomicBool::new(false)),
        git_revision: None,
    }
}

/// Records the events of a run, and sets the stop flag after the given number of updates.
#[derive(Default)]
pub struct Recorder {
    pub steps: Vec<StepStats>,
    pub epochs: Vec<u64>,
    pub checkpoints: usize,
    pub stop_after: Option<(u64, Arc<AtomicBool>)>,
}

impl Observer for Recorder {
    fn on_step(&mut self, stats: &StepStats) {
        self.steps.push(*stats);
        if let Some((step, stop)) = &self.stop_after {
            stop.store(stats.step >= *step, Ordering::Relaxed);
        }
    }

    fn on_checkpoint(&mut self, _path: &Path, _at: cropmae_train::Cursor) {
        self.checkpoints += 1;
    }

    fn on_epoch_end(&mut self, trainer: &Trainer) -> Result<(), HookError> {
        self.epochs.push(trainer.state().cursor.epoch - 1);
        Ok(())
    }
}

/// Returns the bits of all tensors of the newest checkpoint in `dir`: weights, averages and moments.
pub fn bits(dir: &Path) -> Vec<(String, Vec<u32>)> {
    let checkpoint = checkpoint::load(dir, &Device::Cpu).unwrap().unwrap();
    let named = |prefix: &str, vars: &VarMap| -> Vec<(String, Vec<u32>)> {
        let vars = vars.data().lock().unwrap();
        vars.iter()
            .map(|(name, var)| (format!("{prefix}{name}"), tensor_bits(var.as_tensor())))
            .collect()
    };
    let mut all = named("", &checkpoint.weights);
    if let Some(ema) = &checkpoint.ema {
        all.extend(named("ema.", ema));
    }
    let state = checkpoint.optimizer.iter();
    all.extend(state.map(|(name, tensor)| (name.clone(), tensor_bits(tensor))));
    all.sort();
    all
}

pub fn tensor_bits(tensor: &Tensor) -> Vec<u32> {
    let flat = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    flat.iter().map(|x| x.to_bits()).collect()
}

/// Returns the lines of `metrics.jsonl` without the measured times.
pub fn metrics(dir: &Path) -> Vec<(u64, u64, u64, u64, u64)> {
    std::fs::read_to_string(dir.join("metrics.jsonl"))
        .unwrap()
        .lines()
        .map(|line| {
            let line: StepStats = serde_json::from_str(line).unwrap();
            let [loss, lr, norm] = [line.loss, line.lr, line.grad_norm].map(f64::to_bits);
            (line.step, line.epoch, loss, lr, norm)
        })
        .collect()
}

pub fn finished(outcome: Outcome) -> Cursor {
    match outcome {
        Outcome::Finished(at) => at,
        Outcome::Interrupted(at) => panic!("interrupted at {at:?}"),
    }
}
