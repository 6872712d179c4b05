//! Image files on disk, which are named by a folder or by a list.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::names::Names;
use super::{Content, FileBytes, Picture, Source, count};
use crate::BadFile;
use crate::fingerprint::Fingerprint;

/// A source in which every image file is a sample.
#[derive(Debug)]
pub(crate) struct ImageFiles {
    root: PathBuf,
    images: Names,
    listed: Listed,
}

/// How the images were named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listed {
    /// By the folder that holds them.
    ByFolder,
    /// By a list file.
    ByFile,
}

impl ImageFiles {
    /// Creates a source of the images with the names `images`, relative to `root`, in this order.
    pub(crate) fn new(root: &Path, images: Names, listed: Listed) -> Self {
        Self {
            root: root.to_owned(),
            images,
            listed,
        }
    }
}

impl Source for ImageFiles {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn describe(&self) -> String {
        // A set, because images of one folder need not be adjacent: `a/1.jpg`, `a/b/1.jpg`, `a/c.jpg` is a valid order.
        let folders: BTreeSet<PathBuf> = self
            .images
            .iter()
            .map(|image| image.parent().unwrap_or(Path::new("")).to_owned())
            .collect();
        let (images, folders) = (self.len(), folders.len());
        let text = format!("{} in {}", count(images, "image"), count(folders, "folder"));
        match self.listed {
            Listed::ByFolder => text,
            Listed::ByFile => format!("a list of {text}"),
        }
    }

    fn name(&self, sample: usize) -> PathBuf {
        self.images.get(sample)
    }

    fn fingerprint(&self, hash: &mut Fingerprint) {
        let images: Vec<PathBuf> = self.images.iter().collect();
        hash.add_files(&self.root, &images);
    }

    fn read(&self, sample: usize) -> Result<Picture, BadFile> {
        let path = self.root.join(self.images.get(sample));
        let read = FileBytes::filled(|bytes| File::open(&path)?.read_to_end(bytes).map(drop));
        match read {
            Ok(bytes) => Ok(Picture {
                path,
                content: Content::Encoded(bytes),
            }),
            Err(error) => Err(BadFile {
                reason: format!("cannot read: {error}"),
                path,
            }),
        }
    }
}
