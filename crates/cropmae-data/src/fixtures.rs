//! Where tests find the golden cases of group `e_crops` and the real photos, which are not part of the
//! repository: under `CROPMAE_SHARED`, by default `../shared` beside the workspace.

use std::path::PathBuf;

use cropmae_config::Sampler;
use image::RgbImage;
use rand_chacha::rand_core::RngCore;
use serde_json::Value;

use crate::Dataset;
use crate::boxes::{BoxSampler, CropBox};

/// A path under the shared folder, or `None`, with a message on stderr, where there is none.
pub(crate) fn shared(relative: &str) -> Option<PathBuf> {
    let root = std::env::var_os("CROPMAE_SHARED").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
        PathBuf::from,
    );
    let path = root.join(relative);
    if path.exists() {
        return Some(path);
    }
    say_skipped(&path);
    None
}

#[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
fn say_skipped(path: &std::path::Path) {
    eprintln!("skipped: CROPMAE_SHARED not found ({})", path.display());
}

/// A JSON file of `e_crops`.
pub(crate) fn golden_json(name: &str) -> Option<Value> {
    let path = shared("fixtures/e_crops")?.join(name);
    Some(serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
}

/// A lossless picture of `e_crops`.
pub(crate) fn golden_png(name: &Value) -> RgbImage {
    let path = shared("fixtures/e_crops")
        .unwrap()
        .join(name.as_str().unwrap());
    image::open(path).unwrap().into_rgb8()
}

/// A JSON number as u32.
pub(crate) fn int(value: &Value) -> u32 {
    u32::try_from(value.as_u64().unwrap()).unwrap()
}

/// A JSON pair of numbers.
pub(crate) fn pair(value: &Value) -> [f64; 2] {
    [value[0].as_f64().unwrap(), value[1].as_f64().unwrap()]
}

/// Names and bytes of every fourth real photo; none, with a message on stderr, where there are none.
pub(crate) fn photos() -> Vec<(String, Vec<u8>)> {
    let Some(folder) = shared("data/imagenet_photos") else {
        return Vec::new();
    };
    let files = walkdir::WalkDir::new(folder).sort_by_file_name();
    let files = files.into_iter().map(Result::unwrap);
    files
        .filter(|entry| entry.file_type().is_file())
        .step_by(4)
        .map(|entry| {
            let bytes = std::fs::read(entry.path()).unwrap();
            (entry.path().display().to_string(), bytes)
        })
        .collect()
}

/// The whole picture of a sample; of a video its first frame.
pub(crate) fn whole_picture(dataset: &Dataset, index: usize) -> RgbImage {
    let picture = dataset.source().read(index).unwrap();
    dataset.decode(&picture).unwrap()
}

/// Boxes of a picture: its whole, its four corners, and `more` anywhere.
pub(crate) fn areas(
    (width, height): (u32, u32),
    more: usize,
    rng: &mut impl RngCore,
) -> Vec<CropBox> {
    let mut areas = vec![CropBox::full(width, height)];
    for (top, left) in [
        (0, 0),
        (0, width - 1),
        (height - 1, 0),
        (height - 1, width - 1),
    ] {
        areas.push(CropBox {
            top,
            left,
            height: 1,
            width: 1,
        });
    }
    let sampler = BoxSampler::new(Sampler::Uniform, [0.001, 1.0], [0.2, 5.0]);
    areas.extend((0..more).map(|_| sampler.sample(width, height, rng)));
    areas
}
