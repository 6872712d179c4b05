//! A listed source and the recipe that turns its samples into views.

use std::path::{Path, PathBuf};

use cropmae_config::{DataConfig, Seed, Stream, Views};
use image::RgbImage;
use rand_chacha::rand_core::RngCore;

use crate::sources::{Listing, Source, frames};
use crate::views::{View, ViewSampler};
use crate::{BadFile, DataError, decode, fingerprint};

/// The samples of a folder, listed but not decoded.
#[derive(Debug)]
pub struct Dataset {
    root: PathBuf,
    source: Source,
    recipe: DataConfig,
    /// Files that are no images, and images that are alone in a folder of videos.
    left_out: usize,
}

impl Dataset {
    /// Lists `path` for the strategy of `recipe`: videos as frames for [`Views::FramePair`], images
    /// otherwise.
    ///
    /// # Errors
    /// [`DataError`] when the folder is missing, cannot be listed, or holds nothing of use.
    pub fn open(path: &Path, recipe: &DataConfig) -> Result<Self, DataError> {
        if recipe.views == Views::FramePair {
            return Self::open_videos(path, recipe);
        }
        let listing = Listing::of(path)?;
        Ok(Self {
            root: path.to_owned(),
            source: Source::Images(listing.images),
            recipe: recipe.clone(),
            left_out: listing.other_files,
        })
    }

    /// Lists `path` as videos, one folder of frames each. A sample is then a pair of frames
    /// ([`Views::FramePair`]) or one random frame (CropMAE and MAE on Kinetics).
    ///
    /// # Errors
    /// As [`Self::open`]; also when no folder holds two frames.
    pub fn open_videos(path: &Path, recipe: &DataConfig) -> Result<Self, DataError> {
        let listing = Listing::of(path)?;
        let other_files = listing.other_files;
        let (videos, alone) = frames::group(path, listing)?;
        Ok(Self {
            root: path.to_owned(),
            source: Source::Videos(videos),
            recipe: recipe.clone(),
            left_out: other_files + alone,
        })
    }

    /// Number of samples: images, or videos.
    pub fn len(&self) -> usize {
        self.source.len()
    }

    /// Whether there is no sample; never so for an opened data set.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The recipe the data set was opened with.
    pub fn recipe(&self) -> &DataConfig {
        &self.recipe
    }

    /// Files that samples are read from: images, or all frames of all videos.
    pub(crate) fn file_count(&self) -> usize {
        self.source.file_count()
    }

    /// One line about what is here, such as "3800 images in 10 folders".
    pub fn describe(&self) -> String {
        let count = |n: usize, one: &str| format!("{n} {one}{}", if n == 1 { "" } else { "s" });
        let (files, folders) = (self.source.file_count(), self.source.folder_count());
        let mut text = match &self.source {
            Source::Images(_) => {
                format!("{} in {}", count(files, "image"), count(folders, "folder"))
            }
            Source::Videos(_) => {
                format!("{} with {}", count(folders, "video"), count(files, "frame"))
            }
        };
        if self.left_out > 0 {
            text += &format!(", {} left out", count(self.left_out, "other file"));
        }
        text
    }

    /// SHA-256 over the sorted relative names and the sizes of all files, in hexadecimal: equal
    /// fingerprints mean the same files for all practical purposes. Reads no pixels.
    pub fn fingerprint(&self) -> String {
        fingerprint::of_files(&self.root, &self.source.files())
    }

    /// Name of a sample: the relative path of its image or of its video's folder.
    ///
    /// # Panics
    /// When `index` is not below [`Self::len`].
    pub fn name(&self, index: usize) -> &Path {
        match &self.source {
            Source::Images(images) => &images[index],
            Source::Videos(videos) => &videos[index].folder,
        }
    }

    /// The whole picture of a sample (a video's first frame), for showing.
    ///
    /// # Errors
    /// [`DataError::BadFile`] when it cannot be read.
    ///
    /// # Panics
    /// When `index` is not below [`Self::len`].
    pub fn sample_rgb(&self, index: usize) -> Result<RgbImage, DataError> {
        let file = match &self.source {
            Source::Images(images) => images[index].clone(),
            Source::Videos(videos) => videos[index].path(0),
        };
        Ok(self.read(&file)?)
    }

    /// The views of a sample in an epoch, `image_size` x `image_size` pixels each, as the model sees
    /// them.
    ///
    /// # Errors
    /// [`DataError::BadFile`] when a file cannot be read.
    ///
    /// # Panics
    /// When `index` is not below [`Self::len`].
    pub fn views_rgb(
        &self,
        seed: Seed,
        epoch: u64,
        index: usize,
        image_size: usize,
    ) -> Result<Vec<RgbImage>, DataError> {
        let sampler = ViewSampler::new(&self.recipe, image_size as u32);
        let mut rng = seed.rng(Stream::Views, epoch, index as u64);
        let views = self.draw(index, &sampler, &mut rng)?;
        Ok(views.into_iter().map(View::into_rgb).collect())
    }

    /// Draws the views of a sample.
    pub(crate) fn draw(
        &self,
        index: usize,
        sampler: &ViewSampler,
        rng: &mut impl RngCore,
    ) -> Result<Vec<View>, BadFile> {
        let frames = match &self.source {
            Source::Images(images) => vec![self.read(&images[index])?],
            Source::Videos(videos) if self.recipe.views == Views::FramePair => {
                let pair = videos[index].draw_pair(self.recipe.frame_gap, rng);
                let [earlier, later] = pair.map(|frame| videos[index].path(frame));
                let frames = vec![self.read(&earlier)?, self.read(&later)?];
                self.require_equal_sizes(&frames, &later)?;
                frames
            }
            Source::Videos(videos) => {
                let frame = videos[index].draw_one(rng);
                vec![self.read(&videos[index].path(frame))?]
            }
        };
        let plan = sampler.plan(frames[0].width(), frames[0].height(), rng);
        Ok(sampler.cut(&plan, &frames))
    }

    fn read(&self, file: &Path) -> Result<RgbImage, BadFile> {
        decode::read(&self.root.join(file), self.recipe.max_megapixels)
    }

    fn require_equal_sizes(&self, frames: &[RgbImage], later: &Path) -> Result<(), BadFile> {
        let (first, second) = (frames[0].dimensions(), frames[1].dimensions());
        if first == second {
            return Ok(());
        }
        Err(BadFile {
            path: self.root.join(later),
            reason: format!("{second:?} pixels, but an earlier frame of its video has {first:?}"),
        })
    }
}
