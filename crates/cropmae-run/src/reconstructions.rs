//! Draws the decoder's reconstructions of always the same samples, to show the progress of training.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use cropmae_config::Experiment;
use cropmae_data::patchify::{patchify, unpatchify};
use cropmae_data::{Dataset, Preview};
use cropmae_model::{PatchMask, Pretrainer};
use cropmae_report::{Reconstruction, reconstructions};
use image::{ImageFormat, RgbImage};

use crate::error::RunError;

/// The number of samples in a picture.
const SAMPLES: usize = 6;

/// The maximum number of samples that are tried if some cannot be read.
const TRIED: usize = 60;

/// The value that is added to the variance of a target patch, as in the loss.
const VARIANCE_EPS: f32 = 1e-6;

/// Returns the folder of pictures of the run in the folder `run`.
#[must_use]
pub fn pictures_folder(run: &Path) -> PathBuf {
    run.join("pictures")
}

/// Returns the newest picture of the run in the folder `run`, by the epoch in its name, or `None` if there is none yet.
///
/// # Errors
/// Returns [`RunError::Io`] if the folder cannot be read.
pub fn newest_picture(run: &Path) -> Result<Option<PathBuf>, RunError> {
    let folder = pictures_folder(run);
    if !folder.is_dir() {
        return Ok(None);
    }
    let unreadable = || RunError::io("read", &folder);
    let entries = fs::read_dir(&folder).map_err(unreadable())?;
    let mut paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<Vec<_>>>()
        .map_err(unreadable())?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "png"));
    Ok(paths.into_iter().max())
}

/// Returns for each patch of the masked view of `sample`, in row-major order, whether it is removed.
///
/// All patches except the first `len_keep` of the shuffled ids are removed.
#[must_use]
pub fn removed_patches(sample: &Preview, len_keep: usize) -> Vec<bool> {
    let mut removed = vec![true; sample.ids_shuffle.len()];
    let visible = &sample.ids_shuffle[..len_keep];
    visible.iter().for_each(|&id| removed[id as usize] = false);
    removed
}

/// The pictures of reconstructions of the first samples of epoch 0.
pub struct Reconstructions<'a> {
    experiment: &'a Experiment,
    device: &'a Device,
    folder: PathBuf,
    samples: Vec<Preview>,
}

impl<'a> Reconstructions<'a> {
    /// Loads the samples for the pictures of the run on `dataset` in the folder `run`.
    #[must_use]
    pub fn new(
        experiment: &'a Experiment,
        dataset: &Dataset,
        device: &'a Device,
        run: &Path,
    ) -> Self {
        let (seed, model) = (experiment.seed, &experiment.model);
        let order = dataset.order(seed, 0);
        let sizes = (model.image_size, model.num_patches());
        // Samples that cannot be read are left out here. The run reports them when it reaches them.
        let tried = dataset.len().min(TRIED) as u64;
        let samples = (0..tried)
            .filter_map(|position| dataset.preview(seed, 0, order.index(position), sizes).ok())
            .take(SAMPLES)
            .collect();
        Self {
            experiment,
            device,
            folder: pictures_folder(run),
            samples,
        }
    }

    /// Writes `pictures/reconstruction_EPOCH.png`, unless no sample could be read.
    ///
    /// # Errors
    /// Returns [`RunError::Compute`] or [`RunError::Model`] if the prediction fails, and [`RunError::Io`] if the picture
    /// cannot be written.
    pub fn draw(&self, model: &Pretrainer, epoch: u64) -> Result<(), RunError> {
        if self.samples.is_empty() {
            return Ok(());
        }
        let config = &self.experiment.model;
        let len_keep = self.experiment.mask.len_keep(config.num_patches());
        let per_sample = config.num_patches() * config.patch_values();
        let predicted = self.predict(model, len_keep)?;
        let rows: Vec<Row> = self
            .samples
            .iter()
            .zip(predicted.chunks_exact(per_sample))
            .map(|(sample, predicted)| Row {
                sample,
                removed: removed_patches(sample, len_keep),
                predicted: unpatchify(predicted, config.image_size, config.patch_size),
            })
            .collect();
        let rows: Vec<_> = rows.iter().map(Row::show).collect::<Result<_, _>>()?;
        let figure = reconstructions(&rows, config.patch_size as u32)?;

        fs::create_dir_all(&self.folder).map_err(RunError::io("make", &self.folder))?;
        let path = self.folder.join(format!("reconstruction_{epoch:04}.png"));
        let mut bytes = Cursor::new(Vec::new());
        figure
            .write_to(&mut bytes, ImageFormat::Png)
            .map_err(RunError::picture("write", &path))?;
        cropmae_files::write(&path, bytes.get_ref()).map_err(RunError::io("write", &path))
    }

    /// Returns the prediction of `model` for the masked views: normalized pixel values with the shape `(B, N, P*P*3)`.
    fn predict(&self, model: &Pretrainer, len_keep: usize) -> Result<Vec<f32>, RunError> {
        let config = &self.experiment.model;
        let (b, n, v) = (
            self.samples.len(),
            config.num_patches(),
            config.patch_values(),
        );
        let ids_shuffle: Vec<u32> = self
            .samples
            .iter()
            .flat_map(|sample| sample.ids_shuffle.iter().copied())
            .collect();
        let mask = PatchMask::new(&ids_shuffle, b, n, len_keep, self.device)?;
        let views: Vec<Vec<f32>> = (0..self.experiment.data.views.count())
            .map(|view| {
                let mut values = vec![0.0; b * n * v];
                for (sample, out) in self.samples.iter().zip(values.chunks_exact_mut(n * v)) {
                    patchify(&sample.views[view], config.patch_size, false, out);
                }
                values
            })
            .collect();
        let failed = RunError::compute("predicting the samples of a picture");
        let tensors = views
            .iter()
            .map(|view| Tensor::from_slice(view, (b, n, v), self.device))
            .collect::<candle_core::Result<Vec<_>>>()
            .map_err(&failed)?;
        let mut predicted = model
            .predict(&tensors, &mask)?
            .flatten_all()
            .and_then(|pred| pred.to_vec1())
            .map_err(&failed)?;
        if let (true, Some(targets)) = (self.experiment.loss.norm_pix, views.last()) {
            denormalize(&mut predicted, targets, v);
        }
        Ok(predicted)
    }
}

/// One sample of a picture.
struct Row<'a> {
    sample: &'a Preview,
    removed: Vec<bool>,
    predicted: RgbImage,
}

impl Row<'_> {
    fn show(&self) -> Result<Reconstruction<'_>, RunError> {
        let [references @ .., target] = self.sample.views.as_slice() else {
            return Err(RunError::Incomplete("a sample has no views"));
        };
        Ok(Reconstruction {
            reference: references.first(),
            target,
            removed: &self.removed,
            predicted: &self.predicted,
        })
    }
}

/// Undoes the normalization of each patch in the loss, with the statistics of the target, as in the figures of the MAE
/// paper.
///
/// The model does not predict these statistics, so only the structure inside of a patch is a prediction.
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
