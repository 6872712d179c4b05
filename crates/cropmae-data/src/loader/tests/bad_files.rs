//! Tests the policy for unusable files.

use image::{Rgb, RgbImage};

use super::*;

/// The unusable ones of 100 files: an empty file, a text, and a truncated image.
const UNUSABLE: [usize; 3] = [5, 40, 77];

fn damaged_folder() -> TempDir {
    let dir = folder(100);
    let at = |id: usize| dir.path().join(format!("{id:04}.png"));
    std::fs::write(at(UNUSABLE[0]), "").unwrap();
    std::fs::write(at(UNUSABLE[1]), "not a picture").unwrap();
    let bytes = std::fs::read(at(UNUSABLE[2])).unwrap();
    std::fs::write(at(UNUSABLE[2]), &bytes[..bytes.len() / 2]).unwrap();
    std::fs::create_dir(dir.path().join("folder.jpg")).unwrap();
    dir
}

#[test]
fn unusable_files_are_replaced_the_same_way_by_any_number_of_threads() {
    let dir = damaged_folder();
    let stream = |workers| {
        let config = LoaderConfig {
            workers,
            ..settings(10)
        };
        let loader = Loader::new(open(dir.path(), 0.05), config).unwrap();
        let batches = all(&loader, 0, 0);
        (batches, loader.bad_files())
    };
    let (batches, bad_files) = stream(1);
    assert!(stream(4) == (batches.clone(), bad_files.clone()));
    assert_eq!(batches.len(), 10);
    assert_eq!(
        batches.iter().map(|batch| batch.bad_files).sum::<usize>(),
        3
    );
    let shown: Vec<usize> = batches.iter().flat_map(ids).collect();
    assert_eq!(shown.len(), 100);
    assert!(UNUSABLE.iter().all(|id| !shown.contains(id)));
    let named: Vec<_> = bad_files
        .iter()
        .map(|bad| bad.path.file_name().unwrap())
        .collect();
    assert_eq!(named, ["0005.png", "0040.png", "0077.png"]);
    assert_eq!(bad_files[0].reason, "empty file");
    assert!(
        bad_files[1].reason.contains("not a JPEG"),
        "{}",
        bad_files[1].reason
    );
}

#[test]
fn replacements_show_other_crops_than_in_their_own_place() {
    let dir = tempfile::tempdir().unwrap();
    for id in 0..40u32 {
        let picture =
            RgbImage::from_fn(64, 64, |x, y| Rgb([(x * 4) as u8, (y * 4) as u8, id as u8]));
        picture
            .save(dir.path().join(format!("{id:02}.png")))
            .unwrap();
    }
    std::fs::write(dir.path().join("13.png"), "").unwrap();
    let loader = Loader::new(open(dir.path(), 0.05), settings(40)).unwrap();
    let batch = all(&loader, 0, 0).remove(0);
    let patches = batch.views[0].normalized();
    let samples: Vec<&[f32]> = patches.chunks_exact(SIZE * SIZE * 3).collect();
    let blue = |sample: &[f32]| normalize::to_byte(sample[2], 2);
    let twice = samples
        .iter()
        .find_map(|a| {
            let same: Vec<_> = samples.iter().filter(|b| blue(a) == blue(b)).collect();
            (same.len() == 2).then_some(same)
        })
        .expect("one image replaces another");
    assert!(twice[0] != twice[1]);
}

#[test]
fn too_many_unusable_files_end_the_epoch() {
    let dir = damaged_folder();
    let loader = Loader::new(open(dir.path(), 0.02), settings(10)).unwrap();
    let mut delivered = 0;
    let mut failures = Vec::new();
    for batch in loader.epoch(0, 0) {
        match batch {
            Ok(_) => delivered += 1,
            Err(error) => failures.push((delivered, error.to_string())),
        }
    }
    let [(before, message)] = failures.as_slice() else {
        panic!("{failures:?}")
    };
    assert_eq!(*before, delivered, "nothing follows the error");
    for part in [
        "3 of 100 files",
        "max_bad_fraction = 0.02",
        "allows 2",
        "0005.png (empty file)",
    ] {
        assert!(message.contains(part), "{message}");
    }
    // With more threads, the epoch ends at the same place.
    let config = LoaderConfig {
        workers: 5,
        ..settings(10)
    };
    let again = Loader::new(open(dir.path(), 0.02), config).unwrap();
    assert_eq!(again.epoch(0, 0).filter(Result::is_ok).count(), delivered);
}

#[test]
fn a_folder_without_a_usable_file_ends_at_once() {
    let dir = tempfile::tempdir().unwrap();
    for id in 0..30 {
        std::fs::write(dir.path().join(format!("{id}.jpg")), "nothing").unwrap();
    }
    for fraction in [0.0, 0.01, 1.0] {
        let loader = Loader::new(open(dir.path(), fraction), settings(4)).unwrap();
        let batches: Vec<_> = loader.epoch(0, 0).collect();
        assert_eq!(batches.len(), 1);
        assert!(matches!(batches[0], Err(DataError::TooManyBadFiles { .. })));
    }
}

#[test]
fn files_that_vanish_are_unusable_files() {
    let dir = folder(40);
    let loader = Loader::new(open(dir.path(), 0.05), settings(10)).unwrap();
    std::fs::remove_file(dir.path().join("0003.png")).unwrap();
    assert_eq!(all(&loader, 0, 0).len(), 4);
    assert_eq!(loader.bad_files().len(), 1);
    assert!(loader.bad_files()[0].reason.contains("cannot read"));
    assert_eq!(
        all(&loader, 1, 0).len(),
        4,
        "a file counts once, however often it is met"
    );
    assert_eq!(loader.bad_files().len(), 1);
}

#[cfg(unix)]
#[test]
fn forbidden_files_are_unusable_files() {
    use std::os::unix::fs::PermissionsExt;
    let dir = folder(40);
    let path = dir.path().join("0003.png");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
    let loader = Loader::new(open(dir.path(), 0.05), settings(10)).unwrap();
    all(&loader, 0, 0);
    // The superuser may read anything.
    let expected = usize::from(std::fs::read(&path).is_err());
    assert_eq!(loader.bad_files().len(), expected);
}
