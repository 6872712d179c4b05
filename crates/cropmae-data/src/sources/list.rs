//! Reads list files, which hold one path per line, relative to the folder of the list.
//!
//! Empty lines are ignored.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::names::Names;
use crate::DataError;

/// The endings of list files.
pub(crate) const ENDINGS: [&str; 3] = ["txt", "lst", "list"];

/// The number of paths at the start of a list that are looked for when it is opened.
const LOOKED_FOR: usize = 100;

/// Returns whether a file is a list, by the end of its name.
pub(crate) fn is_list(path: &Path) -> bool {
    path.extension()
        .and_then(OsStr::to_str)
        .is_some_and(|found| {
            ENDINGS
                .iter()
                .any(|known| known.eq_ignore_ascii_case(found))
        })
}

/// Reads the paths in the list at `path`, in their order. There is at least one.
pub(crate) fn read(path: &Path) -> Result<Names, DataError> {
    let failed = |source| DataError::List {
        path: path.to_owned(),
        source,
    };
    let mut names = Names::default();
    let mut lines = BufReader::new(File::open(path).map_err(failed)?);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).map_err(failed)? > 0 {
        let text = line.trim_ascii();
        if !text.is_empty() {
            names.push_bytes(text);
        }
        line.clear();
    }
    if names.len() == 0 {
        return Err(DataError::EmptyList {
            path: path.to_owned(),
        });
    }
    names.shrink();
    Ok(names)
}

/// Returns the folder that the paths in the list are relative to.
pub(crate) fn base(list: &Path) -> PathBuf {
    list.parent().unwrap_or(Path::new("")).to_owned()
}

/// Returns an error if none of the first names in a list exists.
///
/// In that case, either the paths are relative to another folder, or the file is not a list.
pub(crate) fn require_some(list: &Path, base: &Path, names: &Names) -> Result<(), DataError> {
    let first = || names.iter().take(LOOKED_FOR).map(|name| base.join(name));
    if first().any(|path| path.exists()) {
        return Ok(());
    }
    Err(DataError::ListOfNothing {
        path: list.to_owned(),
        looked_for: first().count(),
        first: first().next().unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_paths_in_their_order() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("train.txt");
        std::fs::write(&list, "b/2.jpg\r\n\n  a/it's 1.png\nb/2.jpg").unwrap();
        let names: Vec<_> = read(&list).unwrap().iter().collect();
        assert_eq!(
            names,
            ["b/2.jpg", "a/it's 1.png", "b/2.jpg"].map(PathBuf::from)
        );
        std::fs::write(&list, "\n\n").unwrap();
        let message = read(&list).unwrap_err().to_string();
        assert!(
            message.contains("train.txt: the list is empty"),
            "{message}"
        );
    }

    #[test]
    fn one_of_the_first_paths_has_to_be_there() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("train.txt");
        std::fs::write(&list, "a.jpg 0\nb.jpg 1\n").unwrap();
        let names = read(&list).unwrap();
        let message = require_some(&list, dir.path(), &names)
            .unwrap_err()
            .to_string();
        for part in [
            "train.txt: none of the first 2 paths",
            "a.jpg 0",
            "one path per line",
        ] {
            assert!(message.contains(part), "{message}");
        }
        std::fs::write(dir.path().join("b.jpg 1"), "x").unwrap();
        require_some(&list, dir.path(), &names).unwrap();
    }
}
