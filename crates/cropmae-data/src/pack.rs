//! Tar shards from any source of images, as WebDataset names them.
//!
//! Images are written in the order of their source under their names there, so shards that keep the bytes
//! have the fingerprint of what they were made of and give the same batches. The folder of shards appears
//! all at once, when its last byte is written.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use cropmae_config::Interpolation;
use cropmae_files::NewFolder;
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder, RgbImage};
use rayon::prelude::*;

use crate::boxes::CropBox;
use crate::resize::resize_crop;
use crate::sources::Content;
use crate::tolerance::{Known, Tolerance};
use crate::{BadFile, DataError, Dataset};

/// Images prepared in parallel before they are written in order.
const CHUNK: usize = 128;

/// How shards are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackOptions {
    /// A shard is closed when it holds this many bytes.
    pub shard_bytes: u64,
    /// Images with a longer shorter side are resized to it, antialiased, and stored as JPEG; without it all
    /// bytes are kept as they are.
    pub shorter_side: Option<u32>,
    /// Quality of those JPEGs, 1 to 100.
    pub quality: u8,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// Images.
    pub images: usize,
    /// Of these, resized ones.
    pub resized: usize,
    /// Shards.
    pub shards: usize,
    /// Bytes of all shards.
    pub bytes: u64,
    /// Images that were left out because they are unusable.
    pub bad_files: Vec<BadFile>,
}

/// Writes the images of `dataset` as shards into the new folder `out`, reporting how many are done; `None`
/// when `stop` was raised, and then nothing is left behind.
///
/// # Errors
/// [`DataError::OutExists`] when `out` holds something, [`DataError::Write`] when it cannot be written,
/// [`DataError::TooManyBadFiles`] when more images are unusable than `data.max_bad_fraction` tolerates.
pub fn pack(
    dataset: &Dataset,
    out: &Path,
    options: &PackOptions,
    progress: &dyn Fn(usize),
    stop: &AtomicBool,
) -> Result<Option<Packed>, DataError> {
    let failed = |source| DataError::Write {
        path: out.to_owned(),
        source,
    };
    if fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some()) || out.is_file() {
        return Err(DataError::OutExists {
            path: out.to_owned(),
        });
    }
    let folder = NewFolder::create(out).map_err(failed)?;
    let tolerance = Tolerance::new(dataset.recipe().max_bad_fraction, dataset.file_count());
    let mut known = Known::new();
    tolerance.bear(&mut known, dataset.bad_files().iter().cloned())?;
    let mut shards = ShardWriter::new(folder.path(), options.shard_bytes);
    let (mut images, mut resized) = (0, 0);
    for start in (0..dataset.len()).step_by(CHUNK) {
        let chunk = start..(start + CHUNK).min(dataset.len());
        let prepared: Vec<Result<Entry, BadFile>> = chunk
            .into_par_iter()
            .map(|index| prepare(dataset, index, options))
            .collect();
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        for entry in prepared {
            match entry {
                Ok(entry) => {
                    shards.write(&entry).map_err(failed)?;
                    images += 1;
                    resized += usize::from(entry.resized);
                }
                Err(bad) => tolerance.bear(&mut known, [bad])?,
            }
        }
        progress((start + CHUNK).min(dataset.len()));
    }
    let (shards, bytes) = shards.finish().map_err(failed)?;
    folder.commit().map_err(failed)?;
    let bad = |(path, reason)| BadFile { path, reason };
    Ok(Some(Packed {
        images,
        resized,
        shards,
        bytes,
        bad_files: known.into_iter().map(bad).collect(),
    }))
}

/// One image on its way into a shard.
struct Entry {
    name: PathBuf,
    bytes: Vec<u8>,
    resized: bool,
}

fn prepare(dataset: &Dataset, index: usize, options: &PackOptions) -> Result<Entry, BadFile> {
    let picture = dataset.source().read(index)?;
    let name = dataset.name(index);
    let bad = |reason: &str| BadFile {
        path: picture.path.clone(),
        reason: reason.to_owned(),
    };
    let Content::Encoded(bytes) = &picture.content else {
        return Err(bad("a video: only images are packed"));
    };
    let kept = || Entry {
        name: entry_name(&name, extension(bytes)),
        bytes: bytes.to_vec(),
        resized: false,
    };
    let Some(side) = options.shorter_side else {
        return Ok(kept());
    };
    let pixels = dataset.decode(&picture)?;
    let (width, height) = pixels.dimensions();
    if width.min(height) <= side {
        return Ok(kept());
    }
    let resized = resize(&pixels, side);
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, options.quality)
        .write_image(
            &resized,
            resized.width(),
            resized.height(),
            ExtendedColorType::Rgb8,
        )
        .map_err(|error| bad(&format!("cannot encode: {error}")))?;
    Ok(Entry {
        name: entry_name(&name, Some("jpg")).with_extension("jpg"),
        bytes,
        resized: true,
    })
}

/// The whole picture, its shorter side `side` pixels long.
fn resize(pixels: &RgbImage, side: u32) -> RgbImage {
    let (width, height) = pixels.dimensions();
    let scaled = |length: u32| {
        let shorter = f64::from(width.min(height));
        (f64::from(length) * f64::from(side) / shorter).round() as u32
    };
    resize_crop(
        pixels,
        CropBox::full(width, height),
        scaled(width),
        scaled(height),
        Interpolation::Bicubic,
    )
}

/// A name inside a shard: what follows the first dot of a file's name is its kind, so dots before that
/// become underscores; steps out of the folder are dropped; a name without an ending gets `ending`.
fn entry_name(name: &Path, ending: Option<&str>) -> PathBuf {
    let normal = |part| match part {
        Component::Normal(part) => Some(part),
        _ => None,
    };
    let mut clean: PathBuf = name.components().filter_map(normal).collect();
    let stem = name.file_stem().unwrap_or(OsStr::new("image"));
    let stem = stem.to_string_lossy().replace('.', "_");
    let given = name
        .extension()
        .map(|found| found.to_string_lossy().into_owned());
    if let Some(ending) = given.or_else(|| ending.map(str::to_owned)) {
        clean.set_file_name(format!("{stem}.{ending}"));
    }
    clean
}

/// The ending that a picture's first bytes ask for.
fn extension(bytes: &[u8]) -> Option<&'static str> {
    image::guess_format(bytes)
        .ok()
        .and_then(|format| format.extensions_str().first().copied())
}

/// Shards, one after the other.
struct ShardWriter<'a> {
    folder: &'a Path,
    shard_bytes: u64,
    open: Option<tar::Builder<BufWriter<File>>>,
    in_open: u64,
    shards: usize,
    bytes: u64,
}

impl<'a> ShardWriter<'a> {
    fn new(folder: &'a Path, shard_bytes: u64) -> Self {
        Self {
            folder,
            shard_bytes,
            open: None,
            in_open: 0,
            shards: 0,
            bytes: 0,
        }
    }

    fn write(&mut self, entry: &Entry) -> io::Result<()> {
        if self.in_open >= self.shard_bytes {
            self.close()?;
        }
        let shard = match &mut self.open {
            Some(shard) => shard,
            None => {
                let name = format!("shard-{:06}.tar", self.shards);
                self.shards += 1;
                let file = File::create_new(self.folder.join(name))?;
                self.open.insert(tar::Builder::new(BufWriter::new(file)))
            }
        };
        let mut header = tar::Header::new_gnu();
        header.set_size(entry.bytes.len() as u64);
        header.set_mode(0o644);
        shard.append_data(&mut header, &entry.name, entry.bytes.as_slice())?;
        self.in_open += 512 + entry.bytes.len().next_multiple_of(512) as u64;
        Ok(())
    }

    /// Writes the open shard's end down to the disk.
    fn close(&mut self) -> io::Result<()> {
        if let Some(shard) = self.open.take() {
            let mut writer = shard.into_inner()?;
            writer.flush()?;
            let file = writer.into_inner().map_err(|error| error.into_error())?;
            file.sync_all()?;
            self.bytes += file.metadata()?.len();
            self.in_open = 0;
        }
        Ok(())
    }

    fn finish(mut self) -> io::Result<(usize, u64)> {
        self.close()?;
        Ok((self.shards, self.bytes))
    }
}

#[cfg(test)]
mod tests {
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
}
