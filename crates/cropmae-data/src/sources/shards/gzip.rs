//! Compressed shards. Gzip has no random access, so such a shard is unpacked once into the user's cache and read there
//! like any other. The order therefore stays exact, and an epoch can still be entered anywhere. Photos do not compress,
//! so the copy is hardly larger than the shard.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};

/// Returns the folder of unpacked shards: `CROPMAE_CACHE`, or `cropmae` in the user's cache folder.
pub(crate) fn cache_folder() -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(folder) = variable("CROPMAE_CACHE") {
        return folder.into();
    }
    let cache = variable("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| {
        let home = variable("HOME").or_else(|| variable("USERPROFILE"))?;
        Some(Path::new(&home).join(".cache"))
    });
    cache.unwrap_or_else(std::env::temp_dir).join("cropmae")
}

/// Returns whether the name of a shard says that it is compressed.
pub(super) fn is_compressed(shard: &Path) -> bool {
    let name = shard.as_os_str().to_string_lossy().to_ascii_lowercase();
    name.ends_with(".gz") || name.ends_with(".tgz")
}

/// Returns the path of the unpacked `shard` in the folder `cache`. Unpacks it if it is not there yet.
///
/// Of a truncated shard, the part that can be unpacked is kept. The archive is then truncated too, which is found when
/// it is listed.
pub(super) fn unpacked(shard: &Path, cache: &Path) -> io::Result<PathBuf> {
    let metadata = std::fs::metadata(shard)?;
    let modified = metadata
        .modified()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .map_or(0, |since| since.as_nanos());
    let mut hash = Sha256::new();
    hash.update(std::path::absolute(shard)?.as_os_str().as_encoded_bytes());
    hash.update(metadata.len().to_le_bytes());
    hash.update(modified.to_le_bytes());
    // Half of the 64 digits of the digest is enough.
    let key = &format!("{:x}", hash.finalize())[..32];
    let target = cache.join(format!("{key}.tar"));
    if target.is_file() {
        return Ok(target);
    }
    tracing::info!(
        shard = %shard.display(), to = %target.display(),
        "unpacking a compressed shard; this is done once, and the copy stays on disk"
    );
    std::fs::create_dir_all(cache)?;
    let mut temporary = tempfile::NamedTempFile::new_in(cache)?;
    if let Some(error) = unpack(File::open(shard)?, temporary.as_file_mut())? {
        tracing::warn!(shard = %shard.display(), "a compressed shard ends early: {error}");
    }
    temporary.persist(&target)?;
    Ok(target)
}

/// Unpacks `from`. If it ends early after some of it was unpacked, the result is the reason.
fn unpack(from: File, to: &mut File) -> io::Result<Option<io::Error>> {
    let mut reader = MultiGzDecoder::new(BufReader::new(from));
    let mut writer = BufWriter::new(to);
    let mut chunk = vec![0; 1 << 18];
    let mut unpacked = 0;
    let cut_short = loop {
        match io::Read::read(&mut reader, &mut chunk) {
            Ok(0) => break None,
            Ok(read) => {
                writer.write_all(&chunk[..read])?;
                unpacked += read;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if unpacked == 0 => return Err(error),
            Err(error) => break Some(error),
        }
    };
    writer.flush()?;
    Ok(cut_short)
}
