//! Pictures of what the decoder fills in, always of the same samples so that progress can be seen.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use cropmae_config::Experiment;
use cropmae_data::{Batch, Patches, patchify::unpatchify};
use cropmae_model::{PatchMask, Pretrainer};
use cropmae_report::{Reconstruction, reconstructions};
use cropmae_train::BatchSource;
use image::{ImageFormat, RgbImage};

use super::runs;

/// Samples in a picture.
const SAMPLES: usize = 6;
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
    batch: Batch,
}

impl<'a> Pictures<'a> {
    /// Pictures for a run in `out`; loads the samples now.
    pub fn new(
        experiment: &'a Experiment,
        source: &dyn BatchSource,
        device: &'a Device,
        out: &Path,
    ) -> Result<Self> {
        let batch = source
            .epoch(0, 0)
            .next()
            .context("the data gives no batch to draw")??;
        Ok(Self {
            experiment,
            device,
            folder: folder(out),
            batch: first(batch, SAMPLES, experiment),
        })
    }

    /// Writes `pictures/reconstruction_EPOCH.png`.
    pub fn draw(&self, model: &Pretrainer, epoch: u64) -> Result<()> {
        let config = &self.experiment.model;
        let (b, n, v) = (self.batch.size, config.num_patches(), config.patch_values());
        let len_keep = self.experiment.mask.len_keep(n);
        let mask = PatchMask::new(&self.batch.ids_shuffle, b, n, len_keep, self.device)?;
        let patches: Vec<_> = self.batch.views.iter().map(Patches::normalized).collect();
        let views = patches
            .iter()
            .map(|view| Tensor::from_slice(view, (b, n, v), self.device))
            .collect::<candle_core::Result<Vec<_>>>()?;
        let pred = model
            .predict(&views, &mask)?
            .flatten_all()?
            .to_vec1::<f32>()?;

        let [references @ .., targets] = patches.as_slice() else {
            anyhow::bail!("a batch without views");
        };
        let picture = |patches: &[f32]| unpatchify(patches, config.image_size, config.patch_size);
        let sample = |all: &[f32], i: usize| all[i * n * v..(i + 1) * n * v].to_vec();
        let rows: Vec<Row> = (0..b)
            .map(|i| {
                let target = sample(targets, i);
                let mut predicted = sample(&pred, i);
                if self.experiment.loss.norm_pix {
                    denormalise(&mut predicted, &target, v);
                }
                let ids = &self.batch.ids_shuffle[i * n..(i + 1) * n];
                let mut removed = vec![true; n];
                ids[..len_keep]
                    .iter()
                    .for_each(|&id| removed[id as usize] = false);
                Row {
                    reference: references.first().map(|view| picture(&sample(view, i))),
                    target: picture(&target),
                    removed,
                    predicted: picture(&predicted),
                }
            })
            .collect();
        let figure = reconstructions(
            &rows.iter().map(Row::as_reconstruction).collect::<Vec<_>>(),
            config.patch_size as u32,
        )?;
        std::fs::create_dir_all(&self.folder)
            .with_context(|| format!("cannot make {}", self.folder.display()))?;
        let path = self.folder.join(format!("reconstruction_{epoch:04}.png"));
        let mut bytes = Cursor::new(Vec::new());
        figure.write_to(&mut bytes, ImageFormat::Png)?;
        runs::replace(&path, bytes.get_ref())
    }
}

/// One sample of a picture.
struct Row {
    reference: Option<RgbImage>,
    target: RgbImage,
    removed: Vec<bool>,
    predicted: RgbImage,
}

impl Row {
    fn as_reconstruction(&self) -> Reconstruction<'_> {
        Reconstruction {
            reference: self.reference.as_ref(),
            target: &self.target,
            removed: &self.removed,
            predicted: &self.predicted,
        }
    }
}

/// The first `samples` of `batch`.
fn first(mut batch: Batch, samples: usize, experiment: &Experiment) -> Batch {
    let (n, v) = (
        experiment.model.num_patches(),
        experiment.model.patch_values(),
    );
    batch.size = batch.size.min(samples);
    for view in &mut batch.views {
        view.truncate(batch.size * n * v);
        // A copy is no larger than it must be; the whole batch's memory goes back to the loader.
        *view = view.clone();
    }
    batch.ids_shuffle.truncate(batch.size * n);
    batch
}

/// Undoes the per-patch normalisation of the loss with the target's own statistics, as the figures of the
/// MAE paper do: the model is not asked for them, so only the structure inside a patch is its own.
fn denormalise(predicted: &mut [f32], target: &[f32], patch_values: usize) {
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
