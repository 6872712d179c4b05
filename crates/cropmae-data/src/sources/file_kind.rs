//! The kinds of files, which are recognized by the ends of their names.

use std::fmt;
use std::path::Path;

/// A kind of file that holds samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FileKind {
    /// An image.
    Image,
    /// A video file.
    Video,
    /// A tar archive of images, which can be compressed.
    Shard,
    /// A Parquet file with a column of images.
    Parquet,
}

/// The endings of each kind, which are compared ignoring case.
const ENDINGS: [(FileKind, &[&str]); 4] = [
    (FileKind::Image, &["jpg", "jpeg", "png", "webp"]),
    (
        FileKind::Video,
        &["mp4", "mkv", "avi", "webm", "mov", "m4v"],
    ),
    (FileKind::Shard, &["tar", "tar.gz", "tgz"]),
    (FileKind::Parquet, &["parquet"]),
];

impl FileKind {
    /// Returns the kind of the file at `path`, or `None` if it holds no samples.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
        let ends = |ending: &&str| {
            name.strip_suffix(ending)
                .is_some_and(|stem| stem.ends_with('.'))
        };
        ENDINGS
            .iter()
            .find(|(_, endings)| endings.iter().any(&ends))
            .map(|(kind, _)| *kind)
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Image => "image",
            Self::Video => "video file",
            Self::Shard => "tar shard",
            Self::Parquet => "Parquet file",
        })
    }
}

/// Returns the endings of the `wanted` kinds, for messages.
pub(crate) fn known(wanted: impl Fn(FileKind) -> bool) -> String {
    let kinds = ENDINGS.iter().filter(|(kind, _)| wanted(*kind));
    let endings = kinds.flat_map(|(_, endings)| endings.iter());
    endings
        .map(|ending| format!(".{ending}"))
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_decide_in_any_case() {
        for (name, kind) in [
            ("a/b.JPEG", Some(FileKind::Image)),
            ("b.webp", Some(FileKind::Image)),
            ("shard-0001.tar", Some(FileKind::Shard)),
            ("shard.TAR.GZ", Some(FileKind::Shard)),
            ("x.tgz", Some(FileKind::Shard)),
            ("train-00000-of-00294.parquet", Some(FileKind::Parquet)),
            ("clip.Mp4", Some(FileKind::Video)),
            ("notes.txt", None),
            ("x.json.gz", None),
            ("jpg", None),
            ("notajpg", None),
        ] {
            assert_eq!(FileKind::of(Path::new(name)), kind, "{name}");
        }
        let all = known(|_| true);
        assert!(all.contains(".jpeg, ") && all.ends_with(".parquet"));
        assert!(!known(|kind| kind != FileKind::Image).contains(".jpeg"));
    }
}
