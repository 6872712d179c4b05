//! Lists the files and folders of a data set.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use crate::error::EvalError;

/// Lists the files of a folder that have one of the `extensions`, sorted by name.
///
/// Digits are compared as numbers, because extracted frames may have names such as `2.png` and `10.png`.
///
/// # Errors
/// Returns [`EvalError::Layout`] if the folder does not exist or contains no such file, and [`EvalError::Read`] if it
/// cannot be read.
pub(crate) fn list_files(
    folder: &Path,
    extensions: &[&str],
    expected: &str,
) -> Result<Vec<PathBuf>, EvalError> {
    let layout = || EvalError::Layout {
        path: folder.into(),
        expected: expected.into(),
    };
    if !folder.is_dir() {
        return Err(layout());
    }
    let read = |source| EvalError::Read {
        path: folder.into(),
        source,
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(read)? {
        let path = entry.map_err(read)?.path();
        let wanted = path
            .extension()
            .is_some_and(|found| extensions.iter().any(|e| found.eq_ignore_ascii_case(e)));
        // Some systems create dot files such as "._00000.jpg" that are not frames.
        let hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if wanted && !hidden {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(layout());
    }
    files.sort_by(|a, b| natural(stem(a)).cmp(natural(stem(b))).then(a.cmp(b)));
    Ok(files)
}

/// Lists the sorted names of the folders in a folder.
///
/// # Errors
/// Returns [`EvalError::Layout`] if the folder does not exist or contains no folder, and [`EvalError::Read`] if it
/// cannot be read.
pub(crate) fn list_folders(parent: &Path, expected: &str) -> Result<Vec<String>, EvalError> {
    let entries = std::fs::read_dir(parent).map_err(|_| EvalError::Layout {
        path: parent.into(),
        expected: expected.into(),
    })?;
    let mut names: Vec<String> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    if names.is_empty() {
        return Err(EvalError::Layout {
            path: parent.into(),
            expected: expected.into(),
        });
    }
    Ok(names)
}

/// Splits a name into alternating texts and numbers, for sorting.
fn natural(name: &str) -> impl Iterator<Item = (&str, u128)> {
    let mut rest = name;
    std::iter::from_fn(move || {
        let text = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (text, after) = rest.split_at(text);
        let digits = after
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(after.len());
        let (digits, after) = after.split_at(digits);
        let more = !rest.is_empty();
        rest = after;
        more.then(|| (text, digits.parse().unwrap_or(0)))
    })
}

/// Returns the file name without its extension, by which frames and annotations are paired.
pub(crate) fn stem(path: &Path) -> &str {
    path.file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or_default()
}

/// Checks that every frame has an annotation with the same name and every annotation has a frame.
///
/// # Errors
/// Returns [`EvalError::Layout`] with the first missing file.
pub(crate) fn require_pairs(frames: &[PathBuf], annotations: &[PathBuf]) -> Result<(), EvalError> {
    unpaired(frames, annotations)
        .into_iter()
        .next()
        .map_or(Ok(()), Err)
}

/// Returns an [`EvalError::Layout`] for every frame without an annotation and every annotation without a frame.
pub(crate) fn unpaired(frames: &[PathBuf], annotations: &[PathBuf]) -> Vec<EvalError> {
    let missing = |from: &[PathBuf], to: &[PathBuf], what: &str| -> Vec<EvalError> {
        let names: BTreeSet<&str> = to.iter().map(|path| stem(path)).collect();
        let lacks = |path: &&PathBuf| !names.contains(stem(path));
        let error = |path: &PathBuf| {
            let like = &to[0];
            EvalError::Layout {
                path: like
                    .with_file_name(stem(path))
                    .with_extension(like.extension().unwrap_or_default()),
                expected: format!("the {what} that belongs to {}", path.display()),
            }
        };
        from.iter().filter(lacks).map(error).collect()
    };
    let mut errors = missing(frames, annotations, "annotation");
    errors.extend(missing(annotations, frames, "frame"));
    errors
}

/// Reads the names in a list file, one per line. A name must be a relative path without `..`.
///
/// # Errors
/// Returns [`EvalError::Layout`] if the file cannot be read, contains no name, or contains a name that is no such path.
pub(crate) fn read_list(path: &Path, expected: &str) -> Result<Vec<String>, EvalError> {
    let text = std::fs::read_to_string(path).map_err(|_| EvalError::Layout {
        path: path.into(),
        expected: expected.into(),
    })?;
    let names: Vec<String> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(String::from)
        .collect();
    // Names become paths in the data set and in the output folder, and must not point outside of them.
    let plain = |name: &&String| {
        Path::new(name.as_str())
            .components()
            .all(|part| matches!(part, Component::Normal(_)))
    };
    match names.iter().find(|name| !plain(name)) {
        Some(name) => Err(EvalError::Layout {
            path: path.join(name),
            expected: "a plain sequence name in the list".into(),
        }),
        None if names.is_empty() => Err(EvalError::Layout {
            path: path.into(),
            expected: expected.into(),
        }),
        None => Ok(names),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_count_as_numbers() {
        let before = |a: &str, b: &str| natural(a).lt(natural(b));
        assert!(before("2", "10") && before("00009", "00010") && before("frame2", "frame10"));
        assert!(before("a1_b2", "a1_b10") && before("", "0") && !before("7", "007"));
    }

    #[test]
    fn a_gap_in_the_frames_is_named() {
        let paths = |names: &[&str], ext: &str| -> Vec<PathBuf> {
            names
                .iter()
                .map(|n| format!("seq/{n}.{ext}").into())
                .collect()
        };
        let masks = paths(&["00000", "00001", "00002"], "png");
        let error = require_pairs(&paths(&["00000", "00002"], "jpg"), &masks).unwrap_err();
        assert!(
            error.to_string().starts_with("seq/00001.jpg: not found"),
            "{error}"
        );
        let error = require_pairs(&paths(&["00000", "00001", "00002"], "jpg"), &masks[..2]);
        assert!(
            error
                .unwrap_err()
                .to_string()
                .starts_with("seq/00002.png: not found")
        );
    }
}
