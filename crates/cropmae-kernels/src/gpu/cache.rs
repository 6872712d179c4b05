//! Compiled kernels on disk, so that only the first run of a version on a machine compiles them.
//!
//! A file's name is a hash of all that its content depends on. Its first line is a hash of the rest, so that a damaged file
//! is compiled again.

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::Result;
use sha2::{Digest, Sha256};

/// The environment variable that names another folder. An empty value turns the cache off.
const FOLDER: &str = "CROPMAE_KERNEL_CACHE";

/// The folder of compiled kernels, if this system has a place for caches.
pub(super) fn folder() -> Option<PathBuf> {
    match std::env::var_os(FOLDER) {
        Some(folder) if folder.is_empty() => None,
        Some(folder) => Some(folder.into()),
        None => Some(dirs::cache_dir()?.join("cropmae").join("kernels")),
    }
}

/// Returns the text that belongs to `inputs`, from `folder` or from `compile`, whose result is kept.
///
/// A folder that cannot be read or written costs time, and nothing else.
pub(super) fn cached(
    folder: Option<&Path>,
    inputs: &[&str],
    compile: impl FnOnce() -> Result<String>,
) -> Result<String> {
    let Some(folder) = folder else {
        return compile();
    };
    let file = folder.join(format!("{}.ptx", hash(inputs)));
    if let Some(text) = fs::read_to_string(&file).ok().and_then(intact) {
        return Ok(text);
    }
    let text = compile()?;
    let kept = format!("{}{}\n{text}", PREFIX, hash(&[&text]));
    let _slower_next_time = fs::create_dir_all(folder)
        .and_then(|()| cropmae_files::write(&file, kept.as_bytes()))
        .is_err();
    Ok(text)
}

/// A comment of PTX.
const PREFIX: &str = "// sha256 ";

/// Returns the text without its first line, if this is its hash.
fn intact(kept: String) -> Option<String> {
    let (first, text) = kept.split_once('\n')?;
    (first.strip_prefix(PREFIX)? == hash(&[text])).then(|| text.to_owned())
}

/// The hash of texts, each of which counts with its length.
fn hash(texts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    format!("{:x}", hash.finalize())
}

#[cfg(test)]
mod tests {
    use candle_core::bail;

    use super::*;

    #[test]
    fn a_text_is_compiled_once() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("deep/er");
        let folder = Some(folder.as_path());
        let fails = || bail!("compiled again");
        assert!(cached(folder, &["a", "b"], fails).is_err());
        let first = cached(folder, &["a", "b"], || Ok("text\nof two lines".to_owned())).unwrap();
        assert_eq!(cached(folder, &["a", "b"], fails).unwrap(), first);
        // Other inputs are other texts, however they are split.
        for inputs in [["ab", ""], ["a", "c"]] {
            assert!(cached(folder, &inputs, fails).is_err());
        }
        assert!(cached(None, &["a", "b"], fails).is_err());
    }

    #[test]
    fn a_damaged_text_is_compiled_again() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Some(temporary.path());
        let text = || Ok("text".to_owned());
        cached(folder, &["a"], text).unwrap();
        let file = fs::read_dir(temporary.path())
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path();
        let kept = fs::read_to_string(&file).unwrap();
        for damaged in [&kept[..kept.len() - 1], "", "text"] {
            fs::write(&file, damaged).unwrap();
            let again = cached(folder, &["a"], || Ok("again".to_owned())).unwrap();
            assert_eq!(again, "again");
        }
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_no_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = cached(Some(file.path()), &["a"], || Ok("text".to_owned()));
        assert_eq!(text.unwrap(), "text");
    }
}
