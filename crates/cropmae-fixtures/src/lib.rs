//! Where the tests of this workspace find the files that they compare with.
//!
//! Fixtures are committed under `fixtures/`. Larger ones, and real photos and videos, whose licenses keep them
//! out of the repository, lie in a second folder: the one that `CROPMAE_SHARED` names, by default `../shared`
//! beside the checkout.
//!
//! A committed fixture that is missing fails its test. A missing file of the second folder is a [`skip`]:
//! the test goes on with what is there, and `cargo xtask test` counts the skips in its last line. Where the
//! environment variable `CI` is set, a missing file of the second folder fails as well;
//! `CROPMAE_REQUIRE_SHARED=1` and `CROPMAE_REQUIRE_SHARED=0` decide it either way.
//!
//! This crate is for tests and benchmarks: it finds the checkout by the place where it was compiled, and it
//! panics instead of returning errors.

mod skips;

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use flate2::read::GzDecoder;

pub use skips::{FOLDER_VARIABLE, skip};

/// The root of the checkout.
pub fn workspace() -> PathBuf {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    let root = crates.and_then(Path::parent);
    root.map_or_else(PathBuf::new, Path::to_owned)
}

/// The committed fixture `fixtures/{path}`.
///
/// # Panics
///
/// Panics when there is no such file or folder: what is committed is there.
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

/// The file or folder `path` of the shared folder, or `None` and a recorded [`skip`] when it is not there.
///
/// # Panics
///
/// Panics when it is not there but required, as it is in CI.
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
        "{}: missing, and required here; set CROPMAE_SHARED to the folder that holds {path}, or \
         CROPMAE_REQUIRE_SHARED=0 to skip what needs it",
        found.display()
    );
    skips::skip_what(
        "no such file in the shared folder, see CROPMAE_SHARED",
        path,
    );
    None
}

/// The folders that hold groups of golden cases: the committed one, and the shared one where there is one.
///
/// # Panics
///
/// Panics as [`committed`] and [`shared`] do.
#[track_caller]
pub fn golden_roots() -> Vec<PathBuf> {
    let mut roots = vec![committed("golden")];
    roots.extend(shared("fixtures"));
    roots
}

/// The folders of one group of golden cases: the committed one, and the shared one where there is one.
///
/// # Panics
///
/// Panics when nothing of the group is committed, and as [`shared`] does.
#[track_caller]
pub fn golden(group: &str) -> Vec<PathBuf> {
    let mut folders = vec![committed(&format!("golden/{group}"))];
    folders.extend(shared(&format!("fixtures/{group}")));
    folders
}

/// The bytes of a fixture; where there is no file `path` but one with `.gz` behind its name, that one unpacked.
///
/// # Panics
///
/// Panics when neither can be read.
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

/// Whether a missing shared file fails: as `CROPMAE_REQUIRE_SHARED` says, else in CI.
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
