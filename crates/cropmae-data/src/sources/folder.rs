//! Lists the images under a folder, nested or flat, without asking for class folders.
//!
//! The order is that of the relative paths' bytes, the same on every file system. Hidden files and
//! folders are left out, symbolic links are followed.

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use crate::DataError;

/// Extensions of images, compared without regard to case.
pub(crate) const EXTENSIONS: [&str; 4] = ["jpg", "jpeg", "png", "webp"];

/// What a folder holds.
#[derive(Debug)]
pub(crate) struct Listing {
    /// Relative paths of the images, sorted by their bytes.
    pub(crate) images: Vec<PathBuf>,
    /// Files of any other kind.
    pub(crate) other_files: usize,
}

impl Listing {
    /// Lists all images under `root`; there is at least one.
    pub(crate) fn of(root: &Path) -> Result<Self, DataError> {
        let metadata = std::fs::metadata(root).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => DataError::Missing {
                path: root.to_owned(),
            },
            _ => DataError::List {
                path: root.to_owned(),
                source,
            },
        })?;
        if !metadata.is_dir() {
            return Err(DataError::NotAFolder {
                path: root.to_owned(),
            });
        }
        let mut listing = Self {
            images: Vec::new(),
            other_files: 0,
        };
        let entries = WalkDir::new(root).follow_links(true).into_iter();
        for entry in entries.filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry)) {
            let path = match entry {
                Ok(entry) if entry.file_type().is_dir() => continue,
                Ok(entry) => entry.into_path(),
                Err(error) => match left_out(root, error)? {
                    Some(path) => path,
                    None => continue,
                },
            };
            listing.add(root, &path);
        }
        if listing.images.is_empty() {
            return Err(DataError::NoImages {
                path: root.to_owned(),
                extensions: EXTENSIONS
                    .map(|extension| format!(".{extension}"))
                    .join(", "),
                other_files: listing.other_files,
            });
        }
        listing.images.sort_unstable_by(|a, b| by_bytes(a, b));
        Ok(listing)
    }

    fn add(&mut self, root: &Path, path: &Path) {
        if is_image(path) {
            self.images
                .push(path.strip_prefix(root).unwrap_or(path).to_owned());
        } else {
            self.other_files += 1;
        }
    }
}

/// Decides about an entry that cannot be followed: a dangling link stays listed under its name and meets
/// the policy for bad files, a link that leads back to its own parents adds nothing, anything else is an
/// error, for a folder that cannot be read would silently shrink the data set.
fn left_out(root: &Path, error: walkdir::Error) -> Result<Option<PathBuf>, DataError> {
    let path = error.path().unwrap_or(root).to_owned();
    if error.loop_ancestor().is_some() {
        tracing::warn!(path = %path.display(), "left out a link that leads back to its own parent");
        return Ok(None);
    }
    let source = std::io::Error::from(error);
    if source.kind() == std::io::ErrorKind::NotFound {
        return Ok(Some(path));
    }
    Err(DataError::List { path, source })
}

fn is_hidden(entry: &DirEntry) -> bool {
    entry.file_name().as_encoded_bytes().starts_with(b".")
}

fn is_image(path: &Path) -> bool {
    path.extension()
        .and_then(OsStr::to_str)
        .is_some_and(|found| {
            EXTENSIONS
                .iter()
                .any(|known| known.eq_ignore_ascii_case(found))
        })
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
        let images = Listing::of(root).unwrap().images;
        images
            .iter()
            .map(|path| path.to_str().unwrap().to_owned())
            .collect()
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
        // Upper case before lower, "." before "/", "1" before "2".
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
        assert_eq!(Listing::of(dir.path()).unwrap().other_files, 2);
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

    #[test]
    fn errors_say_what_is_wrong() {
        let dir = tree(&["notes.txt", "more.csv"]);
        let message = |path: &Path| Listing::of(path).unwrap_err().to_string();
        let none = message(dir.path());
        assert!(none.contains("no images") && none.contains(".webp") && none.contains("2 other"));
        assert!(message(&dir.path().join("notes.txt")).contains("not a folder"));
        assert!(message(&dir.path().join("absent")).contains("no such folder"));
    }
}
