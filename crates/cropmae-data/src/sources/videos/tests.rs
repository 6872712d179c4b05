use std::sync::Arc;

use cropmae_config::{Experiment, Seed, Stream, Views};
use tempfile::TempDir;

use super::*;
use crate::fixtures::shared;
use crate::sources::{Unit, open};
use crate::{Dataset, Loader, LoaderConfig};

fn clip(path: &Path) -> Clip {
    Clip::open(path).unwrap()
}

/// Returns the real clips: H.264 and MPEG-4 in mp4, mkv and avi.
fn videos() -> Option<Vec<PathBuf>> {
    let dir = shared("data/videos")?;
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 6);
    Some(files)
}

#[test]
fn frames_are_those_of_a_decoder_that_starts_at_the_beginning() {
    let Some(videos) = videos() else { return };
    for path in videos {
        let clip = clip(&path);
        let frames = clip.frames();
        // Whole long clips would need too much memory, so the test uses their first frames and a sparse choice.
        let all: Vec<usize> = (0..frames.min(60)).collect();
        let from_start = clip.decode(&all).unwrap();
        for number in [0, 1, all.len() / 2, all.len() - 1] {
            let alone = clip.decode(&[number]).unwrap();
            assert!(
                alone[0] == from_start[number],
                "{} frame {number}",
                path.display()
            );
        }
        let sparse = [0, all.len() / 3, all.len() - 2, all.len() - 1];
        let together = clip.decode(&sparse).unwrap();
        for (number, frame) in sparse.iter().zip(together) {
            assert!(
                frame == from_start[*number],
                "{} frame {number}",
                path.display()
            );
        }
    }
}

#[test]
fn late_frames_are_found_from_their_key_frame() {
    let Some(videos) = videos() else { return };
    for path in videos {
        let clip = clip(&path);
        let last = clip.frames() - 1;
        let pair = clip.decode(&[last - 1, last]).unwrap();
        let alone = clip.decode(&[last]).unwrap();
        assert!(pair[1] == alone[0], "{}", path.display());
    }
}

#[test]
fn files_in_folders_are_samples() {
    let Some(dir) = shared("data/videos") else {
        return;
    };
    let source = open(&dir, Unit::Videos).unwrap().source;
    assert_eq!(source.describe(), "6 video files");
    let mut rngs: Vec<_> = (0..3).map(|i| Seed(1).rng(Stream::Views, 0, i)).collect();
    let drawn = source.draw(0, Pick::Pair([4, 47]), &mut rngs).unwrap();
    assert_eq!(drawn.shown.len(), 3);
    for [earlier, later] in &drawn.shown {
        let number = |place: usize| {
            let name = drawn.pictures[place]
                .path
                .file_name()
                .unwrap()
                .to_str()
                .unwrap();
            name.strip_prefix("frame ").unwrap().parse::<i64>().unwrap()
        };
        assert!((4..=47).contains(&(number(*later) - number(*earlier))));
    }
}

fn damaged(bytes: &[u8]) -> (TempDir, BadFile) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("x.mp4"), bytes).unwrap();
    let source = open(dir.path(), Unit::Videos).unwrap().source;
    let bad = source.read(0).err().unwrap();
    (dir, bad)
}

#[test]
fn files_without_frames_are_unusable() {
    let (_dir, bad) = damaged(b"no video at all");
    assert!(bad.to_string().contains("x.mp4: cannot open"), "{bad}");
    let (_dir, bad) = damaged(b"");
    assert!(bad.to_string().contains("x.mp4: cannot open"), "{bad}");
    let Some(videos) = videos() else { return };
    // An mp4 whose table of contents is complete, but whose frames are missing.
    let whole = std::fs::read(&videos[0]).unwrap();
    let (_dir, bad) = damaged(&whole[..whole.len() / 50]);
    assert!(!bad.reason.is_empty());
    let dir = tempfile::tempdir().unwrap();
    let source = {
        std::fs::copy(&videos[0], dir.path().join("x.mp4")).unwrap();
        open(dir.path(), Unit::Videos).unwrap().source
    };
    std::fs::remove_file(dir.path().join("x.mp4")).unwrap();
    assert!(source.read(0).is_err(), "a file that vanishes");
}

/// Returns an H.264 mp4 without key frames, both by its table of sync samples and by the frames themselves.
fn without_key_frames(path: &Path) -> Vec<u8> {
    const IDR_SLICE: u8 = 5;
    const SLICE: u8 = 1;
    let mut bytes = std::fs::read(path).unwrap();
    // The name is followed by the version and flags, the number of entries, and the entries.
    let entries = memchr::memmem::find(&bytes, b"stss").unwrap() + 4 + 4;
    bytes[entries..entries + 8].copy_from_slice(&[0, 0, 0, 1, 0x7f, 0xff, 0xff, 0xff]);
    for at in 4..bytes.len() {
        // The byte after a length of less than one mebibyte can be the header of a slice.
        if bytes[at - 4] == 0 && bytes[at - 3] < 16 && bytes[at] & 0x9f == IDR_SLICE {
            bytes[at] = bytes[at] & 0xe0 | SLICE;
        }
    }
    bytes
}

#[test]
fn videos_without_a_key_frame_are_named_and_skipped_or_refused() {
    let Some(videos) = videos() else { return };
    let mp4 = |path: &&PathBuf| path.extension().is_some_and(|end| end == "mp4");
    let size = |path: &&PathBuf| std::fs::metadata(path).unwrap().len();
    let whole = videos.iter().filter(mp4).min_by_key(size).unwrap();
    let bytes = without_key_frames(whole);
    let (_dir, bad) = damaged(&bytes);
    assert!(bad.to_string().ends_with("x.mp4: no key frame"), "{bad}");

    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("broken.mp4"), &bytes).unwrap();
    for name in ["a.mp4", "b.mp4"] {
        std::fs::copy(whole, dir.path().join(name)).unwrap();
    }
    let batches = |max_bad_fraction: f64| {
        let mut experiment = Experiment::demo(&["train.batch_size=3".to_owned()]).unwrap();
        experiment.data.views = Views::FramePair;
        experiment.data.max_bad_fraction = max_bad_fraction;
        let dataset = Arc::new(Dataset::open(dir.path(), &experiment.data).unwrap());
        let loader = Loader::new(dataset, LoaderConfig::of(&experiment, 1)).unwrap();
        let batches = loader.epoch(0, 0).collect::<Result<Vec<_>, _>>();
        (batches, loader.bad_files())
    };
    let (skipped, bad) = batches(0.5);
    assert_eq!(skipped.unwrap()[0].bad_files, 1);
    assert!(bad[0].path.ends_with("broken.mp4") && bad.len() == 1);
    let refused = batches(0.0).0.unwrap_err().to_string();
    assert!(
        refused.contains("broken.mp4") && refused.contains("no key frame"),
        "{refused}"
    );
}
