//! Files that are either the old one or the new one, whatever happens while they are written.

use std::io::Write;
use std::path::Path;

use crate::TrainError;

/// How the names of temporary files end; they start with a dot.
const TEMPORARY: &str = ".tmp";

/// Replaces `path` with what `write` puts into a temporary file beside it.
///
/// The new file is on the disk before it takes the old one's name, so a crash or a full disk leaves the
/// old one intact; the temporary file goes away on any error.
pub(crate) fn replace(
    path: &Path,
    write: impl FnOnce(&mut tempfile::NamedTempFile) -> std::io::Result<()>,
) -> Result<(), TrainError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".").suffix(TEMPORARY);
    #[cfg(unix)]
    {
        // Run folders are shared within a group: the umask decides, not tempfile's private default.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let replaced = builder.tempfile_in(dir).and_then(|mut file| {
        write(&mut file)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        sync_folder(dir)
    });
    replaced.map_err(TrainError::io(path, "write"))
}

/// Makes a rename in `dir` durable.
pub(crate) fn sync_folder(dir: &Path) -> std::io::Result<()> {
    if cfg!(unix) {
        std::fs::File::open(dir)?.sync_all()
    } else {
        Ok(())
    }
}

/// Replaces `path` with `value` as indented JSON.
pub(crate) fn replace_json(path: &Path, value: &impl serde::Serialize) -> Result<(), TrainError> {
    replace(path, |file| {
        serde_json::to_writer_pretty(&mut *file, value)?;
        file.write_all(b"\n")
    })
}

/// Gives the file `from` the further name `to`, in place of what has that name: as a hard link or, where the
/// file system has none, as a copy.
pub(crate) fn link(from: &Path, to: &Path) -> std::io::Result<()> {
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(TEMPORARY);
    let temporary = to.with_file_name(format!(".{}", name.to_string_lossy()));
    remove_if_there(&temporary)?;
    let made = std::fs::hard_link(from, &temporary)
        .or_else(|_| {
            std::fs::copy(from, &temporary)?;
            std::fs::File::open(&temporary)?.sync_all()
        })
        .and_then(|()| std::fs::rename(&temporary, to));
    // Renaming one link over another of the same file does nothing and leaves both.
    remove_if_there(&temporary)?;
    made?;
    to.parent().map_or(Ok(()), sync_folder)
}

/// Removes what [`replace`] and [`link`] leave in `dir` when the program is killed in them.
pub(crate) fn remove_temporary(dir: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') && name.ends_with(TEMPORARY) {
            remove_if_there(&path)?;
        }
    }
    Ok(())
}

fn remove_if_there(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
