//! Where samples come from. A path says what it is: [`open`] recognizes it and answers with a
//! [`Source`]; the loader knows nothing else.
//!
//! A sample is a picture, or a video of which some frames are drawn. Sources list at opening, read
//! nothing before it is asked for, and find any sample by its number: that is what lets an epoch be a
//! computed permutation that can be entered anywhere.

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
    /// Number of samples, at least 1.
    fn len(&self) -> usize;

    /// Pictures (or video files) that samples are read from and that can turn out unusable.
    fn file_count(&self) -> usize {
        self.len()
    }

    /// One line about what is here, such as "3800 images in 10 folders".
    fn describe(&self) -> String;

    /// Name of a sample, relative to the source's root.
    fn name(&self, sample: usize) -> PathBuf;

    /// Adds what identifies the data: names and sizes, but no content.
    fn fingerprint(&self, hash: &mut Fingerprint);

    /// Which samples are only read cheaply together, where that is so.
    fn groups(&self) -> Option<Groups> {
        None
    }

    /// The picture of a sample; of a video its first frame.
    fn read(&self, sample: usize) -> Result<Picture, BadFile>;

    /// Draws once from a sample for each of `rngs`, in one pass over its file.
    fn draw(&self, sample: usize, _pick: Pick, rngs: &mut [ChaCha8Rng]) -> Result<Drawn, BadFile> {
        let pictures = vec![self.read(sample)?];
        let shown = vec![[0, 0]; rngs.len()];
        Ok(Drawn { pictures, shown })
    }
}

/// What of a sample is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pick {
    /// One picture: the image itself, or a random frame of a video.
    One,
    /// An earlier and a later frame of a video, their distance in this inclusive range of frames.
    Pair([u32; 2]),
}

/// A picture as its source holds it.
#[derive(Debug)]
pub(crate) struct Picture {
    /// What to call it in messages.
    pub(crate) path: PathBuf,
    /// Its content.
    pub(crate) content: Content,
}

/// The content of a [`Picture`].
#[derive(Debug)]
pub(crate) enum Content {
    /// A file's bytes.
    Encoded(FileBytes),
    /// Pixels, of a decoded video.
    #[cfg_attr(
        not(feature = "video"),
        expect(dead_code, reason = "only video files give pixels")
    )]
    Decoded(RgbImage),
}

/// What was drawn from one sample.
#[derive(Debug)]
pub(crate) struct Drawn {
    /// Different pictures.
    pub(crate) pictures: Vec<Picture>,
    /// Per draw, which pictures its first and its second view show; equal but for pairs.
    pub(crate) shown: Vec<[usize; 2]>,
}

/// A recognized source, and what of its path is not among its samples.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) source: Box<dyn Source>,
    /// Files of other kinds, and images that are alone in a folder of videos.
    pub(crate) left_out: usize,
    /// Unusable files that listing has found.
    pub(crate) bad_files: Vec<BadFile>,
    /// Files that hold many samples each, such as tar shards; 0 where there are none.
    pub(crate) parts: usize,
    /// Parts that are broken, so that an unknown number of samples is missing.
    pub(crate) bad_parts: Vec<BadFile>,
}

impl Opened {
    /// A source with nothing wrong about it.
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
    /// A picture.
    Pictures,
    /// A video: a file, or a folder of frames.
    Videos,
}

/// "1 image", "2 images".
pub(crate) fn count(n: usize, one: &str) -> String {
    format!("{n} {one}{}", if n == 1 { "" } else { "s" })
}
