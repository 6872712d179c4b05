//! Video files, decoded by FFmpeg.
//!
//! A sample is one random frame (CropMAE and MAE on Kinetics) or a pair of frames (SiamMAE).
//!
//! Frames are numbered by their timestamps in the container, and a draw finds its frame by number. It therefore gives
//! the same frame as a decoder that counts from the start of the file. A draw reads the container twice: once to number
//! the frames, and once to decode from the key frame before its first frame to its last frame, skipping groups of
//! pictures that are not needed. This suits clips of seconds to minutes, such as those of Kinetics. Longer recordings
//! should be cut first.

mod clip;

use std::path::{Path, PathBuf};

use rand_chacha::ChaCha8Rng;

use self::clip::Clip;
use super::frames::{Chosen, choose};
use super::names::Names;
use super::{Content, Drawn, Pick, Picture, Source, count};
use crate::BadFile;
use crate::fingerprint::Fingerprint;

/// A source in which every video file is a sample.
#[derive(Debug)]
pub(crate) struct Videos {
    root: PathBuf,
    names: Names,
}

impl Videos {
    /// Creates a source of the files `names` in the folder `root`.
    pub(crate) fn new(root: &Path, names: Names) -> Self {
        Self {
            root: root.to_owned(),
            names,
        }
    }

    /// Decodes the frames that `choose` returns for the number of frames of a clip.
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
            Pick::Pair(_) if frames < 2 => Err("only one frame; a pair needs 2".to_owned()),
            _ => Ok(choose(frames, pick, rngs)),
        })
    }
}

#[cfg(test)]
mod tests;
