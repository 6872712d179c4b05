//! Opens the source of samples at a path.

use std::path::{Path, PathBuf};

use super::file_kind::{self, FileKind};
use super::files::{ImageFiles, Listed};
use super::folder::Listing;
use super::frames::FrameFolders;
use super::names::Names;
use super::parquet::Parquet;
use super::shards::Shards;
use super::{Opened, Unit, braces, list};
use crate::DataError;

/// Recognizes `path` and lists it.
///
/// It can be a folder, a list file, one file of samples, a pattern with braces that expands to several files, or an
/// address `hf://...`.
pub(crate) fn open(path: &Path, unit: Unit) -> Result<Opened, DataError> {
    if let Some(address) = path.to_str().and_then(|text| text.strip_prefix("hf://")) {
        return open_hub(address, unit);
    }
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return open_braces(path, unit);
        }
        Err(source) => {
            return Err(DataError::List {
                path: path.to_owned(),
                source,
            });
        }
    };
    if metadata.is_dir() {
        let listing = Listing::of(path)?;
        let left_out = listing.left_out;
        let mut opened = open_files(
            path,
            path,
            listing.kind,
            listing.files,
            Listed::ByFolder,
            unit,
        )?;
        opened.left_out += left_out;
        return Ok(opened);
    }
    match FileKind::of(path) {
        Some(kind) if kind != FileKind::Image => {
            let name = path.file_name().map(PathBuf::from).unwrap_or_default();
            let names = [name].iter().collect();
            let root = list::base(path);
            open_files(path, &root, kind, names, Listed::ByFolder, unit)
        }
        None if list::is_list(path) => open_list(path, unit),
        _ => Err(DataError::UnknownSource {
            path: path.to_owned(),
            known: file_kind::known(|kind| kind != FileKind::Image),
        }),
    }
}

#[cfg(feature = "hub")]
fn open_hub(address: &str, unit: Unit) -> Result<Opened, DataError> {
    open(&super::hub::Hub::from_env().fetch(address)?, unit)
}

#[cfg(not(feature = "hub"))]
fn open_hub(address: &str, _unit: Unit) -> Result<Opened, DataError> {
    Err(DataError::NeedsFeature {
        path: format!("hf://{address}").into(),
        found: "data sets of the Hugging Face hub",
        feature: "hub",
    })
}

/// Opens the files of a list.
///
/// All are taken to be of the same kind as the first, and a name without a known ending is taken to be an image.
fn open_list(path: &Path, unit: Unit) -> Result<Opened, DataError> {
    let names = list::read(path)?;
    let base = list::base(path);
    list::require_some(path, &base, &names)?;
    let kind = FileKind::of(&names.get(0)).unwrap_or(FileKind::Image);
    open_files(path, &base, kind, names, Listed::ByFile, unit)
}

fn open_braces(path: &Path, unit: Unit) -> Result<Opened, DataError> {
    let missing = || DataError::Missing {
        path: path.to_owned(),
    };
    let pattern = path.to_str().filter(|text| text.contains('{'));
    let pattern = pattern.ok_or_else(missing)?;
    let names = braces::expand(pattern).map_err(|reason| DataError::Braces {
        pattern: pattern.to_owned(),
        reason,
    })?;
    let kind = FileKind::of(Path::new(&names[0])).filter(|&kind| kind != FileKind::Image);
    let kind = kind.ok_or_else(missing)?;
    open_files(
        path,
        Path::new(""),
        kind,
        names.iter().collect(),
        Listed::ByFolder,
        unit,
    )
}

/// Opens files of one kind with names relative to `root`.
///
/// Messages refer to `given`, the path from the user.
fn open_files(
    given: &Path,
    root: &Path,
    kind: FileKind,
    names: Names,
    listed: Listed,
    unit: Unit,
) -> Result<Opened, DataError> {
    let paths = || names.iter().map(|name| root.join(name)).collect::<Vec<_>>();
    let opened = match kind {
        FileKind::Image => Opened::whole(ImageFiles::new(root, names, listed)),
        FileKind::Shard => Shards::list(given, &paths())?,
        FileKind::Parquet if unit == Unit::Videos => {
            return Err(DataError::NoFramesInParquet {
                path: given.to_owned(),
            });
        }
        FileKind::Parquet => Parquet::list(given, &paths())?,
        FileKind::Video => return open_videos(given, root, names),
    };
    match unit {
        Unit::Pictures => Ok(opened),
        Unit::Videos => FrameFolders::group(given, opened, kind),
    }
}

/// Opens video files. Each is one sample, whatever unit was requested, because its frames are not files.
#[cfg(feature = "video")]
fn open_videos(_given: &Path, root: &Path, names: Names) -> Result<Opened, DataError> {
    Ok(Opened::whole(super::videos::Videos::new(root, names)))
}

#[cfg(not(feature = "video"))]
fn open_videos(given: &Path, _root: &Path, _names: Names) -> Result<Opened, DataError> {
    Err(DataError::NeedsFeature {
        path: given.to_owned(),
        found: "video files",
        feature: "video",
    })
}

#[cfg(all(test, not(feature = "hub")))]
mod tests {
    use super::*;

    #[test]
    fn the_hub_is_refused_with_the_feature_it_needs() {
        let error = open(Path::new("hf://org/set"), Unit::Pictures).unwrap_err();
        let message = error.to_string();
        for part in ["hf://org/set", "Hugging Face", "--features hub"] {
            assert!(message.contains(part), "{message}");
        }
    }
}
