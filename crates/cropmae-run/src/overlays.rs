//! Draws predictions on the frames of an evaluation.

use std::borrow::Cow;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use cropmae_eval::{EvalError, FrameDone, Observer, Prediction, SequenceInfo};
use cropmae_report::{draw_joints, gif, overlay};
use image::{GrayImage, RgbImage, imageops};

use crate::error::RunError;
use crate::watch::Watch;

/// The width of an animated preview in pixels.
const PREVIEW_WIDTH: u32 = 320;

/// The number of frames per second of a preview.
const PREVIEW_FPS: u32 = 8;

/// The maximum number of frames of a preview.
///
/// Of longer videos, only every second, fourth, .. frame is shown, so that memory and file size are limited.
const PREVIEW_FRAMES: usize = 120;

/// An observer that draws predictions and forwards all events to a watch.
pub(crate) struct Overlays<'a> {
    folder: Option<PathBuf>,
    watch: &'a mut dyn Watch,
    preview: Preview,
    outcome: Result<(), RunError>,
}

impl<'a> Overlays<'a> {
    /// Creates an observer that draws into `folder`. If it is `None`, nothing is drawn.
    pub(crate) fn new(folder: Option<PathBuf>, watch: &'a mut dyn Watch) -> Self {
        Self {
            folder,
            watch,
            preview: Preview::default(),
            outcome: Ok(()),
        }
    }

    /// Returns the first error, if any.
    pub(crate) fn finish(self) -> Result<(), RunError> {
        self.outcome
    }

    /// Keeps the first error, because the evaluation continues without the picture.
    fn note(&mut self, outcome: Result<(), RunError>) {
        if self.outcome.is_ok() {
            self.outcome = outcome;
        }
    }
}

impl Observer for Overlays<'_> {
    fn sequence_started(&mut self, sequence: &SequenceInfo<'_>) {
        self.preview = Preview::default();
        self.watch.sequence_started(sequence);
    }

    fn frame_done(&mut self, frame: &FrameDone<'_>) {
        if let Some(folder) = &self.folder {
            let drawn = draw(folder, frame);
            let outcome = drawn.map(|drawn| self.preview.add(&drawn, frame.index));
            self.note(outcome);
        }
        self.watch.frame_done(frame);
    }

    fn sequence_finished(&mut self, sequence: &str, outcome: Result<(), &EvalError>) {
        if let (Some(folder), Ok(())) = (&self.folder, outcome) {
            let outcome = self.preview.write(&folder.join(format!("{sequence}.gif")));
            self.note(outcome);
        }
        self.watch.sequence_finished(sequence, outcome);
    }
}

/// Writes `folder/SEQUENCE/FRAME.jpg` and returns the picture.
fn draw(folder: &Path, frame: &FrameDone<'_>) -> Result<RgbImage, RunError> {
    let drawn = match frame.prediction {
        Prediction::Labels(map) => {
            let (width, height) = (map.size.width as u32, map.size.height as u32);
            let labels = GrayImage::from_raw(width, height, map.ids.clone()).ok_or(
                RunError::Incomplete("a label map has fewer pixels than its size"),
            )?;
            overlay(&resized(frame.picture, width, height), &labels)?
        }
        Prediction::Joints {
            predicted,
            annotated,
        } => {
            let annotated = annotated.map(|joint| joint.map(|v| v as f32));
            draw_joints(frame.picture, predicted, Some(&annotated))
        }
    };
    let folder = folder.join(frame.sequence);
    fs::create_dir_all(&folder).map_err(RunError::io("make", &folder))?;
    let path = folder.join(format!("{:05}.jpg", frame.index));
    let mut bytes = Cursor::new(Vec::new());
    drawn
        .write_to(&mut bytes, image::ImageFormat::Jpeg)
        .map_err(RunError::picture("write", &path))?;
    fs::write(&path, bytes.into_inner()).map_err(RunError::io("write", &path))?;
    Ok(drawn)
}

/// The frames of an animated preview.
struct Preview {
    frames: Vec<RgbImage>,
    /// The number of frames of the video for each frame of the preview.
    stride: usize,
}

impl Default for Preview {
    fn default() -> Self {
        Self {
            frames: Vec::new(),
            stride: 1,
        }
    }
}

impl Preview {
    /// Adds frame `index` of the video, and removes every second frame if the preview is full.
    fn add(&mut self, drawn: &RgbImage, index: usize) {
        if self.frames.len() == PREVIEW_FRAMES {
            let mut place = 0;
            self.frames.retain(|_| {
                place += 1;
                place % 2 == 1
            });
            self.stride *= 2;
        }
        if !index.is_multiple_of(self.stride) {
            return;
        }
        let height = drawn.height() * PREVIEW_WIDTH / drawn.width();
        let small = resized(drawn, PREVIEW_WIDTH, height.max(1));
        self.frames.push(small.into_owned());
    }

    /// Writes the animation, if it has any frames.
    fn write(&self, path: &Path) -> Result<(), RunError> {
        if self.frames.is_empty() {
            return Ok(());
        }
        let bytes = gif(&self.frames, PREVIEW_FPS)?;
        cropmae_files::write(path, &bytes).map_err(RunError::io("write", path))
    }
}

fn resized(picture: &RgbImage, width: u32, height: u32) -> Cow<'_, RgbImage> {
    if picture.dimensions() == (width, height) {
        return Cow::Borrowed(picture);
    }
    let filter = imageops::FilterType::Triangle;
    Cow::Owned(imageops::resize(picture, width, height, filter))
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    #[test]
    fn previews_of_long_videos_are_thinned_evenly() {
        let mut preview = Preview::default();
        for index in 0..500 {
            let color = [(index % 256) as u8, (index / 256) as u8, 0];
            preview.add(&RgbImage::from_pixel(320, 1, Rgb(color)), index);
        }
        let kept: Vec<usize> = preview
            .frames
            .iter()
            .map(|frame| frame.get_pixel(0, 0).0)
            .map(|[low, high, _]| usize::from(low) + 256 * usize::from(high))
            .collect();
        assert_eq!(kept, (0..500).step_by(8).collect::<Vec<_>>());
    }
}
