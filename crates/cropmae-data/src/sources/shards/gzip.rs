//! Compressed shards. Gzip has no places to enter it at, so such a shard is unpacked once, into the
//! user's cache, and read there like any other: the order stays exact, an epoch can still be entered
//! anywhere, and photos, which do not compress, take no more room than before.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};

/// Where unpacked shards go: `CROPMAE_CACHE`, or `cropmae` in the user's cache folder.
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

/// Whether a shard's name says that it is compressed.
pub(super) fn is_compressed(shard: &Path) -> bool {
    let name = shard.as_os_str().to_string_lossy().to_ascii_lowercase();
    name.ends_with(".gz") || name.ends_with(".tgz")
}

/// Path of the unpacked `shard` below `cache`, made if it is not there yet.
///
/// Of a shard that is cut off, what could be unpacked is kept: its end is then missing from the archive
/// too, and found by whoever lists it.
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
    // Half of the digest's 64 digits is enough.
    let key = &format!("{:x}", hash.finalize())[..32];
    let target = cache.join(format!("{key}.tar"));
    if target.is_file() {
        return Ok(target);
    }
    tracing::info!(
        shard = %shard.display(), to = %target.display(),
        "unpacking a compressed shard, once; unpack it yourself to save the room"
    );
    std::fs::create_dir_all(cache)?;
    let mut temporary = tempfile::NamedTempFile::new_in(cache)?;
    if let Some(error) = unpack(File::open(shard)?, temporary.as_file_mut())? {
        tracing::warn!(shard = %shard.display(), "a compressed shard ends early: {error}");
    }
    temporary.persist(&target)?;
    Ok(target)
}

/// Unpacks `from`; gives the reason where it ends early, after something of it could be unpacked.
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
