//! Tests what a sample is (a photo, a frame or a pair of frames) and how data sets are described.

use super::*;
use crate::{Order, fixtures, patchify};

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
                let value = batch.views[view].normalized()[sample * SIZE * SIZE * 3];
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
    let mut recipe = recipe(Views::GlobalToLocal, 0.0);
    recipe.samples = Samples::Videos;
    let dataset = Arc::new(Dataset::open(dir.path(), &recipe).unwrap());
    assert_eq!(dataset.len(), 6);
    let loader = Loader::new(dataset.clone(), settings(6)).unwrap();
    let mut frames: Vec<usize> = (0..20).flat_map(|e| ids(&all(&loader, e, 0)[0])).collect();
    frames.sort_unstable();
    frames.dedup();
    assert!(frames.len() > 40, "random frames: {}", frames.len());
    assert_eq!(fixtures::whole_picture(&dataset, 2), flat(24));
    recipe.samples = Samples::Auto;
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
    let views = batch.views[0].normalized();
    for (position, patches) in views.chunks_exact(SIZE * SIZE * 3).enumerate() {
        let index = order.index(position as u64);
        let preview = dataset.preview(Seed(7), 4, index, (SIZE, 16)).unwrap();
        assert!([patchify::unpatchify(patches, SIZE, PATCH)] == *preview.views);
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
    let Some(data) = fixtures::shared("data") else {
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
