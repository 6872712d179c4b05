//! The stream's promises, on folders of flat pictures whose colour tells which file they are.

use std::path::Path;
use std::time::{Duration, Instant};

use cropmae_config::{DataConfig, Views};
use image::{Rgb, RgbImage};
use tempfile::TempDir;

use super::*;
use crate::{Order, normalize};

const SIZE: usize = 16;
const PATCH: usize = 4;

fn flat(id: usize) -> RgbImage {
    RgbImage::from_pixel(30, 20, Rgb([(id % 256) as u8, (id / 256) as u8, 77]))
}

fn folder(count: usize) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for id in 0..count {
        flat(id)
            .save(dir.path().join(format!("{id:04}.png")))
            .unwrap();
    }
    dir
}

fn recipe(views: Views, max_bad_fraction: f64) -> DataConfig {
    let mut data = Experiment::demo(&[]).unwrap().data;
    data.views = views;
    data.max_bad_fraction = max_bad_fraction;
    data
}

fn settings(batch_size: usize) -> LoaderConfig {
    LoaderConfig {
        batch_size,
        image_size: SIZE,
        patch_size: PATCH,
        seed: Seed(7),
        prefetch_batches: 3,
        workers: 2,
        rank: 0,
        world_size: 1,
    }
}

fn open(dir: &Path, max_bad_fraction: f64) -> Arc<Dataset> {
    Arc::new(Dataset::open(dir, &recipe(Views::GlobalToLocal, max_bad_fraction)).unwrap())
}

fn all(loader: &Loader, epoch: u64, first: usize) -> Vec<Batch> {
    loader
        .epoch(epoch, first)
        .collect::<Result<_, _>>()
        .unwrap()
}

/// Which file each sample of a batch shows, the same in all its views.
fn ids(batch: &Batch) -> Vec<usize> {
    let per_view: Vec<Vec<usize>> = batch
        .views
        .iter()
        .map(|view| {
            view.chunks_exact(SIZE * SIZE * 3)
                .map(|sample| {
                    let byte = |channel| usize::from(normalize::to_byte(sample[channel], channel));
                    byte(0) + 256 * byte(1)
                })
                .collect()
        })
        .collect();
    assert!(per_view.iter().all(|ids| *ids == per_view[0]));
    per_view[0].clone()
}

#[test]
fn the_stream_does_not_depend_on_threads_or_prefetch() {
    let dir = folder(53);
    let dataset = open(dir.path(), 0.0);
    let stream = |workers, prefetch_batches| {
        let config = LoaderConfig {
            workers,
            prefetch_batches,
            ..settings(8)
        };
        all(&Loader::new(dataset.clone(), config).unwrap(), 3, 0)
    };
    let one = stream(1, 1);
    assert_eq!(one.len(), 6);
    assert_eq!(one[0].views[0].len(), 8 * SIZE * SIZE * 3);
    assert_eq!(one[0].ids_shuffle.len(), 8 * 16);
    assert!(one == stream(2, 4));
    assert!(one == stream(5, 2));
}

#[test]
fn an_epoch_can_be_entered_at_any_batch() {
    let dir = folder(30);
    let loader = Loader::new(open(dir.path(), 0.0), settings(4)).unwrap();
    let whole = all(&loader, 1, 0);
    assert_eq!(whole.len(), loader.batches_per_epoch());
    for first in 0..=whole.len() {
        assert!(
            all(&loader, 1, first) == whole[first..],
            "from batch {first}"
        );
    }
    assert!(all(&loader, 1, 99).is_empty());
    assert_eq!(whole[2].first_index, 8);
}

#[test]
fn an_epoch_shows_every_sample_once_in_an_order_of_its_own() {
    let dir = folder(41);
    let loader = Loader::new(open(dir.path(), 0.0), settings(10)).unwrap();
    let order = |epoch| {
        all(&loader, epoch, 0)
            .iter()
            .flat_map(ids)
            .collect::<Vec<_>>()
    };
    let (first, second) = (order(0), order(1));
    assert_ne!(first, second);
    let mut seen = first.clone();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(
        seen.len(),
        40,
        "41 samples, the incomplete fifth batch is dropped"
    );
    let masks = |epoch| all(&loader, epoch, 0)[0].ids_shuffle.clone();
    assert_ne!(masks(0), masks(1));
}

#[test]
fn processes_share_an_epoch_without_overlap() {
    let dir = folder(50);
    let dataset = open(dir.path(), 0.0);
    let stream = |rank, world_size, batch_size| {
        let config = LoaderConfig {
            rank,
            world_size,
            ..settings(batch_size)
        };
        all(&Loader::new(dataset.clone(), config).unwrap(), 2, 0)
    };
    let (left, right, whole) = (stream(0, 2, 4), stream(1, 2, 4), stream(0, 1, 8));
    assert_eq!((left.len(), right.len(), whole.len()), (6, 6, 6));
    for ((left, right), whole) in left.iter().zip(&right).zip(&whole) {
        for view in 0..2 {
            let joined = [left.views[view].as_slice(), &right.views[view]].concat();
            assert!(
                joined == whole.views[view],
                "two processes see one process's batch"
            );
        }
        assert_eq!(
            [left.ids_shuffle.as_slice(), &right.ids_shuffle].concat(),
            whole.ids_shuffle
        );
        assert_eq!(right.first_index, left.first_index + 4);
    }
}

/// 100 files, of which these are unusable: empty, text, cut off.
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
fn stand_ins_show_other_crops_than_in_their_own_place() {
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
    let samples: Vec<&[f32]> = batch.views[0].chunks_exact(SIZE * SIZE * 3).collect();
    let blue = |sample: &[f32]| normalize::to_byte(sample[2], 2);
    let twice = samples
        .iter()
        .find_map(|a| {
            let same: Vec<_> = samples.iter().filter(|b| blue(a) == blue(b)).collect();
            (same.len() == 2).then_some(same)
        })
        .expect("one picture stands in for another");
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
    // The same place with more threads.
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

#[test]
fn one_file_is_spared_in_sets_that_can_spare_it() {
    assert_eq!(allowed_bad_files(0.01, 1_000_000), 10_000);
    assert_eq!(allowed_bad_files(0.01, 150), 1);
    assert_eq!(allowed_bad_files(0.01, 20), 1);
    assert_eq!(allowed_bad_files(0.01, 19), 0);
    assert_eq!(allowed_bad_files(0.0, 1_000_000), 0, "0 means none");
    assert_eq!(allowed_bad_files(0.2, 10), 2);
}

#[test]
fn less_than_a_batch_is_an_error_that_says_so() {
    let dir = folder(7);
    let config = LoaderConfig {
        world_size: 2,
        ..settings(4)
    };
    let error = Loader::new(open(dir.path(), 0.0), config)
        .err()
        .unwrap()
        .to_string();
    for part in ["7 samples", "batch_size = 4", "2 processes needs 8"] {
        assert!(error.contains(part), "{error}");
    }
    let config = LoaderConfig {
        rank: 1,
        ..settings(4)
    };
    let error = Loader::new(open(dir.path(), 0.0), config)
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("rank = 1"), "{error}");
}

#[test]
fn dropping_an_epoch_stops_its_work() {
    let dir = folder(200);
    let config = LoaderConfig {
        prefetch_batches: 50,
        ..settings(4)
    };
    let loader = Loader::new(open(dir.path(), 0.0), config).unwrap();
    let mut epoch = loader.epoch(0, 0);
    epoch.next().unwrap().unwrap();
    drop(epoch);
    let deadline = Instant::now() + Duration::from_secs(20);
    while Arc::strong_count(&loader.shared) > 1 {
        assert!(Instant::now() < deadline, "work goes on after the drop");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(all(&loader, 1, 0).len(), 50, "the loader itself lives on");
    assert!(loader.wait_seconds() > 0.0);
}

fn video_folder() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for video in 0..6 {
        let path = dir.path().join(format!("class/video_{video}"));
        std::fs::create_dir_all(&path).unwrap();
        for frame in 0..12 {
            flat(video * 12 + frame)
                .save(path.join(format!("{frame:05}.png")))
                .unwrap();
        }
    }
    dir
}

#[test]
fn frame_pairs_come_from_one_video_in_order() {
    let dir = video_folder();
    let mut recipe = recipe(Views::FramePair, 0.0);
    recipe.frame_gap = [4, 7];
    let dataset = Arc::new(Dataset::open(dir.path(), &recipe).unwrap());
    assert_eq!(dataset.describe(), "6 videos with 72 frames");
    assert_eq!(dataset.name(1), Path::new("class/video_1"));
    let loader = Loader::new(dataset, settings(3)).unwrap();
    for epoch in 0..10 {
        for batch in all(&loader, epoch, 0) {
            let red = |view: usize, sample: usize| {
                let value = batch.views[view][sample * SIZE * SIZE * 3];
                usize::from(normalize::to_byte(value, 0))
            };
            for sample in 0..3 {
                let (earlier, later) = (red(0, sample), red(1, sample));
                assert_eq!(earlier / 12, later / 12, "one video");
                assert!((4..=7).contains(&(later - earlier)), "{earlier} {later}");
            }
        }
    }
}

#[test]
fn videos_also_give_single_frames() {
    let dir = video_folder();
    let recipe = recipe(Views::GlobalToLocal, 0.0);
    let dataset = Arc::new(Dataset::open_videos(dir.path(), &recipe).unwrap());
    assert_eq!(dataset.len(), 6);
    let loader = Loader::new(dataset.clone(), settings(6)).unwrap();
    let mut frames: Vec<usize> = (0..20).flat_map(|e| ids(&all(&loader, e, 0)[0])).collect();
    frames.sort_unstable();
    frames.dedup();
    assert!(frames.len() > 40, "random frames: {}", frames.len());
    assert_eq!(dataset.sample_rgb(2).unwrap(), flat(24));
    assert_eq!(
        Dataset::open(dir.path(), &recipe).unwrap().describe(),
        "72 images in 6 folders"
    );
}

#[test]
fn one_view_for_mae_and_pictures_equal_batches() {
    let dir = folder(8);
    let dataset = Arc::new(Dataset::open(dir.path(), &recipe(Views::Single, 0.0)).unwrap());
    let loader = Loader::new(dataset.clone(), settings(8)).unwrap();
    let batch = all(&loader, 4, 0).remove(0);
    assert_eq!(batch.views.len(), 1);
    let order = Order::new(Seed(7), 4, 8);
    for (position, patches) in batch.views[0].chunks_exact(SIZE * SIZE * 3).enumerate() {
        let index = order.index(position as u64);
        let [picture] = dataset
            .views_rgb(Seed(7), 4, index, SIZE)
            .unwrap()
            .try_into()
            .unwrap();
        assert!(crate::patchify::unpatchify(patches, SIZE, PATCH) == picture);
    }
}

#[test]
fn fingerprints_follow_names_and_sizes() {
    let dir = folder(4);
    let print = || open(dir.path(), 0.0).fingerprint();
    let first = print();
    assert_eq!(first.len(), 64);
    assert_eq!(first, print());
    let path = dir.path().join("0001.png");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, [bytes.as_slice(), b"x"].concat()).unwrap();
    let longer = print();
    assert_ne!(first, longer);
    std::fs::write(&path, bytes).unwrap();
    std::fs::rename(&path, dir.path().join("0001.jpg")).unwrap();
    assert_ne!(first, print());
}

#[test]
fn real_photos_and_real_frames_load() {
    let Some(data) = crate::fixtures::shared("data") else {
        return;
    };
    let photos = Dataset::open(
        &data.join("imagenet_photos"),
        &recipe(Views::RandomViews, 0.0),
    );
    let photos = Arc::new(photos.unwrap());
    assert_eq!(photos.describe(), "147 images in 147 folders");
    let loader = Loader::new(photos, settings(49)).unwrap();
    assert_eq!(all(&loader, 0, 0).len(), 3);
    let frames = Dataset::open(
        &data.join("DAVIS/JPEGImages"),
        &recipe(Views::FramePair, 0.0),
    );
    let frames = Arc::new(frames.unwrap());
    assert_eq!(frames.describe(), "3 videos with 152 frames");
    assert_eq!(
        all(&Loader::new(frames, settings(3)).unwrap(), 0, 0)[0].bad_files,
        0
    );
}
