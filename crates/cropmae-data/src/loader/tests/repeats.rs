//! Tests several samples of each image or video that is decoded.

use image::{Rgb, RgbImage};

use super::*;

fn repeated(views: Views, repeats: usize) -> DataConfig {
    let mut recipe = recipe(views, 0.0);
    recipe.repeated_sampling = repeats;
    recipe
}

fn loader(dir: &Path, recipe: &DataConfig, config: LoaderConfig) -> Loader {
    Loader::new(Arc::new(Dataset::open(dir, recipe).unwrap()), config).unwrap()
}

#[test]
fn each_picture_fills_its_places_with_crops_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    for id in 0..7u32 {
        RgbImage::from_fn(64, 64, |x, y| Rgb([(x * 4) as u8, (y * 4) as u8, id as u8]))
            .save(dir.path().join(format!("{id}.png")))
            .unwrap();
    }
    let recipe = repeated(Views::GlobalToLocal, 3);
    let loader = loader(dir.path(), &recipe, settings(6));
    let batches = all(&loader, 0, 0);
    assert_eq!(batches.len(), 3, "7 images, 21 samples, batches of 6");
    let mut seen = Vec::new();
    for batch in &batches {
        let patches = batch.views[0].normalized();
        let samples: Vec<&[f32]> = patches.chunks_exact(SIZE * SIZE * 3).collect();
        let masks: Vec<&[u32]> = batch.ids_shuffle.chunks_exact(16).collect();
        let id = |sample: &[f32]| normalize::to_byte(sample[2], 2);
        for (samples, masks) in samples.chunks(3).zip(masks.chunks(3)) {
            assert!(samples.iter().all(|sample| id(sample) == id(samples[0])));
            for (a, b) in [(0, 1), (0, 2), (1, 2)] {
                assert!(samples[a] != samples[b] && masks[a] != masks[b]);
            }
            seen.push(id(samples[0]));
        }
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 6, "no image comes twice");
}

#[test]
fn the_first_draw_is_that_of_a_run_without_repeats() {
    let dir = folder(12);
    let once = all(
        &loader(dir.path(), &repeated(Views::Single, 1), settings(4)),
        2,
        0,
    );
    let twice = all(
        &loader(dir.path(), &repeated(Views::Single, 2), settings(8)),
        2,
        0,
    );
    assert_eq!(twice.len(), 3);
    for (once, twice) in once.iter().zip(&twice) {
        let firsts = twice.ids_shuffle.chunks_exact(16).step_by(2);
        assert!(firsts.eq(once.ids_shuffle.chunks_exact(16)));
        let pictures: Vec<usize> = ids(twice).into_iter().step_by(2).collect();
        assert_eq!(pictures, ids(once));
    }
}

#[test]
fn a_batch_must_hold_whole_repeats() {
    let dir = folder(12);
    let recipe = repeated(Views::Single, 3);
    let dataset = Arc::new(Dataset::open(dir.path(), &recipe).unwrap());
    let error = Loader::new(dataset, settings(4)).err().unwrap().to_string();
    assert!(
        error.contains("batch_size = 4: expected a multiple"),
        "{error}"
    );
}
