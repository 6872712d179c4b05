//! Writes files and folders that are never visible half-written.
//!
//! If a crash, a power failure or a full disk interrupts the writing, the name belongs either to the old contents or to
//! the complete new contents, which are on disk before they get the name:
//!
//! - [`write()`] replaces a file with bytes in memory.
//! - [`NewFile`] replaces a file that is written in pieces.
//! - [`NewFolder`] creates a folder of many files.
//! - [`link`] gives a finished file a second name.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

mod file;
mod folder;

pub use file::NewFile;
pub use folder::NewFolder;

/// The suffix of the names of unfinished files and folders, which begin with a dot.
const PARTIAL: &str = ".partial";

/// Replaces the file at `path` with `bytes`.
///
/// # Errors
/// Returns any error of the file system. The old file is then intact.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = NewFile::create(path)?;
    file.write_all(bytes)?;
    file.commit()
}

/// Gives the file `from` the second name `to`, and replaces any file with that name.
///
/// The new name is a hard link, or a copy if the file system has no hard links.
///
/// # Errors
/// Returns any error of the file system. A file with the name `to` is then intact.
pub fn link(from: &Path, to: &Path) -> io::Result<()> {
    let mut name = hidden(to);
    name.push(&PARTIAL[1..]);
    let temporary = to.with_file_name(name);
    remove_file(&temporary)?;
    let made = fs::hard_link(from, &temporary)
        .or_else(|_| {
            fs::copy(from, &temporary)?;
            fs::File::open(&temporary)?.sync_all()
        })
        .and_then(|()| fs::rename(&temporary, to));
    // Renaming a link to another link of the same file has no effect and leaves both.
    remove_file(&temporary)?;
    made?;
    sync_folder(parent(to))
}

/// Removes the unfinished files and folders (`.*.partial`) that killed programs left in `dir`.
///
/// Does nothing if the folder does not exist. No other process may write to `dir` at the same time.
///
/// # Errors
/// Returns any error of the file system.
pub fn remove_leftovers(dir: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        if name.starts_with(b".") && name.ends_with(PARTIAL.as_bytes()) {
            if entry.file_type()?.is_dir() {
                remove_folder(&entry.path())?;
            } else {
                remove_file(&entry.path())?;
            }
        }
    }
    Ok(())
}

/// Removes the folder `dir` with its contents. Does nothing if the folder does not exist.
///
/// # Errors
/// Returns any other error of the file system.
pub fn remove_folder(dir: &Path) -> io::Result<()> {
    or_missing(fs::remove_dir_all(dir))
}

fn remove_file(path: &Path) -> io::Result<()> {
    or_missing(fs::remove_file(path))
}

fn or_missing(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Returns `.NAME.`, where NAME is the last part of `path`.
fn hidden(path: &Path) -> OsString {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".");
    name
}

/// Calls `make` to create an unfinished file or folder that will become `wanted`.
///
/// Its permissions are `mode` without the umask. The default of tempfile would restrict it to its owner.
fn builder<T>(
    wanted: &Path,
    #[cfg_attr(not(unix), allow(unused, reason = "only Unix has modes"))] mode: u32,
    make: impl FnOnce(&mut tempfile::Builder<'_, '_>) -> io::Result<T>,
) -> io::Result<T> {
    let prefix = hidden(wanted);
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(PARTIAL);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(mode));
    }
    make(&mut builder)
}

/// Waits until the names in `dir` are on disk.
fn sync_folder(dir: &Path) -> io::Result<()> {
    if cfg!(unix) {
        fs::File::open(dir)?.sync_all()
    } else {
        Ok(())
    }
}

/// Returns the folder that contains `path`.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<_> = entries.map(|it| name(it).into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_and_nothing_else_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        for text in ["old", "new"] {
            write(&path, text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        let mut dropped = NewFile::create(&path).unwrap();
        dropped.write_all(b"half").unwrap();
        drop(dropped);
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(names(dir.path()), ["a.json"]);
        assert!(write(&dir.path().join("absent/a.json"), b"").is_err());
        // The rename fails after everything was written, because there is a folder with this name.
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(write(&path, b"text").is_err());
        assert_eq!(names(dir.path()), ["a.json"]);
    }

    #[test]
    #[cfg(unix)]
    fn files_and_folders_are_shared_as_the_umask_says() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let mode = |name: &str| {
            let metadata = fs::metadata(dir.path().join(name)).unwrap();
            metadata.permissions().mode() & 0o777
        };
        fs::write(dir.path().join("plain"), "").unwrap();
        write(&dir.path().join("ours"), b"").unwrap();
        assert_eq!(mode("ours"), mode("plain"));
        fs::create_dir(dir.path().join("plain folder")).unwrap();
        let folder = NewFolder::create(&dir.path().join("our folder")).unwrap();
        folder.commit().unwrap();
        assert_eq!(mode("our folder"), mode("plain folder"));
    }

    #[test]
    fn a_link_takes_the_place_of_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let [a, b, last] = ["a", "b", "last"].map(|name| dir.path().join(name));
        fs::write(&a, "a").unwrap();
        fs::write(&b, "b").unwrap();
        for from in [&a, &b, &b] {
            link(from, &last).unwrap();
            assert_eq!(fs::read(&last).unwrap(), fs::read(from).unwrap());
        }
        assert_eq!(names(dir.path()), ["a", "b", "last"]);
    }

    #[test]
    fn leftovers_go_and_other_hidden_files_stay() {
        let dir = tempfile::tempdir().unwrap();
        let mine = [".a.json.backup", ".lock", "a.json", "b.partial"];
        for name in mine
            .iter()
            .chain(&[".a.json.Ab12Cd.partial", ".a.json.partial"])
        {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let folder = dir.path().join(".folder.Ab12Cd.partial");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("file"), "").unwrap();
        remove_leftovers(dir.path()).unwrap();
        remove_leftovers(&dir.path().join("absent")).unwrap();
        assert_eq!(names(dir.path()), mine);
    }

    #[test]
    fn a_folder_appears_when_it_is_complete_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("new/out");
        let folder = NewFolder::create(&out).unwrap();
        fs::write(folder.path().join("file"), "text").unwrap();
        assert!(!out.exists());
        drop(folder);
        assert_eq!(names(&dir.path().join("new")), [""; 0]);
        let folder = NewFolder::create(&out).unwrap();
        fs::write(folder.path().join("file"), "text").unwrap();
        folder.commit().unwrap();
        assert_eq!(names(&dir.path().join("new")), ["out"]);
        assert_eq!(names(&out), ["file"]);
        // An existing folder is not replaced.
        let again = NewFolder::create(&out).unwrap();
        assert!(again.commit().is_err());
        assert_eq!(names(&dir.path().join("new")), ["out"]);
        assert_eq!(names(&out), ["file"]);
    }
}
