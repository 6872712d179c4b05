//! Reports the content of a source of images before a run reads it.
//!
//! The report lists broken, tiny, duplicate and odd files, image sizes, the fingerprint and the speed of reading.

mod inspect;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;
use std::time::Instant;

use rayon::prelude::*;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::sources::Content;
use crate::tolerance::{Known, Tolerance};
use crate::{BadFile, DataError, Dataset};

/// The number of images that are inspected between two progress reports.
const CHUNK: usize = 256;
/// The upper ends of the histogram's bins of the shorter side, in pixels.
///
/// The last bin has no upper end.
const SIDES: [u32; 7] = [64, 128, 224, 320, 480, 720, 1080];

/// A report on a data set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DataReport {
    /// One line about the source.
    pub source: String,
    /// The fingerprint that runs with the same data record.
    pub fingerprint: String,
    /// The number of images, including unusable ones.
    pub images: usize,
    /// The images that cannot be used, and the shards or Parquet files that are not complete, with reasons.
    pub broken: Vec<Finding>,
    /// The images with a side below the limit.
    pub tiny: Vec<Finding>,
    /// The images that have the same bytes as an earlier one.
    pub duplicates: Vec<Finding>,
    /// The usable images with a property that is easily overlooked: mislabeled, gray, CMYK, with alpha, 16-bit or
    /// rotated.
    pub odd: BTreeMap<String, Vec<PathBuf>>,
    /// The histogram of the shorter sides: for each bin, its upper end in pixels (none for the last) and the number of
    /// images.
    pub shorter_sides: Vec<(Option<u32>, usize)>,
    /// The number of pixels of all images together.
    pub pixels: u64,
    /// The number of whole images that one core reads and decodes per second.
    pub images_per_core_second: f64,
    /// The reason why a run would refuse this data, if it would.
    pub refusal: Option<String>,
}

/// A finding about one image or file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The path of the image or file.
    pub path: PathBuf,
    /// What was found, in words.
    pub what: String,
}

/// Reads and decodes every image of `dataset` and reports on it.
///
/// `progress` is called with the number of images done so far. Images with a side of less than `tiny_px` pixels count
/// as tiny.
pub fn check(dataset: &Dataset, tiny_px: u32, progress: &dyn Fn(usize)) -> DataReport {
    let mut report = DataReport {
        source: dataset.describe(),
        fingerprint: dataset.fingerprint(),
        images: dataset.file_count(),
        broken: Vec::new(),
        tiny: Vec::new(),
        duplicates: Vec::new(),
        odd: BTreeMap::new(),
        shorter_sides: SIDES.iter().map(|&side| (Some(side), 0)).collect(),
        pixels: 0,
        images_per_core_second: 0.0,
        refusal: None,
    };
    report.shorter_sides.push((None, 0));
    let mut known = Known::new();
    let tolerance = Tolerance::new(dataset.recipe().max_bad_fraction, dataset.file_count());
    let mut verdict = tolerance.tolerate(&mut known, dataset.bad_files().iter().cloned());
    let mut first_with: BTreeMap<[u8; 16], usize> = BTreeMap::new();
    let mut seconds = 0.0;
    for start in (0..dataset.len()).step_by(CHUNK) {
        let end = (start + CHUNK).min(dataset.len());
        let seen: Vec<Result<Seen, BadFile>> = (start..end)
            .into_par_iter()
            .map(|index| look(dataset, index))
            .collect();
        for (index, seen) in (start..end).zip(seen) {
            match seen {
                Ok(seen) => {
                    seconds += seen.seconds;
                    report.add(dataset, index, &seen, tiny_px, &mut first_with);
                }
                Err(bad) => verdict = tolerance.tolerate(&mut known, [bad]),
            }
        }
        progress(end);
    }
    let finding = |(path, what)| Finding { path, what };
    let usable = dataset.len() + dataset.bad_files().len() - known.len();
    let parts = dataset.bad_parts().iter().cloned();
    let parts = parts.map(|BadFile { path, reason }| (path, reason));
    report.broken = parts.chain(known).map(finding).collect();
    report.refusal = verdict.err().map(|error: DataError| error.to_string());
    report.images_per_core_second = usable as f64 / f64::max(seconds, 1e-9);
    report
}

/// The properties of one usable image.
struct Seen {
    width: u32,
    height: u32,
    digest: [u8; 16],
    odd: Vec<String>,
    seconds: f64,
}

fn look(dataset: &Dataset, index: usize) -> Result<Seen, BadFile> {
    let start = Instant::now();
    let picture = dataset.source().read(index)?;
    let pixels = dataset.decode(&picture)?;
    let seconds = start.elapsed().as_secs_f64();
    let (digest, odd) = match &picture.content {
        Content::Encoded(bytes) => (
            Sha256::digest(&**bytes),
            inspect::oddities(&dataset.name(index), bytes),
        ),
        Content::Decoded(pixels) => (Sha256::digest(pixels.as_raw()), Vec::new()),
    };
    Ok(Seen {
        width: pixels.width(),
        height: pixels.height(),
        digest: std::array::from_fn(|i| digest[i]),
        odd,
        seconds,
    })
}

impl DataReport {
    fn add(
        &mut self,
        dataset: &Dataset,
        index: usize,
        seen: &Seen,
        tiny_px: u32,
        first_with: &mut BTreeMap<[u8; 16], usize>,
    ) {
        let path = || dataset.name(index);
        let shorter = seen.width.min(seen.height);
        let bin = SIDES.partition_point(|&side| side < shorter);
        self.shorter_sides[bin].1 += 1;
        self.pixels += u64::from(seen.width) * u64::from(seen.height);
        if shorter < tiny_px {
            self.tiny.push(Finding {
                path: path(),
                what: format!("{} x {} pixels", seen.width, seen.height),
            });
        }
        for odd in &seen.odd {
            self.odd.entry(odd.clone()).or_default().push(path());
        }
        match first_with.entry(seen.digest) {
            Entry::Vacant(place) => drop(place.insert(index)),
            Entry::Occupied(first) => self.duplicates.push(Finding {
                path: path(),
                what: format!("the same as {}", dataset.name(*first.get()).display()),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
