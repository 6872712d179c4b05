//! Files that are either the old one or the new one, whatever happens while they are written.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use candle_core::Tensor;

use crate::TrainError;

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
    builder.prefix(".").suffix(".tmp");
    #[cfg(unix)]
    {
        // Run folders are shared within a group: the umask decides, not tempfile's private default.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let replaced = builder.tempfile_in(dir).and_then(|mut file| {
        let permissions = file.as_file().metadata()?.permissions();
        write(&mut file)?;
        // The safetensors writer puts a private file of its own in this one's place.
        std::fs::set_permissions(file.path(), permissions)?;
        std::fs::File::open(file.path())?.sync_all()?;
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

/// Replaces `path` with a safetensors file of `tensors` and string metadata.
pub(crate) fn replace_tensors<'a>(
    path: &Path,
    tensors: impl IntoIterator<Item = (String, &'a Tensor)>,
    metadata: HashMap<String, String>,
) -> Result<(), TrainError> {
    replace(path, |file| {
        safetensors::serialize_to_file(tensors, Some(metadata), file.path())
            .map_err(std::io::Error::other)
    })
}
