//! Files that appear under their name only when they are complete.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Lets `write` fill a file of another name beside `path`, then gives it that name. Whatever fails, nothing
/// half-written stays behind and what stood at `path` before is intact.
pub(crate) fn replace<E: From<io::Error>>(
    path: &Path,
    write: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let partial = Partial(beside(path));
    // Some writers make private files; weights are to be shared as the umask says.
    let permissions = File::create(&partial.0)?.metadata()?.permissions();
    write(&partial.0)?;
    fs::set_permissions(&partial.0, permissions)?;
    File::open(&partial.0)?.sync_all()?;
    fs::rename(&partial.0, path)?;
    Ok(())
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().map_or_else(OsString::new, OsString::from);
    name.push(".partial");
    path.with_file_name(name)
}

/// Removes the file when it goes, unless it was renamed by then.
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
