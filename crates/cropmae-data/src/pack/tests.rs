//! Packs folders of generated images and reads the shards again.

use std::io;

use super::*;
use crate::fixtures::whole_picture;
use cropmae_config::{DataConfig, Experiment};
use image::Rgb;

fn recipe(max_bad_fraction: f64) -> DataConfig {
    let mut recipe = Experiment::demo(&[]).unwrap().data;
    recipe.max_bad_fraction = max_bad_fraction;
    recipe
}

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for id in 0..30u32 {
        let path = dir.path().join(format!("n{:02}/{id:03}.png", id / 7));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        RgbImage::from_fn(60 + id, 40, |x, y| Rgb([x as u8, y as u8, id as u8]))
            .save(path)
            .unwrap();
    }
    dir
}

fn options() -> PackOptions {
    PackOptions {
        shard_bytes: 8000,
        shorter_side: None,
        quality: 90,
    }
}

fn packed(from: &Path, to: &Path, options: &PackOptions) -> Result<Packed, DataError> {
    let dataset = Dataset::open(from, &recipe(0.05)).unwrap();
    let stop = AtomicBool::new(false);
    pack(&dataset, to, options, &|_| (), &stop).map(Option::unwrap)
}

#[test]
fn shards_hold_what_the_folder_held() {
    let (dir, place) = (folder(), tempfile::tempdir().unwrap());
    let out = place.path().join("deep/shards");
    let told = packed(dir.path(), &out, &options()).unwrap();
    assert_eq!((told.images, told.resized), (30, 0));
    assert!(told.shards > 2, "{told:?}");
    let size = |entry: io::Result<fs::DirEntry>| entry.unwrap().metadata().unwrap().len();
    let sizes: Vec<u64> = fs::read_dir(&out).unwrap().map(size).collect();
    assert_eq!((sizes.len(), sizes.iter().sum()), (told.shards, told.bytes));
    let open = |path: &Path| Dataset::open(path, &recipe(0.0)).unwrap();
    let (files, shards) = (open(dir.path()), open(&out));
    assert_eq!(files.fingerprint(), shards.fingerprint());
    for index in 0..30 {
        assert_eq!(files.name(index), shards.name(index));
        assert!(whole_picture(&files, index) == whole_picture(&shards, index));
    }
    let again = packed(&out, &place.path().join("again"), &options()).unwrap();
    assert_eq!(again, told, "shards of shards");
    let error = packed(dir.path(), &out, &options())
        .unwrap_err()
        .to_string();
    assert!(error.contains("is not empty"), "{error}");
    let entries = fs::read_dir(place.path()).unwrap().count();
    assert_eq!(entries, 2, "nothing temporary stays");
}

#[test]
fn the_shorter_side_is_made_smaller_never_larger() {
    let (dir, place) = (folder(), tempfile::tempdir().unwrap());
    let out = place.path().join("small");
    RgbImage::new(20, 300)
        .save(dir.path().join("n00/tall.png"))
        .unwrap();
    let small = PackOptions {
        shorter_side: Some(24),
        ..options()
    };
    let told = packed(dir.path(), &out, &small).unwrap();
    assert_eq!((told.images, told.resized), (31, 30));
    let shards = Dataset::open(&out, &recipe(0.0)).unwrap();
    assert_eq!(shards.name(0), Path::new("n00/000.jpg"));
    assert_eq!(whole_picture(&shards, 0).dimensions(), (36, 24));
    assert_eq!(shards.name(7), Path::new("n00/tall.png"));
    assert_eq!(whole_picture(&shards, 7).dimensions(), (20, 300));
}

#[test]
fn unusable_images_are_left_out_or_end_it_without_a_trace() {
    let (dir, place) = (folder(), tempfile::tempdir().unwrap());
    let small = PackOptions {
        shorter_side: Some(24),
        ..options()
    };
    fs::write(dir.path().join("n00/000.png"), "no picture").unwrap();
    let told = packed(dir.path(), &place.path().join("a"), &small).unwrap();
    assert_eq!((told.images, told.bad_files.len()), (29, 1));
    fs::write(dir.path().join("n00/001.png"), "").unwrap();
    let error = packed(dir.path(), &place.path().join("b"), &small).unwrap_err();
    assert!(matches!(error, DataError::TooManyBadFiles { count: 2, .. }));
    let dataset = Dataset::open(dir.path(), &recipe(0.5)).unwrap();
    let stop = AtomicBool::new(true);
    let out = place.path().join("c");
    let stopped = pack(&dataset, &out, &small, &|_| (), &stop).unwrap();
    assert_eq!(stopped, None);
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
}

#[test]
fn names_suit_shards() {
    let name = |path: &str| entry_name(Path::new(path), Some("png"));
    assert_eq!(name("a/b.c.jpg"), Path::new("a/b_c.jpg"));
    assert_eq!(name("../other/b.jpg"), Path::new("other/b.jpg"));
    assert_eq!(name("x.parquet/row 7"), Path::new("x.parquet/row 7.png"));
}
