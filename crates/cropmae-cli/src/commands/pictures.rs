//! Pictures of what the decoder fills in, always of the same samples, so that progress can be seen.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use candle_core::{Device, Tensor};
use cropmae_config::Experiment;
use cropmae_data::{
    Dataset, Preview,
    patchify::{patchify, unpatchify},
};
use cropmae_model::{PatchMask, Pretrainer};
use cropmae_report::{Reconstruction, reconstructions};
use image::{ImageFormat, RgbImage};

use super::runs;

/// Samples in a picture.
const SAMPLES: usize = 6;
/// Samples that are tried at most, where some cannot be read.
const LOOKED_AT: usize = 60;
/// Added to the variance of a target patch, as the loss does.
const VARIANCE_EPS: f32 = 1e-6;

/// Where the pictures of the run in `run` are.
fn folder(run: &Path) -> PathBuf {
    run.join("pictures")
}

/// The newest picture of the run in `run`, by its name, which holds the epoch; none before the first is drawn.
pub fn newest(run: &Path) -> Result<Option<PathBuf>> {
    let folder = folder(run);
    if !folder.is_dir() {
        return Ok(None);
    }
    let unreadable = || format!("cannot read {}", folder.display());
    let mut paths = std::fs::read_dir(&folder)
        .with_context(unreadable)?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<Vec<_>>>()
        .with_context(unreadable)?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "png"));
    Ok(paths.into_iter().max())
}

/// What the run in `run` has to look at: its page, and its pictures where there are any.
pub fn to_look_at(run: &Path) -> Result<String> {
    let mut text = run.join("report.html").display().to_string();
    if newest(run)?.is_some() {
        text += &format!(", {}", folder(run).display());
    }
    Ok(text)
}

/// Draws reconstructions of the first samples of epoch 0.
pub struct Pictures<'a> {
    experiment: &'a Experiment,
    device: &'a Device,
    folder: PathBuf,
    samples: Vec<Preview>,
}

impl<'a> Pictures<'a> {
    /// Pictures for a run on `dataset` in `out`; loads the samples now.
    pub fn new(
        experiment: &'a Experiment,
        dataset: &Dataset,
        device: &'a Device,
        out: &Path,
    ) -> Self {
        let (seed, model) = (experiment.seed, &experiment.model);
        let order = dataset.order(seed, 0);
        let sizes = (model.image_size, model.num_patches());
        // What cannot be read is left out here: the run itself reports it when it gets there.
        let looked_at = dataset.len().min(LOOKED_AT) as u64;
        let samples: Vec<Preview> = (0..looked_at)
            .filter_map(|position| dataset.preview(seed, 0, order.index(position), sizes).ok())
            .take(SAMPLES)
            .collect();
        Self {
            experiment,
            device,
            folder: folder(out),
            samples,
        }
    }

    /// Writes `pictures/reconstruction_EPOCH.png`; nothing when no sample could be read.
    pub fn draw(&self, model: &Pretrainer, epoch: u64) -> Result<()> {
        if self.samples.is_empty() {
            return Ok(());
        }
        let config = &self.experiment.model;
        let (b, n, v) = (
            self.samples.len(),
            config.num_patches(),
            config.patch_values(),
        );
        let len_keep = self.experiment.mask.len_keep(n);
        let ids_shuffle: Vec<u32> = self
            .samples
            .iter()
            .flat_map(|sample| sample.ids_shuffle.iter().copied())
            .collect();
        let mask = PatchMask::new(&ids_shuffle, b, n, len_keep, self.device)?;
        let views = (0..self.experiment.data.views.count())
            .map(|view| {
                let mut values = vec![0.0f32; b * n * v];
                for (sample, out) in self.samples.iter().zip(values.chunks_exact_mut(n * v)) {
                    patchify(&sample.views[view], config.patch_size, false, out);
                }
                values
            })
            .collect::<Vec<_>>();
        let tensors = views
            .iter()
            .map(|view| Tensor::from_slice(view, (b, n, v), self.device))
            .collect::<candle_core::Result<Vec<_>>>()?;
        let mut predicted: Vec<f32> = model.predict(&tensors, &mask)?.flatten_all()?.to_vec1()?;
        if self.experiment.loss.norm_pix {
            let targets = views.last().context("a sample without views")?;
            denormalize(&mut predicted, targets, v);
        }
        let rows: Vec<Row> = self
            .samples
            .iter()
            .zip(predicted.chunks_exact(n * v))
            .map(|(sample, predicted)| Row {
                sample,
                removed: removed(sample, len_keep),
                predicted: unpatchify(predicted, config.image_size, config.patch_size),
            })
            .collect();
        let rows = rows
            .iter()
            .map(Row::as_reconstruction)
            .collect::<Result<Vec<_>>>()?;
        let figure = reconstructions(&rows, config.patch_size as u32)?;
        std::fs::create_dir_all(&self.folder)
            .with_context(|| format!("cannot make {}", self.folder.display()))?;
        let path = self.folder.join(format!("reconstruction_{epoch:04}.png"));
        let mut bytes = Cursor::new(Vec::new());
        figure.write_to(&mut bytes, ImageFormat::Png)?;
        runs::replace(&path, bytes.get_ref())
    }
}

/// Whether each patch of the masked view is removed.
pub fn removed(sample: &Preview, len_keep: usize) -> Vec<bool> {
    let mut removed = vec![true; sample.ids_shuffle.len()];
    let visible = &sample.ids_shuffle[..len_keep];
    visible.iter().for_each(|&id| removed[id as usize] = false);
    removed
}

/// One sample of a picture.
struct Row<'a> {
    sample: &'a Preview,
    removed: Vec<bool>,
    predicted: RgbImage,
}

impl Row<'_> {
    fn as_reconstruction(&self) -> Result<Reconstruction<'_>> {
        let [references @ .., target] = self.sample.views.as_slice() else {
            bail!("a sample without views");
        };
        Ok(Reconstruction {
            reference: references.first(),
            target,
            removed: &self.removed,
            predicted: &self.predicted,
        })
    }
}

/// Undoes the normalization of each patch by the loss, with the target's own statistics, as the figures of the
/// MAE paper do: the model is not asked for them, so only the structure inside a patch is its own.
fn denormalize(predicted: &mut [f32], target: &[f32], patch_values: usize) {
    for (pred, target) in predicted
        .chunks_mut(patch_values)
        .zip(target.chunks(patch_values))
    {
        let mean = target.iter().sum::<f32>() / patch_values as f32;
        let squares: f32 = target.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = (squares / (patch_values as f32 - 1.0) + VARIANCE_EPS).sqrt();
        pred.iter_mut()
            .for_each(|value| *value = *value * deviation + mean);
    }
}
