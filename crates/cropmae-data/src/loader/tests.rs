//! Tests the guarantees of the loader on folders of flat images, whose color identifies the file.

mod bad_files;
mod repeats;
mod samples;
mod shards;

use std::path::Path;
use std::time::{Duration, Instant};

use cropmae_config::{DataConfig, Samples, Views};
use image::{Rgb, RgbImage};
use tempfile::TempDir;

use super::*;
use crate::normalize;

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
        pixels: Pixels::Normalized,
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

/// Returns which file each sample of a batch shows. It must be the same in all views.
fn ids(batch: &Batch) -> Vec<usize> {
    let per_view: Vec<Vec<usize>> = batch
        .views
        .iter()
        .map(|view| {
            view.normalized()
                .chunks_exact(SIZE * SIZE * 3)
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
    assert_eq!(one[0].views[0].normalized().len(), 8 * SIZE * SIZE * 3);
    assert_eq!(one[0].ids_shuffle.len(), 8 * 16);
    assert!(one == stream(2, 4));
    assert!(one == stream(16, 2));
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
            let joined = [
                left.views[view].normalized(),
                right.views[view].normalized(),
            ]
            .concat();
            assert!(
                joined == *whole.views[view].normalized(),
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
}

#[test]
fn batches_of_bytes_show_the_same_pixels() {
    let dir = folder(8);
    let loader = |pixels| {
        let config = LoaderConfig {
            pixels,
            ..settings(4)
        };
        Loader::new(open(dir.path(), 0.0), config).unwrap()
    };
    let bytes = loader(Pixels::Bytes);
    let normalized = loader(Pixels::Normalized);
    for epoch in 0..2 {
        for (bytes, normalized) in all(&bytes, epoch, 0).iter().zip(all(&normalized, epoch, 0)) {
            assert_eq!(bytes.ids_shuffle, normalized.ids_shuffle);
            for (bytes, normalized) in bytes.views.iter().zip(&normalized.views) {
                assert!(matches!(bytes, Patches::Bytes(_)));
                assert!(bytes.normalized() == normalized.normalized());
            }
        }
    }
}
