//! Where samples come from: a folder of images, or a folder of videos stored as frames.

pub(crate) mod folder;
pub(crate) mod frames;

use std::path::{Path, PathBuf};

pub(crate) use folder::Listing;
pub(crate) use frames::Video;

/// The listed samples; paths are relative to the data set's root.
#[derive(Debug)]
pub(crate) enum Source {
    /// Every image is a sample.
    Images(Vec<PathBuf>),
    /// Every video is a sample.
    Videos(Vec<Video>),
}

impl Source {
    /// Number of samples.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Images(images) => images.len(),
            Self::Videos(videos) => videos.len(),
        }
    }

    /// All files in their listed order.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::Images(images) => images.clone(),
            Self::Videos(videos) => videos.iter().flat_map(Video::paths).collect(),
        }
    }

    /// Number of files.
    pub(crate) fn file_count(&self) -> usize {
        match self {
            Self::Images(images) => images.len(),
            Self::Videos(videos) => videos.iter().map(|video| video.frames.len()).sum(),
        }
    }

    /// Number of folders that hold them.
    pub(crate) fn folder_count(&self) -> usize {
        match self {
            Self::Images(images) => {
                // A set, not runs of equals: `a/1.jpg`, `a/b/1.jpg`, `a/c.jpg` is a valid order.
                let folders: std::collections::BTreeSet<Option<&Path>> =
                    images.iter().map(|image| image.parent()).collect();
                folders.len()
            }
            Self::Videos(videos) => videos.len(),
        }
    }
}
