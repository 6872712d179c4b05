//! Test data: the golden crops of the groups `e_synthetic` and `e_crops`, real photos, and boxes to cut from them.

use std::path::PathBuf;

use cropmae_config::Sampler;
pub(crate) use cropmae_fixtures::shared;
use image::RgbImage;
use rand_chacha::rand_core::RngCore;
use serde_json::Value;

use crate::Dataset;
use crate::boxes::{BoxSampler, CropBox};

/// A folder of golden crops.
pub(crate) struct Golden {
    folder: PathBuf,
}

impl Golden {
    /// Returns the committed folder of generated images and, if it exists, the shared folder of photos.
    pub(crate) fn all() -> Vec<Self> {
        let mut folders = vec![cropmae_fixtures::committed("golden/e_synthetic")];
        folders.extend(shared("fixtures/e_crops"));
        folders.into_iter().map(|folder| Self { folder }).collect()
    }

    /// Returns the path of the file that a JSON string names.
    pub(crate) fn path(&self, name: &Value) -> PathBuf {
        self.folder.join(name.as_str().unwrap())
    }

    /// Reads the bytes of a file.
    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        let path = self.folder.join(name);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Returns the entries under `key` of a JSON file. There is at least one.
    pub(crate) fn rows(&self, file: &str, key: &str) -> Vec<Value> {
        let mut json = self.json(file);
        let Value::Array(rows) = json[key].take() else {
            panic!("{}: {file} has no list {key}", self.folder.display());
        };
        assert!(!rows.is_empty(), "{}: {file}: {key}", self.folder.display());
        rows
    }

    /// Reads a JSON file.
    pub(crate) fn json(&self, file: &str) -> Value {
        serde_json::from_slice(&self.bytes(file)).unwrap()
    }

    /// Reads the lossless image that a JSON string names.
    pub(crate) fn png(&self, name: &Value) -> RgbImage {
        image::open(self.path(name)).unwrap().into_rgb8()
    }
}

/// Converts a JSON number to u32.
pub(crate) fn int(value: &Value) -> u32 {
    u32::try_from(value.as_u64().unwrap()).unwrap()
}

/// Converts a JSON array of two numbers.
pub(crate) fn pair(value: &Value) -> [f64; 2] {
    [value[0].as_f64().unwrap(), value[1].as_f64().unwrap()]
}

/// Returns the names and bytes of every fourth real photo.
///
/// If there are no photos, prints a message to stderr and returns none.
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

/// Decodes the whole image of a sample, or the first frame of a video.
pub(crate) fn whole_picture(dataset: &Dataset, index: usize) -> RgbImage {
    let picture = dataset.source().read(index).unwrap();
    dataset.decode(&picture).unwrap()
}

/// Returns boxes of an image: the whole image, its four corner pixels, and `more` random boxes.
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
