//! The common parts of the benchmarks with a mask for every frame.

use std::path::{Path, PathBuf};

use crate::benchmark::SequenceList;
use crate::error::EvalError;
use crate::files::{list_files, read_list, require_pairs};
use crate::labels::{LabelMap, LabelSet, Mask};
use crate::run::{Sizes, SoftLabels, Video};
use crate::sequence::SequenceFiles;

/// The layout of a data set with a mask for every frame, relative to its root.
///
/// The files of frames and masks are `FOLDER/SEQUENCE/NUMBER.jpg` and `.png`.
#[derive(Debug, Clone, Copy)]
pub struct MaskLayout {
    /// The file that lists the sequences, one name per line.
    pub list: &'static str,
    /// The folder that contains a folder of frames for each sequence.
    pub frames: &'static str,
    /// The folder that contains a folder of masks for each sequence.
    pub masks: &'static str,
    /// The number of digits of a frame's number in file names.
    pub digits: usize,
    /// The number of the first frame of a sequence.
    pub first: usize,
    /// The descriptions of the list, of the folder of all masks, and of the masks of a sequence in messages.
    pub called: [&'static str; 3],
}

impl MaskLayout {
    /// Returns the path of the file that lists the sequences.
    pub fn list_file(&self, root: &Path) -> PathBuf {
        root.join(self.list)
    }

    /// Returns the folder that contains the frames of a sequence.
    pub fn frames_of(&self, root: &Path, sequence: &str) -> PathBuf {
        root.join(self.frames).join(sequence)
    }

    /// Returns the folder that contains the masks of a sequence.
    pub fn masks_of(&self, root: &Path, sequence: &str) -> PathBuf {
        root.join(self.masks).join(sequence)
    }

    /// Returns the path of frame `index` (from 0) of a sequence.
    pub fn frame(&self, root: &Path, sequence: &str, index: usize) -> PathBuf {
        let name = self.number(index) + ".jpg";
        self.frames_of(root, sequence).join(name)
    }

    /// Returns the path of the mask of frame `index` (from 0) of a sequence.
    pub fn mask(&self, root: &Path, sequence: &str, index: usize) -> PathBuf {
        let name = self.number(index) + ".png";
        self.masks_of(root, sequence).join(name)
    }

    fn number(&self, index: usize) -> String {
        format!("{:0digits$}", self.first + index, digits = self.digits)
    }

    /// Reads the official list of the data set at `root`.
    pub(crate) fn list(&self, root: &Path) -> Result<SequenceList, EvalError> {
        let [list_called, folders_called, _] = self.called;
        let list = self.list_file(root);
        let names = read_list(&list, list_called)?;
        let masks = root.join(self.masks);
        if !masks.is_dir() {
            return Err(EvalError::Layout {
                path: masks,
                expected: folders_called.into(),
            });
        }
        Ok(SequenceList {
            source: list,
            names,
        })
    }

    /// Returns the files of a sequence. Frames and masks must have the same names, but not necessarily official ones.
    pub(crate) fn files(&self, root: &Path, name: &str) -> Result<SequenceFiles, EvalError> {
        let [_, _, masks_called] = self.called;
        let folder = self.frames_of(root, name);
        let frames = list_files(
            &folder,
            &["jpg", "jpeg", "png"],
            "the frames of the sequence",
        )?;
        Ok(SequenceFiles {
            frames,
            annotations: list_files(&self.masks_of(root, name), &["png"], masks_called)?,
            folder,
        })
    }
}

/// A function that reads a mask in the way of its benchmark.
pub(super) type ReadMask = fn(&Path) -> Result<Mask, EvalError>;

/// The masks of one sequence.
pub(super) struct Masks {
    pub video: Video,
    /// The path of the mask of each frame.
    pub files: Vec<PathBuf>,
    /// The mask of frame 0.
    pub first: Mask,
    /// The classes that are propagated.
    pub classes: LabelSet,
    /// The mask of the frame that was loaded last.
    pub loaded: Option<LabelMap>,
    read: ReadMask,
}

impl Masks {
    /// Pairs frames with masks and reads the first mask.
    ///
    /// `needed` is the number of frames that the benchmark needs and the reason for it.
    pub fn open(
        name: &str,
        files: SequenceFiles,
        sizes: &mut Sizes,
        (needed, reason): (usize, &'static str),
        read: ReadMask,
    ) -> Result<Self, EvalError> {
        require_pairs(&files.frames, &files.annotations)?;
        files.require_frames(needed, reason)?;
        let video = sizes.video(name, files.frames)?;
        let first = read(&files.annotations[0])?;
        let (classes, _) = classes(&first, &video);
        let masks = Self {
            video,
            files: files.annotations,
            first,
            classes,
            loaded: None,
            read,
        };
        masks.require_size(&masks.first, 0)?;
        Ok(masks)
    }

    /// Returns the soft labels of frame 0.
    pub fn first_labels(&self) -> SoftLabels {
        let (classes, pixels) = classes(&self.first, &self.video);
        SoftLabels {
            values: classes.soft_labels(&pixels, self.video.input, self.video.grid),
            classes: classes.ids.len(),
        }
    }

    /// Reads the mask of a frame.
    pub fn load(&mut self, index: usize) -> Result<(), EvalError> {
        let mask = (self.read)(&self.files[index])?;
        self.require_size(&mask, index)?;
        self.loaded = Some(mask.map);
        Ok(())
    }

    /// Returns the strongest class of every pixel of the encoder's input, from soft labels (h*w, L).
    pub fn hard_labels(&self, soft: &[f32]) -> LabelMap {
        let Video { grid, input, .. } = self.video;
        self.classes.hard_labels(soft, grid, input)
    }

    fn require_size(&self, mask: &Mask, index: usize) -> Result<(), EvalError> {
        if mask.map.size == self.video.original {
            return Ok(());
        }
        Err(EvalError::Size {
            path: self.files[index].clone(),
            found: mask.map.size,
            expected: self.video.original,
            reference: self.video.frames[0].clone(),
        })
    }
}

/// Returns the classes of the mask of frame 0 and the class of each pixel, at the size of the encoder's input.
fn classes(first: &Mask, video: &Video) -> (LabelSet, Vec<u8>) {
    LabelSet::of(&first.map.resize_opencv(video.input), &first.palette)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::benchmarks::{davis, jhmdb, vip};

    #[test]
    fn paths_are_those_of_the_downloads() {
        let root = Path::new("R");
        let is = |found: std::path::PathBuf, expected: &str| assert_eq!(found, Path::new(expected));
        is(davis::LAYOUT.list_file(root), "R/ImageSets/2017/val.txt");
        is(
            davis::LAYOUT.frame(root, "cows", 0),
            "R/JPEGImages/480p/cows/00000.jpg",
        );
        is(
            davis::LAYOUT.mask(root, "cows", 12),
            "R/Annotations/480p/cows/00012.png",
        );
        is(vip::LAYOUT.list_file(root), "R/lists/val_videos.txt");
        is(
            vip::LAYOUT.frame(root, "videos1", 0),
            "R/Images/videos1/000000000001.jpg",
        );
        is(
            vip::LAYOUT.mask(root, "videos1", 1),
            "R/Annotations/Category_ids/videos1/000000000002.png",
        );
        is(
            jhmdb::frame(root, "run/one", 0),
            "R/Rename_Images/run/one/00001.png",
        );
        is(
            jhmdb::joint_positions(root, "run/one"),
            "R/joint_positions/run/one/joint_positions.mat",
        );
    }
}
