//! One video, start to end, under one or several settings of the protocol.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cropmae_config::{FrameSize, Protocol};
use cropmae_model::FeatureExtractor;

use crate::encode::{Encoding, for_each_frame};
use crate::error::EvalError;
use crate::evaluate::EvalOptions;
use crate::frames::read_size;
use crate::propagation::{Grid, VideoPropagation};
use crate::size::Size;

/// What every sequence of an evaluation shares.
pub(crate) struct Run<'a> {
    /// At least one; they agree on everything that decides features.
    pub settings: &'a [Protocol],
    pub encoder: &'a dyn FeatureExtractor,
    pub options: &'a EvalOptions,
    /// Sequences begun so far, by the size of the encoder's input.
    pub input_sizes: RefCell<BTreeMap<String, usize>>,
}

/// A video's frames and the sizes they have.
pub(crate) struct Video {
    pub frames: Vec<PathBuf>,
    /// Size of the files.
    pub original: Size,
    /// Size of the encoder's input.
    pub input: Size,
    /// Cells of the input.
    pub grid: Grid,
}

impl Run<'_> {
    /// Where predictions go: nowhere while several settings are compared.
    pub fn predictions(&self) -> Option<&Path> {
        self.options
            .out
            .as_deref()
            .filter(|_| self.settings.len() == 1)
    }

    /// Scores by setting, of scores by sequence.
    pub fn per_setting<T>(&self, sequences: Vec<Vec<T>>) -> impl Iterator<Item = Vec<T>> {
        let mut settings: Vec<Vec<T>> = self.settings.iter().map(|_| Vec::new()).collect();
        for sequence in sequences {
            for (scores, score) in settings.iter_mut().zip(sequence) {
                scores.push(score);
            }
        }
        settings.into_iter()
    }

    /// Measures a video's first frame and settles the sizes; the other frames are checked when decoded.
    pub fn video(&self, frames: Vec<PathBuf>) -> Result<Video, EvalError> {
        let original = read_size(&frames[0])?;
        let patch_size = self.encoder.patch_size();
        let input = input_size(self.settings[0].frame_size, original, patch_size)?;
        let mut sizes = self.input_sizes.borrow_mut();
        *sizes.entry(input.to_string()).or_default() += 1;
        Ok(Video {
            frames,
            original,
            input,
            grid: Grid::of(input, patch_size),
        })
    }

    /// Propagates frame 0's soft labels (h*w, L) through the video; `on_frame(index, setting, labels)` gets
    /// every frame's in order under every setting, frame 0's included. A frame is encoded once.
    pub fn propagate(
        &self,
        video: &Video,
        first_labels: &[f32],
        classes: usize,
        mut on_frame: impl FnMut(usize, usize, &[f32]) -> Result<(), EvalError>,
    ) -> Result<(), EvalError> {
        let encoding = Encoding {
            encoder: self.encoder,
            size: video.input,
            block: self.settings[0].feature_block,
            l2_normalise: self.settings[0].l2_normalise,
        };
        let mut propagations: Vec<VideoPropagation> = Vec::with_capacity(self.settings.len());
        for_each_frame(
            &video.frames,
            video.original,
            encoding,
            |index, features| {
                let features = Arc::new(features);
                for (setting, protocol) in self.settings.iter().enumerate() {
                    let features = Arc::clone(&features);
                    match propagations.get_mut(setting) {
                        Some(propagation) => {
                            on_frame(index, setting, propagation.advance(features))?
                        }
                        None => {
                            let labels = first_labels.to_vec();
                            let new = VideoPropagation::new(protocol, features, labels, classes);
                            on_frame(index, setting, new.first_labels())?;
                            propagations.push(new);
                        }
                    }
                }
                Ok(())
            },
        )
    }
}

/// Size of the encoder's input for frames of `original` size.
///
/// Sides that are not multiples of the patch size, which no published protocol and patch size has, go to
/// the nearest multiple: 480x880 becomes 476x882 with patches of 14.
///
/// # Errors
/// [`EvalError::Protocol`] when the rule leaves a side without pixels.
pub fn input_size(
    frame_size: FrameSize,
    original: Size,
    patch_size: usize,
) -> Result<Size, EvalError> {
    let (height, width) = frame_size.resolve(original.height, original.width);
    let nearest = |side: usize| ((side + patch_size / 2) / patch_size).max(1) * patch_size;
    if height == 0 || width == 0 {
        return Err(EvalError::Protocol {
            field: "frame_size",
            found: format!("{height}x{width} for frames of {original}"),
            expected: "both sides above 0: the frames are too elongated for this rule",
        });
    }
    Ok(Size {
        height: nearest(height),
        width: nearest(width),
    })
}

/// Refuses a protocol that cannot be run.
///
/// # Errors
/// [`EvalError::Protocol`] for the first value out of range.
pub(crate) fn validate(settings: &[Protocol]) -> Result<(), EvalError> {
    let features = |p: &Protocol| (p.frame_size, p.feature_block, p.l2_normalise);
    let alike = |pair: &[Protocol]| features(&pair[0]) == features(&pair[1]);
    if settings.is_empty() || !settings.windows(2).all(alike) {
        return Err(EvalError::Protocol {
            field: "settings",
            found: settings.len().to_string(),
            expected: "at least one, alike in frame_size, feature_block and l2_normalise",
        });
    }
    settings.iter().try_for_each(validate_one)
}

fn validate_one(protocol: &Protocol) -> Result<(), EvalError> {
    let sides = match protocol.frame_size {
        FrameSize::Exact { height, width } => height.min(width),
        FrameSize::LongerSide(side) => side,
    };
    let positive = |value: f64| value.is_finite() && value > 0.0;
    let checks = [
        ("frame_size", sides.to_string(), sides > 0, "sides above 0"),
        (
            "top_k",
            protocol.top_k.to_string(),
            protocol.top_k > 0,
            "at least 1",
        ),
        (
            "radius",
            protocol.radius.to_string(),
            positive(protocol.radius),
            "above 0",
        ),
        (
            "temperature",
            protocol.temperature.to_string(),
            positive(protocol.temperature),
            "above 0",
        ),
    ];
    let sources = protocol.context_frames + protocol.long_term_frames.len();
    let checks = checks.into_iter().chain([
        (
            "context_frames",
            "0 without a long-term frame".into(),
            sources > 0,
            "a frame to take labels from",
        ),
        (
            "feature_block",
            "0".into(),
            protocol.feature_block != Some(0),
            "a block, from 1",
        ),
    ]);
    for (field, found, holds, expected) in checks {
        if !holds {
            return Err(EvalError::Protocol {
                field,
                found,
                expected,
            });
        }
    }
    Ok(())
}

/// Refuses a video with fewer than `needed` frames.
///
/// # Errors
/// [`EvalError::TooShort`], naming the folder.
pub(crate) fn require_frames(
    folder: &Path,
    frames: &[PathBuf],
    needed: usize,
    reason: &'static str,
) -> Result<(), EvalError> {
    if frames.len() >= needed {
        return Ok(());
    }
    Err(EvalError::TooShort {
        path: folder.into(),
        found: frames.len(),
        needed,
        reason,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_sizes_are_multiples_of_the_patch() {
        let original = Size {
            height: 480,
            width: 854,
        };
        let size = |frame_size, patch| input_size(frame_size, original, patch).unwrap().to_string();
        let davis = Protocol::davis().frame_size;
        assert_eq!(size(davis, 16), "480x880");
        assert_eq!(size(davis, 8), "480x880");
        assert_eq!(size(davis, 14), "476x882");
        assert_eq!(size(Protocol::vip().frame_size, 16), "448x880");
        let strip = Size {
            height: 20,
            width: 854,
        };
        assert!(input_size(Protocol::vip().frame_size, strip, 16).is_err());
    }

    #[test]
    fn impossible_protocols_are_refused() {
        let validate = |protocol: &Protocol| super::validate(std::slice::from_ref(protocol));
        assert!(validate(&Protocol::davis()).is_ok());
        let mut protocol = Protocol::vip();
        protocol.temperature = 0.0;
        let error = validate(&protocol).unwrap_err().to_string();
        assert_eq!(error, "temperature = 0: expected above 0");
        let protocol = Protocol {
            context_frames: 0,
            long_term_frames: vec![],
            ..Protocol::vip()
        };
        assert!(validate(&protocol).is_err());
    }

    #[test]
    fn settings_of_a_sweep_share_features() {
        let (davis, mut other) = (Protocol::davis(), Protocol::davis());
        other.radius = 3.0;
        assert!(validate(&[davis.clone(), other.clone()]).is_ok());
        other.l2_normalise = false;
        assert!(validate(&[davis, other]).is_err());
        assert!(validate(&[]).is_err());
    }
}
