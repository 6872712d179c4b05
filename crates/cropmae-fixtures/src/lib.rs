//! Finds the files that the tests of this workspace compare with.
//!
//! Fixtures are committed under `fixtures/`. Larger fixtures, and real photos and videos with licenses that keep them
//! out of the repository, are in a second folder, the shared folder. Its path is in the environment variable
//! `CROPMAE_SHARED`, and the default is `../shared`, next to the checkout.
//!
//! A missing committed fixture fails the test. If a file of the shared folder is missing, the test continues without it
//! and records a [`skip`], and `cargo xtask test` prints the number of skips in its last line. If the environment
//! variable `CI` is set, a missing file of the shared folder fails the test, too. `CROPMAE_REQUIRE_SHARED=1` and
//! `CROPMAE_REQUIRE_SHARED=0` override this.
//!
//! This crate is for tests and benchmarks. It finds the checkout by the path where it was compiled, and it panics instead
//! of returning errors.

mod skips;

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use flate2::read::GzDecoder;

pub use skips::{FOLDER_VARIABLE, skip};

/// Returns the root of the checkout.
pub fn workspace() -> PathBuf {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    let root = crates.and_then(Path::parent);
    root.map_or_else(PathBuf::new, Path::to_owned)
}

/// Returns the path of the committed fixture `fixtures/{path}`.
///
/// # Panics
/// Panics if the file or folder does not exist.
#[track_caller]
pub fn committed(path: &str) -> PathBuf {
    let found = workspace().join("fixtures").join(path);
    assert!(
        found.exists(),
        "{}: this committed fixture is missing",
        found.display()
    );
    found
}

/// Returns the file or folder `path` in the shared folder. If it does not exist, records a [`skip`] and returns `None`.
///
/// # Panics
/// Panics if it does not exist but is required, as in CI.
#[track_caller]
pub fn shared(path: &str) -> Option<PathBuf> {
    let found = shared_folder().join(path);
    if found.exists() {
        return Some(found);
    }
    assert!(
        !is_required(
            std::env::var("CROPMAE_REQUIRE_SHARED").ok().as_deref(),
            std::env::var("CI").ok().as_deref()
        ),
        "{}: this required file is missing: set CROPMAE_SHARED to the folder that contains {path}, or \
        set CROPMAE_REQUIRE_SHARED=0 to skip the tests that need it",
        found.display()
    );
    skips::skip_what(
        "no such file in the shared folder, see CROPMAE_SHARED",
        path,
    );
    None
}

/// Returns the folders that contain groups of golden cases: the committed one, and the shared one if it exists.
///
/// # Panics
/// Panics in the same cases as [`committed`] and [`shared`].
#[track_caller]
pub fn golden_roots() -> Vec<PathBuf> {
    let mut roots = vec![committed("golden")];
    roots.extend(shared("fixtures"));
    roots
}

/// Returns the folders of a group of golden cases: the committed one, and the shared one if it exists.
///
/// # Panics
/// Panics in the same cases as [`committed`] and [`shared`].
#[track_caller]
pub fn golden(group: &str) -> Vec<PathBuf> {
    let mut folders = vec![committed(&format!("golden/{group}"))];
    folders.extend(shared(&format!("fixtures/{group}")));
    folders
}

/// Reads a fixture. If there is only a file with `.gz` after its name, that file is decompressed.
///
/// # Panics
/// Panics if the file cannot be read.
#[track_caller]
pub fn read(path: &Path) -> Vec<u8> {
    let mut packed = path.as_os_str().to_owned();
    packed.push(".gz");
    let bytes = if !path.exists() && Path::new(&packed).exists() {
        std::fs::File::open(&packed).and_then(|file| {
            let mut bytes = Vec::new();
            GzDecoder::new(file).read_to_end(&mut bytes)?;
            Ok(bytes)
        })
    } else {
        std::fs::read(path)
    };
    bytes.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn shared_folder() -> PathBuf {
    std::env::var_os("CROPMAE_SHARED").map_or_else(|| workspace().join("../shared"), PathBuf::from)
}

/// Returns `true` if a missing shared file fails the test, by `CROPMAE_REQUIRE_SHARED` or otherwise by `CI`.
fn is_required(asked: Option<&str>, ci: Option<&str>) -> bool {
    match asked {
        Some(asked) => asked != "0",
        None => ci.is_some_and(|ci| !ci.is_empty() && ci != "false"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn committed_fixtures_are_found() {
        assert!(committed("golden/a_model").is_dir());
    }

    #[test]
    #[should_panic(expected = "this committed fixture is missing")]
    fn a_missing_committed_fixture_fails() {
        committed("golden/no_such_group");
    }

    #[test]
    fn ci_requires_shared_fixtures_unless_told_otherwise() {
        for (asked, ci, required) in [
            (None, None, false),
            (None, Some(""), false),
            (None, Some("false"), false),
            (None, Some("true"), true),
            (Some("0"), Some("true"), false),
            (Some("1"), None, true),
        ] {
            assert_eq!(is_required(asked, ci), required, "{asked:?} {ci:?}");
        }
    }
}
