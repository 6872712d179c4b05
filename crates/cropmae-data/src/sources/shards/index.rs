//! The index of a tar archive: the positions of its entries, from headers that are read once.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

use tar::{Archive, Entry, EntryType};

use super::super::file_kind::FileKind;
use super::super::names::Names;

/// The size in bytes of the blocks of an archive.
const BLOCK: u64 = 512;

/// The images of one archive.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) names: Names,
    /// The position and the size of each image's bytes.
    pub(super) spans: Vec<(u64, u64)>,
    /// The number of files that are not images.
    pub(super) other_files: usize,
    /// The entries that cannot be used, with reasons.
    pub(super) bad_entries: Vec<(PathBuf, String)>,
    /// The reason why the archive is not complete. Entries before the damage are listed.
    pub(super) broken: Option<String>,
}

impl Index {
    /// Lists the archive at `path`.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut this = Self::default();
        let mut pairs = Pairs::default();
        let mut end = 0;
        for entry in Archive::new(file).entries_with_seek()? {
            // The archive is read up to the first invalid header.
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    this.broken = Some(no_header(end, &error));
                    break;
                }
            };
            let (start, size) = (entry.raw_file_position(), entry.size());
            end = start.saturating_add(size.next_multiple_of(BLOCK));
            if start.saturating_add(size) > length {
                this.broken = Some(format!("truncated after {} images", this.names.len()));
                break;
            }
            this.add(&entry, (start, size), &mut pairs)?;
        }
        if this.broken.is_none() && length < end + BLOCK {
            this.broken = Some(match length {
                0 => "empty file".to_owned(),
                _ => format!(
                    "truncated after {} images: no end-of-archive marker",
                    this.names.len()
                ),
            });
        }
        pairs.finish(&mut this);
        this.names.shrink();
        this.spans.shrink_to_fit();
        Ok(this)
    }

    fn add(
        &mut self,
        entry: &Entry<impl io::Read>,
        span: (u64, u64),
        pairs: &mut Pairs,
    ) -> io::Result<()> {
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            return Ok(());
        }
        let name = entry.path()?;
        if is_hidden(&name) {
            return Ok(());
        }
        if leads_outside(&name) {
            let reason = "its name leads out of the archive";
            self.bad_entries
                .push((name.into_owned(), reason.to_owned()));
        } else if FileKind::of(&name) != Some(FileKind::Image) {
            self.other_files += 1;
            pairs.other(&name);
        } else if !matches!(kind, EntryType::Regular | EntryType::Continuous) {
            let reason = format!("a {kind:?} entry, expected a regular file");
            self.bad_entries.push((name.into_owned(), reason));
        } else {
            pairs.image(&name);
            self.names.push(&name);
            self.spans.push(span);
        }
        Ok(())
    }
}

/// Returns the reason why there is no entry at byte `end`.
///
/// The messages of the tar reader contain the broken bytes, which could disturb a terminal, so they are not used.
fn no_header(end: u64, error: &io::Error) -> String {
    match (error.kind(), end) {
        (ErrorKind::Other | ErrorKind::InvalidData, 0) => "not a tar archive".to_owned(),
        (ErrorKind::Other | ErrorKind::InvalidData, _) => {
            format!("broken at byte {end}: no valid header there")
        }
        _ => format!("cannot read past byte {end}: {error}"),
    }
}

/// Returns whether a program that unpacks `name` could write outside its folder.
///
/// Nothing is unpacked here, but an archive with such names cannot be trusted.
fn leads_outside(name: &Path) -> bool {
    !name
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

/// Returns whether a file is hidden.
///
/// Hidden files are left out as in folders, because the archiver of macOS adds a `._photo.jpg` for each photo.
fn is_hidden(name: &Path) -> bool {
    name.components().any(
        |part| matches!(part, Component::Normal(part) if part.as_encoded_bytes().starts_with(b".")),
    )
}

/// Finds samples whose image is missing.
///
/// By the naming of WebDataset, files belong together if their names are equal up to the first dot.
#[derive(Default)]
struct Pairs {
    /// The keys that have an image.
    images: BTreeSet<PathBuf>,
    /// The key, extension and name of each other file.
    others: Vec<(PathBuf, String, PathBuf)>,
}

impl Pairs {
    fn image(&mut self, name: &Path) {
        self.images.insert(key_and_extension(name).0);
    }

    fn other(&mut self, name: &Path) {
        let (key, extension) = key_and_extension(name);
        self.others.push((key, extension, name.to_owned()));
    }

    /// Adds the incomplete samples to the unusable entries of `index`.
    ///
    /// An extension that never occurs with an image says nothing about missing images; a README, for example, needs
    /// none.
    fn finish(self, index: &mut Index) {
        let paired: BTreeSet<&str> = self
            .others
            .iter()
            .filter(|(key, ..)| self.images.contains(key))
            .map(|(_, extension, _)| extension.as_str())
            .collect();
        for (key, extension, name) in &self.others {
            if paired.contains(extension.as_str()) && !self.images.contains(key) {
                let reason = "an incomplete sample: its image is missing";
                index.bad_entries.push((name.clone(), reason.to_owned()));
                index.other_files -= 1;
            }
        }
    }
}

fn key_and_extension(name: &Path) -> (PathBuf, String) {
    let file = name.file_name().unwrap_or_default().to_string_lossy();
    let (stem, extension) = file.split_once('.').unwrap_or((&file, ""));
    (name.with_file_name(stem), extension.to_owned())
}
