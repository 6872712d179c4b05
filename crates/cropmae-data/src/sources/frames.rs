//! Videos as folders of frames: for SiamMAE's frame pairs, and for one random frame per video.
//!
//! Every folder that itself holds at least two images is a video; its frames come in the order of their
//! names' bytes, so numbers must be padded with zeros, as every common extractor writes them.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use rand_chacha::rand_core::RngCore;

use crate::DataError;
use crate::random::below;
use crate::sources::{Listing, folder::by_bytes};

/// One video.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Video {
    /// Its folder, relative to the data set's root.
    pub(crate) folder: PathBuf,
    /// File names of its frames, at least two.
    pub(crate) frames: Vec<OsString>,
}

impl Video {
    /// Relative path of a frame.
    pub(crate) fn path(&self, frame: usize) -> PathBuf {
        self.folder.join(&self.frames[frame])
    }

    /// Relative paths of all frames.
    pub(crate) fn paths(&self) -> impl Iterator<Item = PathBuf> {
        self.frames.iter().map(|frame| self.folder.join(frame))
    }

    /// An earlier and a later frame: their distance is uniform in the inclusive range `gap`, clipped to
    /// what the video allows, then the first frame is uniform over what the distance allows.
    pub(crate) fn draw_pair(&self, gap: [u32; 2], rng: &mut impl RngCore) -> [usize; 2] {
        let frames = self.frames.len() as u32;
        let high = gap[1].min(frames - 1);
        let low = gap[0].min(high);
        let distance = low + below(rng, high - low + 1);
        let first = below(rng, frames - distance);
        [first as usize, (first + distance) as usize]
    }

    /// One frame, uniform.
    pub(crate) fn draw_one(&self, rng: &mut impl RngCore) -> usize {
        below(rng, self.frames.len() as u32) as usize
    }
}

/// Groups a listing into videos, sorted by their folders' bytes; the second value counts images left out
/// because they are alone in their folder.
pub(crate) fn group(root: &Path, listing: Listing) -> Result<(Vec<Video>, usize), DataError> {
    let images = listing.images.len();
    let mut folders: BTreeMap<PathBuf, Vec<OsString>> = BTreeMap::new();
    for image in &listing.images {
        let folder = image.parent().unwrap_or(Path::new("")).to_owned();
        let name = image.file_name().unwrap_or(OsStr::new("")).to_owned();
        folders.entry(folder).or_default().push(name);
    }
    let mut videos: Vec<Video> = folders
        .into_iter()
        .map(|(folder, frames)| Video { folder, frames })
        .filter(|video| video.frames.len() >= 2)
        .collect();
    if videos.is_empty() {
        return Err(DataError::NoVideos {
            path: root.to_owned(),
            images,
        });
    }
    videos.sort_by(|a, b| by_bytes(&a.folder, &b.folder));
    let kept: usize = videos.iter().map(|video| video.frames.len()).sum();
    Ok((videos, images - kept))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cropmae_config::{Seed, Stream};
    use proptest::prelude::*;

    fn video(frames: usize) -> Video {
        let frames = (0..frames).map(|i| format!("{i:05}.jpg").into()).collect();
        Video {
            folder: "a".into(),
            frames,
        }
    }

    proptest! {
        #[test]
        fn pairs_keep_their_distance(
            frames in 2usize..200, low in 1u32..60, more in 0u32..60, seed: u64,
        ) {
            let mut rng = Seed(seed).rng(Stream::Views, 0, 0);
            let [earlier, later] = video(frames).draw_pair([low, low + more], &mut rng);
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
            let [first, second] = video(10).draw_pair([4, 7], &mut rng);
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
    fn folders_with_two_images_are_videos() {
        let images = [
            "a/1.jpg",
            "a/2.jpg",
            "b/only.jpg",
            "c/d/1.png",
            "c/d/2.png",
            "c/d/3.png",
        ];
        let listing = Listing {
            images: images.map(PathBuf::from).to_vec(),
            other_files: 0,
        };
        let (videos, alone) = group(Path::new("root"), listing).unwrap();
        let seen: Vec<_> = videos
            .iter()
            .map(|v| (v.folder.to_str().unwrap(), v.frames.len()))
            .collect();
        assert_eq!(seen, [("a", 2), ("c/d", 3)]);
        assert_eq!(videos[1].path(2), Path::new("c/d/3.png"));
        assert_eq!(alone, 1);
        let listing = Listing {
            images: vec!["b/only.jpg".into()],
            other_files: 0,
        };
        let error = group(Path::new("root"), listing).unwrap_err().to_string();
        assert!(
            error.contains("no videos") && error.contains("1 images seen"),
            "{error}"
        );
    }
}
