//! Video files, decoded by FFmpeg: one random frame each (CropMAE and MAE on Kinetics) or a pair of frames
//! (SiamMAE).
//!
//! Frames are numbered by their timestamps as the container states them, and a draw finds its frame by
//! number, so it gives what a decoder that reads the file from its start calls by that number. A draw
//! walks the container once to number the frames and once to decode, from the key frame before its first
//! frame to its last one, skipping groups of pictures that it needs nothing of. That suits clips of
//! seconds to minutes, such as Kinetics'; cut longer recordings first.

mod clip;

use std::path::{Path, PathBuf};

use rand_chacha::ChaCha8Rng;

use self::clip::Clip;
use super::frames::{Chosen, choose};
use super::names::Names;
use super::{Content, Drawn, Pick, Picture, Source, count};
use crate::BadFile;
use crate::fingerprint::Fingerprint;

/// Every video file is a sample.
#[derive(Debug)]
pub(crate) struct Videos {
    root: PathBuf,
    names: Names,
}

impl Videos {
    /// The files `names` below `root`.
    pub(crate) fn new(root: &Path, names: Names) -> Self {
        Self {
            root: root.to_owned(),
            names,
        }
    }

    /// What `choose` picks of a clip, decoded.
    fn decode(
        &self,
        sample: usize,
        choose: impl FnOnce(usize) -> Result<Chosen, String>,
    ) -> Result<Drawn, BadFile> {
        let path = self.root.join(self.names.get(sample));
        let decoded = Clip::open(&path).and_then(|clip| {
            let chosen = choose(clip.frames())?;
            Ok((clip.decode(&chosen.frames)?, chosen))
        });
        let (frames, chosen) = match decoded {
            Ok(decoded) => decoded,
            Err(reason) => return Err(BadFile { path, reason }),
        };
        let picture = |(number, pixels): (&usize, _)| Picture {
            path: path.join(format!("frame {number}")),
            content: Content::Decoded(pixels),
        };
        Ok(Drawn {
            pictures: chosen.frames.iter().zip(frames).map(picture).collect(),
            shown: chosen.shown,
        })
    }
}

impl Source for Videos {
    fn len(&self) -> usize {
        self.names.len()
    }

    fn describe(&self) -> String {
        count(self.len(), "video file")
    }

    fn name(&self, sample: usize) -> PathBuf {
        self.names.get(sample)
    }

    fn fingerprint(&self, hash: &mut Fingerprint) {
        let files: Vec<PathBuf> = self.names.iter().collect();
        hash.add_files(&self.root, &files);
    }

    fn read(&self, sample: usize) -> Result<Picture, BadFile> {
        let first = |_| {
            Ok(Chosen {
                frames: vec![0],
                shown: Vec::new(),
            })
        };
        let mut drawn = self.decode(sample, first)?;
        Ok(drawn.pictures.remove(0))
    }

    fn draw(&self, sample: usize, pick: Pick, rngs: &mut [ChaCha8Rng]) -> Result<Drawn, BadFile> {
        self.decode(sample, |frames| match pick {
            Pick::Pair(_) if frames < 2 => Err("a single frame; a pair needs 2".to_owned()),
            _ => Ok(choose(frames, pick, rngs)),
        })
    }
}

#[cfg(test)]
mod tests;
