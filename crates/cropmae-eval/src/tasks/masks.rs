//! What the two tasks with a mask for every frame share: DAVIS and VIP.

use std::path::{Path, PathBuf};

use crate::catalogue::{SequenceFiles, read_list};
use crate::error::{EvalError, Size};
use crate::frames::{list_files, require_pairs};
use crate::labels::{LabelMap, LabelSet, Mask};
use crate::observer::{FrameDone, Observer, Prediction};
use crate::protocol::{Run, Video, require_frames};

/// Where a data set with a mask for every frame keeps its files. The second text of a pair says what should
/// be there.
pub(crate) struct Layout {
    /// The list of sequences.
    pub list: (&'static str, &'static str),
    /// The folder of folders of frames; what one of them holds.
    pub frames: (&'static str, &'static str),
    /// The folder of folders of masks.
    pub annotations: (&'static str, &'static str),
    /// What one of them holds.
    pub masks: &'static str,
}

impl Layout {
    /// The official list in the data set at `root`, and its names.
    pub fn list(&self, root: &Path) -> Result<(PathBuf, Vec<String>), EvalError> {
        let list = root.join(self.list.0);
        let names = read_list(&list, self.list.1)?;
        let annotations = root.join(self.annotations.0);
        if !annotations.is_dir() {
            return Err(EvalError::Layout {
                path: annotations,
                expected: self.annotations.1.into(),
            });
        }
        Ok((list, names))
    }

    /// Files of a sequence.
    pub fn files(&self, root: &Path, name: &str) -> Result<SequenceFiles, EvalError> {
        let folder = root.join(self.frames.0).join(name);
        let masks = root.join(self.annotations.0).join(name);
        Ok(SequenceFiles {
            frames: list_files(&folder, &["jpg", "jpeg", "png"], self.frames.1)?,
            annotations: list_files(&masks, &["png"], self.masks)?,
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
