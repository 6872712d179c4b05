//! The sources of samples.
//!
//! [`open`] recognizes what a path is and returns it as a [`Source`], which is all that the loader knows of it.
//!
//! A sample is an image, or a video of which some frames are drawn. Sources are listed when they are opened, read no
//! sample before it is requested, and find any sample by its number. The last property allows an epoch to be a computed
//! permutation that can be entered anywhere.

mod braces;
mod file_bytes;
mod file_kind;
mod files;
mod folder;
mod frames;
#[cfg(feature = "hub")]
mod hub;
mod list;
mod names;
mod open;
mod parquet;
mod positioned;
mod shards;
#[cfg(feature = "video")]
mod videos;

use std::fmt;
use std::path::PathBuf;

use image::RgbImage;
use rand_chacha::ChaCha8Rng;

pub(crate) use file_bytes::FileBytes;
pub(crate) use open::open;

use crate::BadFile;
use crate::fingerprint::Fingerprint;
use crate::order::Groups;

/// A listed set of samples, numbered from 0.
pub(crate) trait Source: fmt::Debug + Send + Sync {
    /// Returns the number of samples, which is at least 1 for an opened data set.
    fn len(&self) -> usize;

    /// Returns the number of images or video files that samples are read from.
    fn file_count(&self) -> usize {
        self.len()
    }

    /// Returns one line about the source, such as "3800 images in 10 folders".
    fn describe(&self) -> String;

    /// Returns the name of a sample, relative to the root of the source.
    fn name(&self, sample: usize) -> PathBuf;

    /// Adds what identifies the data to `hash`: names and sizes, but no content.
    fn fingerprint(&self, hash: &mut Fingerprint);

    /// Returns the groups of samples that are cheap to read only together, if there are any.
    fn groups(&self) -> Option<Groups> {
        None
    }

    /// Reads the image of a sample, or the first frame of a video.
    fn read(&self, sample: usize) -> Result<Picture, BadFile>;

    /// Draws once from a sample for each of `rngs`, in one pass over its file.
    fn draw(&self, sample: usize, _pick: Pick, rngs: &mut [ChaCha8Rng]) -> Result<Drawn, BadFile> {
        let pictures = vec![self.read(sample)?];
        let shown = vec![[0, 0]; rngs.len()];
        Ok(Drawn { pictures, shown })
    }
}

/// What is drawn from a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pick {
    /// One image: the image itself, or a random frame of a video.
    One,
    /// An earlier and a later frame of a video. Their distance in frames is in this inclusive range.
    Pair([u32; 2]),
}

/// An image as its source stores it.
#[derive(Debug)]
pub(crate) struct Picture {
    /// The path for messages.
    pub(crate) path: PathBuf,
    /// The content of the image.
    pub(crate) content: Content,
}

/// The content of a [`Picture`].
#[derive(Debug)]
pub(crate) enum Content {
    /// The bytes of an encoded file.
    Encoded(FileBytes),
    /// The pixels of a frame of a decoded video.
    #[cfg_attr(
        not(feature = "video"),
        expect(dead_code, reason = "only video files give pixels")
    )]
    Decoded(RgbImage),
}

/// The images that were drawn from one sample.
#[derive(Debug)]
pub(crate) struct Drawn {
    /// The different images.
    pub(crate) pictures: Vec<Picture>,
    /// For each draw, the indices of the images that its first and its second view show. They are equal except for
    /// pairs.
    pub(crate) shown: Vec<[usize; 2]>,
}

/// A recognized source, and a record of the files under its path that are not among its samples.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) source: Box<dyn Source>,
    /// The number of files of other kinds, and of images that are alone in a folder of videos.
    pub(crate) left_out: usize,
    /// The unusable files that were found during listing.
    pub(crate) bad_files: Vec<BadFile>,
    /// The number of files that hold many samples each, such as tar shards, or 0 if there are none.
    pub(crate) parts: usize,
    /// The parts that are broken, so that an unknown number of samples is missing.
    pub(crate) bad_parts: Vec<BadFile>,
}

impl Opened {
    /// Wraps a source that has no problems.
    pub(crate) fn whole(source: impl Source + 'static) -> Self {
        Self {
            source: Box::new(source),
            left_out: 0,
            bad_files: Vec::new(),
            parts: 0,
            bad_parts: Vec::new(),
        }
    }
}

/// What counts as one sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// An image.
    Pictures,
    /// A video: a file, or a folder of frames.
    Videos,
}

/// Formats a number with a noun, such as "1 image" or "2 images".
pub(crate) fn count(n: usize, one: &str) -> String {
    format!("{n} {one}{}", if n == 1 { "" } else { "s" })
}
