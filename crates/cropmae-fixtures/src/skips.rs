//! Records skipped tests and parts of tests.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    panic::Location,
    path::Path,
};

/// The environment variable with the folder of skip records, which `cargo xtask test` sets.
pub const FOLDER_VARIABLE: &str = "CROPMAE_SKIPS";

/// Records that the running test skips a part. The `reason` is a clause such as "this CPU has no AVX-512".
///
/// The reason is printed to standard error. If [`FOLDER_VARIABLE`] is set, it is also written to a new file in that
/// folder, whose lines are the reason, the name of the test, and the location of the call.
#[track_caller]
pub fn skip(reason: &str) {
    skip_what(reason, "");
}

/// Records a skip. `what` is added to the reason, which may be the same for several skips.
#[track_caller]
pub(crate) fn skip_what(reason: &str, what: &str) {
    let test = running_test();
    let place = Location::caller();
    say(&format!("skipped a part of {test}: {reason} {what}"));
    if let Some(folder) = std::env::var_os(FOLDER_VARIABLE) {
        let record = format!("{reason}\n{test}\n{place}\n{what}\n");
        write(Path::new(&folder), &record);
    }
}

/// Returns the program and the name of the running test, which is also the name of its thread.
fn running_test() -> String {
    let program = std::env::current_exe().ok();
    let stem = program.as_deref().and_then(Path::file_stem);
    let stem = stem.map_or_else(|| "unknown".into(), |stem| stem.to_string_lossy());
    // Cargo adds a hash of 16 digits to the name.
    let program = match stem.rsplit_once('-') {
        Some((name, hash)) if hash.len() == 16 => name,
        _ => &stem,
    };
    let thread = std::thread::current();
    let from_runner = std::env::var("NEXTEST_TEST_NAME").ok();
    let test = match thread.name() {
        Some("main") | None => from_runner.as_deref().unwrap_or("main"),
        Some(name) => name,
    };
    format!("{program}::{test}")
}

/// Writes a record to a file named after its content, so that equal records are stored once.
fn write(folder: &Path, record: &str) {
    let mut hasher = DefaultHasher::new();
    record.hash(&mut hasher);
    let path = folder.join(format!("{:016x}.txt", hasher.finish()));
    let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, record));
    assert!(
        written.is_ok(),
        "cannot record a skip: {}: {written:?}",
        path.display()
    );
}

#[expect(clippy::print_stderr, reason = "a skip must be seen")]
fn say(text: &str) {
    eprintln!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_kept_once() {
        let folder = std::env::temp_dir().join(format!("cropmae-skips-{}", std::process::id()));
        for record in ["one\n", "one\n", "two\n"] {
            write(&folder, record);
        }
        let count = std::fs::read_dir(&folder).map(Iterator::count);
        assert_eq!(count.ok(), Some(2));
        std::fs::remove_dir_all(&folder).ok();
    }

    #[test]
    fn a_test_knows_its_name() {
        assert_eq!(
            running_test(),
            "cropmae_fixtures::skips::tests::a_test_knows_its_name"
        );
    }
}
