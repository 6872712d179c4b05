//! Folders that appear all at once.

use std::path::{Path, PathBuf};
use std::{fs, io};

use tempfile::TempDir;

/// A folder under a temporary name beside its own, where it can be filled. Dropping it removes it; [`Self::publish`]
/// gives it its name.
#[derive(Debug)]
pub struct NewFolder {
    /// Removes the folder when it is dropped before it is published.
    _temporary: TempDir,
    path: PathBuf,
    target: PathBuf,
}

impl NewFolder {
    /// Creates the temporary folder, and the folders above `target` that do not exist.
    ///
    /// # Errors
    /// The error of the system when one of them cannot be created.
    pub fn beside(target: &Path) -> io::Result<Self> {
        let parent = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs::create_dir_all(parent)?;
        let temporary = tempfile::Builder::new()
            .prefix(".cropmae-")
            .tempdir_in(parent)?;
        // The temporary folder is private to the user; the one that is published does not have to be.
        let path = temporary.path().join("new");
        fs::create_dir(&path)?;
        Ok(Self {
            _temporary: temporary,
            path,
            target: target.to_owned(),
        })
    }

    /// Where to write the content.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Renames the folder to its own name, which must not be taken by anything but an empty folder.
    ///
    /// # Errors
    /// The error of the system when the folder cannot be renamed; it is then removed.
    pub fn publish(self) -> io::Result<()> {
        fs::rename(&self.path, &self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_appears_when_it_is_published_and_leaves_nothing_otherwise() {
        let place = tempfile::tempdir().unwrap();
        let target = place.path().join("deep/target");
        let dropped = NewFolder::beside(&target).unwrap();
        fs::write(dropped.path().join("file"), "content").unwrap();
        drop(dropped);
        let deep = || fs::read_dir(place.path().join("deep")).unwrap();
        assert_eq!(deep().count(), 0);
        let folder = NewFolder::beside(&target).unwrap();
        fs::write(folder.path().join("file"), "content").unwrap();
        assert!(!target.exists());
        folder.publish().unwrap();
        assert_eq!(fs::read_to_string(target.join("file")).unwrap(), "content");
        assert_eq!(deep().count(), 1);
        assert!(NewFolder::beside(&target).unwrap().publish().is_err());
        assert_eq!(deep().count(), 1);
    }
}
