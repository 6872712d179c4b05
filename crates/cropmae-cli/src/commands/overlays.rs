//! Watches an evaluation: the bar, and predictions drawn on the frames.

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use cropmae_eval::{EvalError, FrameDone, Observer, Prediction, SequenceInfo};
use cropmae_report::{draw_joints, gif, overlay};
use image::{GrayImage, RgbImage, imageops};
use indicatif::ProgressBar;

use crate::console::Console;

/// Width of an animated preview, in pixels.
const PREVIEW_WIDTH: u32 = 320;
/// Frames per second of a preview.
const PREVIEW_FPS: u32 = 8;

/// Frames of a preview: of longer videos only every second, fourth, .. frame is shown, so that neither memory
/// nor the file grows with the video.
const PREVIEW_FRAMES: usize = 120;

/// The observer of an evaluation in a terminal.
pub struct Overlays {
    label: String,
    bar: ProgressBar,
    folder: Option<PathBuf>,
    preview: Vec<RgbImage>,
    /// Frames of the video for one of the preview.
    stride: usize,
    outcome: Result<()>,
}

impl Overlays {
    /// Draws into `folder`, if any.
    pub fn new(label: &str, folder: Option<PathBuf>, console: &Console) -> Self {
        Self {
            label: label.to_owned(),
            bar: console.bar(0, "frames"),
            folder,
            preview: Vec::new(),
            stride: 1,
            outcome: Ok(()),
        }
    }

    /// Takes the bar away and tells whether everything could be drawn.
    pub fn finish(self) -> Result<()> {
        self.bar.finish_and_clear();
        self.outcome
    }

    /// Writes `folder/SEQUENCE/FRAME.jpg`.
    fn draw(&mut self, folder: &Path, frame: &FrameDone<'_>) -> Result<()> {
        let drawn = match frame.prediction {
            Prediction::Labels(map) => {
                let (width, height) = (map.size.width as u32, map.size.height as u32);
                let labels = GrayImage::from_raw(width, height, map.ids.clone())
                    .context("a label map without pixels")?;
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
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let path = folder.join(format!("{:05}.jpg", frame.index));
        drawn
            .save(&path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        self.keep(drawn, frame.index);
        Ok(())
    }

    /// Adds a frame to the preview, and thins it out when it is full.
    fn keep(&mut self, drawn: RgbImage, index: usize) {
        if self.preview.len() == PREVIEW_FRAMES {
            let mut place = 0;
            self.preview.retain(|_| {
                place += 1;
                place % 2 == 1
            });
            self.stride *= 2;
        }
        if !index.is_multiple_of(self.stride) {
            return;
        }
        let height = drawn.height() * PREVIEW_WIDTH / drawn.width();
        let small = resized(&drawn, PREVIEW_WIDTH, height.max(1));
        self.preview.push(small.into_owned());
    }

    /// Writes `folder/SEQUENCE.gif`.
    fn animate(&mut self, folder: &Path, sequence: &str) -> Result<()> {
        let path = folder.join(format!("{sequence}.gif"));
        let bytes = gif(&self.preview, PREVIEW_FPS)?;
        std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Keeps the first thing that went wrong: a missing picture must not cost the scores.
    fn note(&mut self, outcome: Result<()>) {
        if self.outcome.is_ok() {
            self.outcome = outcome;
        }
    }
}

impl Observer for Overlays {
    fn sequence_started(&mut self, sequence: &SequenceInfo<'_>) {
        self.preview.clear();
        self.stride = 1;
        let (index, total) = (sequence.index + 1, sequence.sequences);
        self.bar
            .set_prefix(format!("{} {index}/{total} {}", self.label, sequence.name));
        self.bar.set_length(0);
        self.bar.reset();
    }

    fn frame_done(&mut self, frame: &FrameDone<'_>) {
        self.bar.set_length(frame.frames as u64);
        self.bar.set_position(frame.index as u64 + 1);
        if let Some(folder) = self.folder.clone() {
            let outcome = self.draw(&folder, frame);
            self.note(outcome);
        }
    }

    fn sequence_finished(&mut self, sequence: &str, outcome: Result<(), &EvalError>) {
        match outcome {
            Ok(()) => {
                if let Some(folder) = self.folder.clone()
                    && !self.preview.is_empty()
                {
                    let outcome = self.animate(&folder, sequence);
                    self.note(outcome);
                }
            }
            Err(error) => tracing::warn!("{}: {sequence} is not scored: {error}", self.label),
        }
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
        let mut overlays = Overlays {
            label: String::new(),
            bar: ProgressBar::hidden(),
            folder: None,
            preview: Vec::new(),
            stride: 1,
            outcome: Ok(()),
        };
        for index in 0..500 {
            let colour = [(index % 256) as u8, (index / 256) as u8, 0];
            overlays.keep(RgbImage::from_pixel(320, 1, Rgb(colour)), index);
        }
        let kept: Vec<usize> = overlays
            .preview
            .iter()
            .map(|frame| frame.get_pixel(0, 0).0)
            .map(|[low, high, _]| usize::from(low) + 256 * usize::from(high))
            .collect();
        assert_eq!(kept, (0..500).step_by(8).collect::<Vec<_>>());
    }
}
