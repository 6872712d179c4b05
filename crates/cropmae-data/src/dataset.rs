//! A listed source of samples, with the recipe that turns samples into views.

mod lazy_picture;
mod preview;

use std::path::{Path, PathBuf};

use cropmae_config::{DataConfig, Samples, Seed, Views};
use image::RgbImage;
use rand_chacha::ChaCha8Rng;

use self::lazy_picture::LazyPicture;
use crate::boxes::CropBox;
use crate::fingerprint::Fingerprint;
use crate::sources::{self, Pick, Picture, Source, Unit, count};
use crate::stages::{Stage, StageClock};
use crate::tolerance::{Known, Tolerance};
use crate::views::{Plan, View, ViewSampler};
use crate::{BadFile, DataError, Order, decode};

pub use preview::Preview;

/// The samples of a source, listed but not decoded.
#[derive(Debug)]
pub struct Dataset {
    source: Box<dyn Source>,
    recipe: DataConfig,
    /// The number of files that are not images, and of images that are alone in a folder of videos.
    left_out: usize,
    /// The unusable files that were found during listing.
    bad_files: Vec<BadFile>,
    /// The broken shards and Parquet files.
    bad_parts: Vec<BadFile>,
}

impl Dataset {
    /// Lists the samples at `path`.
    ///
    /// The path can be a folder of images or of videos (as files or as folders of frames), a list file, or tar shards
    /// or Parquet files (one file, a folder, or a pattern with braces). Samples are videos if `data.samples` says so,
    /// and for [`Views::FramePair`].
    ///
    /// # Errors
    /// Returns a [`DataError`] if there is nothing at `path`, if it cannot be listed or contains no samples, or if more
    /// of its shards are broken than `data.max_bad_fraction` allows.
    pub fn open(path: &Path, recipe: &DataConfig) -> Result<Self, DataError> {
        let unit = match (recipe.samples, recipe.views) {
            (Samples::Videos, _) | (_, Views::FramePair) => Unit::Videos,
            (Samples::Images | Samples::Auto, _) => Unit::Pictures,
        };
        let opened = sources::open(path, unit)?;
        let tolerance = Tolerance::new(recipe.max_bad_fraction, opened.parts);
        let mut known = Known::new();
        tolerance.tolerate(&mut known, opened.bad_parts.iter().cloned())?;
        if opened.source.len() == 0 {
            return Err(tolerance.refusal(&known));
        }
        Ok(Self {
            source: opened.source,
            recipe: recipe.clone(),
            left_out: opened.left_out,
            bad_files: opened.bad_files,
            bad_parts: opened.bad_parts,
        })
    }

    /// Returns the number of samples, which are images or videos.
    pub fn len(&self) -> usize {
        self.source.len()
    }

    /// Returns whether there are no samples. This is never true for an opened data set.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the recipe that the data set was opened with.
    pub fn recipe(&self) -> &DataConfig {
        &self.recipe
    }

    /// Returns the number of files that samples are read from: images, all frames of all videos, or video files.
    pub(crate) fn file_count(&self) -> usize {
        self.source.file_count() + self.bad_files.len()
    }

    /// Returns the source of the samples.
    pub(crate) fn source(&self) -> &dyn Source {
        &*self.source
    }

    /// Returns the unusable files that were found without reading any image.
    pub(crate) fn bad_files(&self) -> &[BadFile] {
        &self.bad_files
    }

    /// Returns the broken shards and Parquet files that were found during listing.
    ///
    /// What can be read of them is used.
    pub(crate) fn bad_parts(&self) -> &[BadFile] {
        &self.bad_parts
    }

    /// Returns the order in which an epoch visits the samples.
    ///
    /// It is a permutation of all samples or, where they are cheap to read only in groups, of the groups and then
    /// within them.
    pub fn order(&self, seed: Seed, epoch: u64) -> Order {
        match self.source.groups() {
            None => Order::new(seed, epoch, self.len()),
            Some(groups) => Order::of_groups(seed, epoch, &groups),
        }
    }

    /// Returns one line about the data set, such as "3800 images in 10 folders".
    pub fn describe(&self) -> String {
        let mut text = self.source.describe();
        if self.left_out > 0 {
            text += &format!(", {} left out", count(self.left_out, "other file"));
        }
        if !self.bad_files.is_empty() {
            text += &format!(", {} unusable", self.bad_files.len());
        }
        if !self.bad_parts.is_empty() {
            text += &format!(", {} broken", self.bad_parts.len());
        }
        text
    }

    /// Returns the SHA-256 of the sorted relative names and the sizes of all files, in hexadecimal.
    ///
    /// For all practical purposes, equal fingerprints mean the same files. No pixels are read.
    pub fn fingerprint(&self) -> String {
        let mut fingerprint = Fingerprint::default();
        self.source.fingerprint(&mut fingerprint);
        fingerprint.finish()
    }

    /// Returns the name of a sample.
    ///
    /// This is the relative path of its image, of its video file, or of its folder of frames.
    ///
    /// # Panics
    /// Panics if `index` is not less than [`Self::len`].
    pub fn name(&self, index: usize) -> PathBuf {
        self.source.name(index)
    }

    /// Returns what the views show of a sample.
    fn pick(&self) -> Pick {
        match self.recipe.views {
            Views::FramePair => Pick::Pair(self.recipe.frame_gap),
            _ => Pick::One,
        }
    }

    /// Draws the views of a sample once for each of `rngs`. The sample is decoded only once.
    pub(crate) fn draw(
        &self,
        index: usize,
        sampler: &ViewSampler,
        rngs: &mut [ChaCha8Rng],
        clock: &StageClock,
    ) -> Result<Vec<Vec<View>>, BadFile> {
        let pick = self.pick();
        let drawn = clock.time(Stage::Read, || self.source.draw(index, pick, rngs))?;
        let mut frames: Vec<LazyPicture> = Vec::with_capacity(drawn.pictures.len());
        for picture in &drawn.pictures {
            let open = || LazyPicture::open(picture, decode::Options::from(&self.recipe));
            let frame = clock.time(Stage::Decode, open)?;
            if let Some(first) = frames.first() {
                frame.require_size(first.dimensions())?;
            }
            frames.push(frame);
        }
        let draws = drawn.shown.iter().zip(rngs.iter_mut());
        let plans: Vec<Plan> = draws
            .map(|(shown, rng)| {
                let (width, height) = frames[shown[0]].dimensions();
                sampler.plan(width, height, rng)
            })
            .collect();
        // Pixels that no draw needs are not decoded.
        let areas = plans.iter().map(|plan| sampler.area(plan));
        let (Some(area), Some(first)) = (areas.reduce(CropBox::union), frames.first()) else {
            return Ok(Vec::new());
        };
        let area = first.cheapest(area);
        let regions = frames
            .iter()
            .map(|frame| clock.time(Stage::Decode, || frame.region(area)));
        let regions = regions.collect::<Result<Vec<_>, _>>()?;
        let draws = drawn.shown.iter().zip(&plans).zip(rngs);
        let cuts = draws.map(|((shown, plan), rng)| {
            let frames = shown.map(|picture| regions[picture].as_ref());
            clock.time(Stage::Crop, || {
                let mut views = sampler.cut(&sampler.within(plan, area), &frames);
                sampler.augment(&mut views, rng);
                views
            })
        });
        Ok(cuts.collect())
    }

    /// Decodes the whole image.
    pub(crate) fn decode(&self, picture: &Picture) -> Result<RgbImage, BadFile> {
        let frame = LazyPicture::open(picture, decode::Options::from(&self.recipe))?;
        let (width, height) = frame.dimensions();
        let pixels = frame.region(CropBox::full(width, height))?;
        Ok(pixels.into_owned())
    }
}
