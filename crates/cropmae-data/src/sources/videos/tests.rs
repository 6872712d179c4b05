use cropmae_config::{Seed, Stream};
use tempfile::TempDir;

use super::*;
use crate::fixtures::shared;
use crate::sources::{Unit, open};

fn clip(path: &Path) -> Clip {
    Clip::open(path).unwrap()
}

/// The real clips: h264 and mpeg4 in mp4, mkv and avi.
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
        // Whole long clips in memory are too much for a test: their first frames, and a sparse choice.
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
    let bad = source.read(0).unwrap_err();
    (dir, bad)
}

#[test]
fn files_without_frames_are_unusable() {
    let (_dir, bad) = damaged(b"no video at all");
    assert!(bad.to_string().contains("x.mp4: cannot open"), "{bad}");
    let (_dir, bad) = damaged(b"");
    assert!(bad.to_string().contains("x.mp4: cannot open"), "{bad}");
    let Some(videos) = videos() else { return };
    // An mp4 whose table of contents is whole, but whose frames are gone.
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
