//! What the two tasks with a mask for every frame share: DAVIS and VIP.

use std::path::{Path, PathBuf};

use crate::catalogue::SequenceFiles;
use crate::error::EvalError;
use crate::files::{list_files, read_list, require_pairs};
use crate::labels::{LabelMap, LabelSet, Mask};
use crate::observer::{FrameDone, Observer, Prediction};
use crate::protocol::{Run, Video, require_frames};
use crate::size::Size;

/// Where a data set with a mask for every frame keeps its files, below its root.
///
/// Frames and masks are `FOLDER/SEQUENCE/NUMBER.jpg` and `.png`.
#[derive(Debug, Clone, Copy)]
pub struct MaskLayout {
    /// The file that lists the sequences, one name per line.
    pub list: &'static str,
    /// The folder of folders of frames.
    pub frames: &'static str,
    /// The folder of folders of masks.
    pub masks: &'static str,
    /// Digits of a frame's number in the names of its files.
    pub digits: usize,
    /// Number of a sequence's first frame.
    pub first: usize,
    /// What a message calls the list, the folder of folders of masks, and the masks in one of these.
    pub called: [&'static str; 3],
}

impl MaskLayout {
    /// The file that lists the sequences.
    pub fn list_file(&self, root: &Path) -> PathBuf {
        root.join(self.list)
    }

    /// The folder that holds the frames of a sequence.
    pub fn frames_of(&self, root: &Path, sequence: &str) -> PathBuf {
        root.join(self.frames).join(sequence)
    }

    /// The folder that holds the masks of a sequence.
    pub fn masks_of(&self, root: &Path, sequence: &str) -> PathBuf {
        root.join(self.masks).join(sequence)
    }

    /// The file of a sequence's frame; `index` counts from 0.
    pub fn frame(&self, root: &Path, sequence: &str, index: usize) -> PathBuf {
        let name = self.number(index) + ".jpg";
        self.frames_of(root, sequence).join(name)
    }

    /// The file of the mask of a sequence's frame; `index` counts from 0.
    pub fn mask(&self, root: &Path, sequence: &str, index: usize) -> PathBuf {
        let name = self.number(index) + ".png";
        self.masks_of(root, sequence).join(name)
    }

    fn number(&self, index: usize) -> String {
        format!("{:0digits$}", self.first + index, digits = self.digits)
    }

    /// The official list in the data set at `root`, and its names.
    pub(crate) fn list(&self, root: &Path) -> Result<(PathBuf, Vec<String>), EvalError> {
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
        Ok((list, names))
    }

    /// The files of a sequence. Their names need not be those of a download, only alike.
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

/// Reads a mask as the task understands it.
pub(crate) type ReadMask = fn(&Path) -> Result<Mask, EvalError>;

/// A video with a mask for every frame, ready to be followed.
pub(crate) struct MaskVideo<'a> {
    pub name: &'a str,
    pub video: Video,
    pub files: SequenceFiles,
    /// The mask of frame 0.
    pub first: Mask,
    /// The classes that are propagated.
    pub classes: LabelSet,
    /// Their soft labels in frame 0 (h*w, L).
    labels: Vec<f32>,
    read: ReadMask,
}

impl<'a> MaskVideo<'a> {
    /// Pairs frames with masks; at least `needed` frames, for the `reason` given. `read` reads a mask.
    pub fn open(
        run: &Run<'_>,
        name: &'a str,
        files: SequenceFiles,
        (needed, reason): (usize, &'static str),
        read: ReadMask,
    ) -> Result<Self, EvalError> {
        require_pairs(&files.frames, &files.annotations)?;
        require_frames(&files.folder, &files.frames, needed, reason)?;
        let video = run.video(files.frames.clone())?;
        let first = read(&files.annotations[0])?;
        let resized = first.map.resize_opencv(video.input);
        let (classes, pixels) = LabelSet::of(&resized, &first.palette);
        let opened = Self {
            labels: classes.soft_labels(&pixels, video.input, video.grid),
            name,
            video,
            files,
            first,
            classes,
            read,
        };
        opened.require_size(&opened.first, 0)?;
        Ok(opened)
    }

    /// The mask of a frame.
    pub fn mask(&self, index: usize) -> Result<LabelMap, EvalError> {
        let mask = (self.read)(&self.files.annotations[index])?;
        self.require_size(&mask, index)?;
        Ok(mask.map)
    }

    fn require_size(&self, mask: &Mask, index: usize) -> Result<(), EvalError> {
        if mask.map.size == self.video.original {
            return Ok(());
        }
        Err(EvalError::Size {
            path: self.files.annotations[index].clone(),
            found: mask.map.size,
            expected: self.video.original,
            reference: self.video.frames[0].clone(),
        })
    }

    /// Propagates frame 0's mask through the video. `restore` takes the largest labels at the encoder's
    /// input size back to the annotation's; `score(index, setting, prediction)` gets every frame in order.
    /// The observer sees the first setting's predictions.
    pub fn follow(
        &self,
        run: &Run<'_>,
        observer: &mut dyn Observer,
        restore: impl Fn(LabelMap, Size) -> LabelMap,
        mut score: impl FnMut(usize, usize, &LabelMap) -> Result<(), EvalError>,
    ) -> Result<(), EvalError> {
        let Video {
            frames,
            original,
            input,
            grid,
        } = &self.video;
        let classes = self.classes.ids.len();
        run.propagate(
            &self.video,
            &self.labels,
            classes,
            |index, setting, soft| {
                let hard = self.classes.hard_labels(soft, *grid, *input);
                let prediction = restore(hard, *original);
                score(index, setting, &prediction)?;
                if setting == 0 {
                    observer.frame_done(&FrameDone {
                        sequence: self.name,
                        index,
                        frames: frames.len(),
                        path: &frames[index],
                        prediction: Prediction::Labels(&prediction),
                    });
                }
                Ok(())
            },
        )
    }
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
