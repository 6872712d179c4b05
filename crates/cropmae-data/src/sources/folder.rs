//! Lists the files under a folder, nested or flat. No class folders are needed.
//!
//! Files are sorted by the bytes of their relative paths, which gives the same order on every file system. Hidden files
//! and folders are left out, and symbolic links are followed. A folder holds samples of one kind, namely the kind with
//! the most files, and images if there are equally many. A preview image beside a hundred shards therefore does not
//! hide the shards, and an archive does not hide the photos that were unpacked from it.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::file_kind::{self, FileKind};
use super::names::Names;
use crate::DataError;

/// The files of a folder.
#[derive(Debug)]
pub(crate) struct Listing {
    /// The kind of the samples.
    pub(crate) kind: FileKind,
    /// The relative paths of the sample files, sorted by their bytes. There is at least one.
    pub(crate) files: Names,
    /// The number of files of other kinds.
    pub(crate) left_out: usize,
}

impl Listing {
    /// Lists all files under the folder `root`.
    pub(crate) fn of(root: &Path) -> Result<Self, DataError> {
        let mut found: BTreeMap<FileKind, Vec<PathBuf>> = BTreeMap::new();
        let mut others = 0;
        let entries = WalkDir::new(root).follow_links(true).into_iter();
        for entry in entries.filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry)) {
            let path = match entry {
                Ok(entry) if entry.file_type().is_dir() => continue,
                // Opening a pipe would block until another program writes to it.
                Ok(entry) if !entry.file_type().is_file() => {
                    others += 1;
                    continue;
                }
                Ok(entry) => entry.into_path(),
                Err(error) => match left_out(root, error)? {
                    Some(path) => path,
                    None => continue,
                },
            };
            let path = path.strip_prefix(root).unwrap_or(&path);
            match FileKind::of(path) {
                Some(kind) => found.entry(kind).or_default().push(path.to_owned()),
                None => others += 1,
            }
        }
        let known: usize = found.values().map(Vec::len).sum();
        // `max_by_key` returns the last of equal kinds, so go through the kinds backwards.
        let largest = found.into_iter().rev().max_by_key(|(_, files)| files.len());
        let Some((kind, mut files)) = largest else {
            return Err(DataError::NothingInFolder {
                path: root.to_owned(),
                known: file_kind::known(|_| true),
                other_files: others,
            });
        };
        files.sort_unstable_by(|a, b| by_bytes(a, b));
        Ok(Self {
            kind,
            left_out: others + known - files.len(),
            files: files.iter().collect(),
        })
    }
}

/// Decides what happens to an entry that cannot be followed.
///
/// A broken link stays in the list under its name, and is later handled by the policy for unusable files. A link to one
/// of its own parent folders adds nothing. Anything else is an error, because skipping a folder that cannot be read
/// would silently shrink the data set.
fn left_out(root: &Path, error: walkdir::Error) -> Result<Option<PathBuf>, DataError> {
    let path = error.path().unwrap_or(root).to_owned();
    if error.loop_ancestor().is_some() {
        tracing::warn!(path = %path.display(), "skipping a link to one of its own parent folders");
        return Ok(None);
    }
    // The error's own message would repeat the path.
    let source = error
        .into_io_error()
        .unwrap_or_else(|| std::io::ErrorKind::Other.into());
    if source.kind() == std::io::ErrorKind::NotFound {
        return Ok(Some(path));
    }
    Err(DataError::List { path, source })
}

fn is_hidden(entry: &DirEntry) -> bool {
    entry.file_name().as_encoded_bytes().starts_with(b".")
}

/// Compares relative paths by their bytes.
pub(crate) fn by_bytes(a: &Path, b: &Path) -> Ordering {
    a.as_os_str()
        .as_encoded_bytes()
        .cmp(b.as_os_str().as_encoded_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        dir
    }

    fn names(root: &Path) -> Vec<String> {
        let files = Listing::of(root).unwrap().files;
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        files.iter().map(text).collect()
    }

    #[test]
    fn images_come_in_byte_order_without_hidden_and_other_files() {
        let dir = tree(&[
            "b/2.JPG",
            "b/10.jpeg",
            "B/1.png",
            "a.webp",
            "a/z.Jpeg",
            "a/deep/er/1.jpg",
            ".cache/1.jpg",
            "b/.hidden.jpg",
            "readme.txt",
            "labels",
            "it's a photo.jpg",
        ]);
        // Upper case sorts before lower case, "." before "/", and "1" before "2".
        let expected = [
            "B/1.png",
            "a.webp",
            "a/deep/er/1.jpg",
            "a/z.Jpeg",
            "b/10.jpeg",
            "b/2.JPG",
            "it's a photo.jpg",
        ];
        assert_eq!(names(dir.path()), expected);
        assert_eq!(Listing::of(dir.path()).unwrap().left_out, 2);
    }

    #[test]
    fn the_kind_with_most_files_is_meant() {
        for (files, kind, left_out) in [
            (&["1.tar", "2.tar", "preview.png"][..], FileKind::Shard, 1),
            (
                &["a/1.jpg", "a/2.jpg", "a.tar", "b.mp4"],
                FileKind::Image,
                2,
            ),
            (&["a.jpg", "a.tar"], FileKind::Image, 1),
            (&["data/train-0.parquet", "README.md"], FileKind::Parquet, 1),
            (&["x/1.mp4", "x/2.avi", "notes"], FileKind::Video, 1),
        ] {
            let dir = tree(files);
            let listing = Listing::of(dir.path()).unwrap();
            assert_eq!(
                (listing.kind, listing.left_out),
                (kind, left_out),
                "{files:?}"
            );
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_loops_end() {
        use std::os::unix::fs::symlink;
        let elsewhere = tree(&["x/1.jpg"]);
        let dir = tree(&["a/1.jpg"]);
        symlink(elsewhere.path(), dir.path().join("linked")).unwrap();
        symlink(dir.path(), dir.path().join("a/loop")).unwrap();
        symlink("/nowhere/at/all.jpg", dir.path().join("gone.jpg")).unwrap();
        assert_eq!(names(dir.path()), ["a/1.jpg", "gone.jpg", "linked/x/1.jpg"]);
        let root = elsewhere.path().join("root");
        symlink(dir.path(), &root).unwrap();
        let through_link = ["a/1.jpg", "gone.jpg", "linked/x/1.jpg"];
        assert_eq!(names(&root), through_link, "the root itself may be a link");
    }

    #[cfg(unix)]
    #[test]
    fn pipes_and_sockets_are_left_out() {
        let dir = tree(&["a.jpg"]);
        let socket = dir.path().join("b.jpg");
        let _held = std::os::unix::net::UnixListener::bind(socket).unwrap();
        assert_eq!(names(dir.path()), ["a.jpg"]);
        assert_eq!(Listing::of(dir.path()).unwrap().left_out, 1);
    }

    #[test]
    fn a_folder_of_nothing_useful_is_refused() {
        let dir = tree(&["notes.txt", "more.csv"]);
        let message = Listing::of(dir.path()).unwrap_err().to_string();
        for part in ["no images", ".webp", ".parquet", "2 other files"] {
            assert!(message.contains(part), "{message}");
        }
    }
}
