//! Videos as folders of frames, for the frame pairs of SiamMAE and for one random frame per video.
//!
//! Every folder that directly holds at least two images is a video. Its frames are sorted by the bytes of their names,
//! so numbers must be padded with zeros, as all common extractors do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;

use super::file_kind::FileKind;
use super::folder::by_bytes;
use super::{Drawn, Opened, Pick, Picture, Source, count};
use crate::fingerprint::Fingerprint;
use crate::random::below;
use crate::{BadFile, DataError};

/// A video.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Video {
    /// The folder of the frames.
    folder: PathBuf,
    /// The indices of the frames among all images. There are at least two.
    frames: Vec<usize>,
}

/// A source in which every folder of frames is a sample.
#[derive(Debug)]
pub(crate) struct FrameFolders {
    pictures: Box<dyn Source>,
    /// The kind of file that holds the images.
    kind: FileKind,
    videos: Vec<Video>,
}

impl FrameFolders {
    /// Groups images into videos by the folders in their names, sorted by the bytes of the folders.
    ///
    /// Images that are alone in their folder are left out.
    pub(crate) fn group(root: &Path, opened: Opened, kind: FileKind) -> Result<Opened, DataError> {
        let pictures = opened.source;
        let mut folders: BTreeMap<PathBuf, Vec<usize>> = BTreeMap::new();
        for index in 0..pictures.len() {
            let name = pictures.name(index);
            let folder = name.parent().unwrap_or(Path::new(""));
            match folders.get_mut(folder) {
                Some(frames) => frames.push(index),
                None => drop(folders.insert(folder.to_owned(), vec![index])),
            }
        }
        let mut videos: Vec<Video> = folders
            .into_iter()
            .map(|(folder, frames)| Video { folder, frames })
            .filter(|video| video.frames.len() >= 2)
            .collect();
        if videos.is_empty() {
            return Err(DataError::NoVideos {
                path: root.to_owned(),
                images: pictures.len(),
            });
        }
        for video in &mut videos {
            // In folders they are sorted already, but in archives they can be in any order.
            video
                .frames
                .sort_by_cached_key(|&frame| pictures.name(frame));
        }
        videos.sort_by(|a, b| by_bytes(&a.folder, &b.folder));
        let this = Self {
            pictures,
            kind,
            videos,
        };
        let alone = this.pictures.len() - this.file_count();
        Ok(Opened {
            left_out: opened.left_out + alone,
            source: Box::new(this),
            ..opened
        })
    }
}

impl Source for FrameFolders {
    fn len(&self) -> usize {
        self.videos.len()
    }

    fn file_count(&self) -> usize {
        self.videos.iter().map(|video| video.frames.len()).sum()
    }

    fn describe(&self) -> String {
        let (videos, frames) = (self.len(), self.file_count());
        let text = format!("{} with {}", count(videos, "video"), count(frames, "frame"));
        match self.kind {
            FileKind::Image => text,
            kind => format!("{text} in {kind}s"),
        }
    }

    fn name(&self, sample: usize) -> PathBuf {
        self.videos[sample].folder.clone()
    }

    fn fingerprint(&self, hash: &mut Fingerprint) {
        self.pictures.fingerprint(hash);
    }

    fn read(&self, sample: usize) -> Result<Picture, BadFile> {
        self.pictures.read(self.videos[sample].frames[0])
    }

    fn draw(&self, sample: usize, pick: Pick, rngs: &mut [ChaCha8Rng]) -> Result<Drawn, BadFile> {
        let frames = &self.videos[sample].frames;
        let chosen = choose(frames.len(), pick, rngs);
        let read = |&frame: &usize| self.pictures.read(frames[frame]);
        Ok(Drawn {
            pictures: chosen.frames.iter().map(read).collect::<Result<_, _>>()?,
            shown: chosen.shown,
        })
    }
}

/// The frames of one video that were chosen by several draws.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// The different frames, in order of time.
    pub(crate) frames: Vec<usize>,
    /// For each draw, the positions of its frames in `frames`.
    pub(crate) shown: Vec<[usize; 2]>,
}

/// Draws once for each of `rngs` from a video of `frames` frames, which must be at least 1.
pub(crate) fn choose(frames: usize, pick: Pick, rngs: &mut [ChaCha8Rng]) -> Chosen {
    let draws: Vec<[usize; 2]> = rngs
        .iter_mut()
        .map(|rng| match pick {
            Pick::One => [below(rng, frames as u32) as usize; 2],
            Pick::Pair(gap) => draw_pair(frames as u32, gap, rng),
        })
        .collect();
    let mut frames = draws.concat();
    frames.sort_unstable();
    frames.dedup();
    let place = |frame| frames.partition_point(|&other| other < frame);
    let shown = draws.iter().map(|pair| pair.map(place)).collect();
    Chosen { frames, shown }
}

/// Draws an earlier and a later frame.
///
/// Their distance is uniform in the inclusive range `gap`, limited by the length of the video. Then the first frame is
/// uniform among those that this distance allows.
fn draw_pair(frames: u32, gap: [u32; 2], rng: &mut impl RngCore) -> [usize; 2] {
    let high = gap[1].min(frames - 1);
    let low = gap[0].min(high);
    let distance = low + below(rng, high - low + 1);
    let first = below(rng, frames - distance);
    [first as usize, (first + distance) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;
    use cropmae_config::{Seed, Stream};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pairs_keep_their_distance(
            frames in 2usize..200, low in 1u32..60, more in 0u32..60, seed: u64,
        ) {
            let mut rng = Seed(seed).rng(Stream::Views, 0, 0);
            let [earlier, later] = draw_pair(frames as u32, [low, low + more], &mut rng);
            prop_assert!(earlier < later && later < frames);
            let distance = (later - earlier) as u32;
            prop_assert!(distance <= low + more);
            prop_assert!(distance >= low.min(frames as u32 - 1));
        }
    }

    #[test]
    fn distances_and_starts_are_uniform() {
        let mut rng = Seed(1).rng(Stream::Views, 0, 0);
        let (mut distances, mut starts) = ([0usize; 4], [0usize; 7]);
        for _ in 0..8000 {
            let [first, second] = draw_pair(10, [4, 7], &mut rng);
            distances[second - first - 4] += 1;
            if second - first == 4 {
                starts[first.min(6)] += 1;
            }
        }
        assert!(
            distances.iter().all(|&n| (1850..2150).contains(&n)),
            "{distances:?}"
        );
        assert!(
            starts[..6].iter().all(|&n| (260..410).contains(&n)),
            "{starts:?}"
        );
        assert_eq!(starts[6], 0);
    }

    #[test]
    fn several_draws_share_their_frames() {
        let mut rngs: Vec<_> = (0..50).map(|i| Seed(3).rng(Stream::Views, 0, i)).collect();
        let mut again = rngs.clone();
        let chosen = choose(12, Pick::Pair([2, 5]), &mut rngs);
        assert!(chosen.frames.is_sorted_by(|a, b| a < b), "{chosen:?}");
        for (pair, rng) in chosen.shown.iter().zip(&mut again) {
            let expected = draw_pair(12, [2, 5], rng);
            assert_eq!(pair.map(|place| chosen.frames[place]), expected);
        }
        let one = choose(1, Pick::One, &mut rngs[..1]);
        assert_eq!((one.frames, one.shown), (vec![0], vec![[0, 0]]));
    }

    fn folder(images: &[&str]) -> (tempfile::TempDir, Opened) {
        let dir = tempfile::tempdir().unwrap();
        for image in images {
            let path = dir.path().join(image);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, image).unwrap();
        }
        let opened = super::super::open(dir.path(), super::super::Unit::Pictures).unwrap();
        (dir, opened)
    }

    #[test]
    fn folders_with_two_images_are_videos() {
        let (_dir, pictures) = folder(&[
            "a/1.jpg",
            "a/2.jpg",
            "b/only.jpg",
            "c/d/1.png",
            "c/d/2.png",
            "c/d/3.png",
        ]);
        let opened = FrameFolders::group(Path::new("root"), pictures, FileKind::Image).unwrap();
        let (found, alone) = (opened.source, opened.left_out);
        let seen: Vec<_> = (0..found.len()).map(|video| found.name(video)).collect();
        assert_eq!(seen, [Path::new("a"), Path::new("c/d")]);
        assert_eq!(found.describe(), "2 videos with 5 frames");
        assert_eq!(alone, 1);
        assert!(found.read(1).unwrap().path.ends_with("c/d/1.png"));
        let (_dir, pictures) = folder(&["b/only.jpg"]);
        let error = FrameFolders::group(Path::new("root"), pictures, FileKind::Image)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("no videos") && error.contains("1 images seen"),
            "{error}"
        );
    }
}
