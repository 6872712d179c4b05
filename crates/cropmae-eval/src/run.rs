//! Evaluates the sequences of a benchmark, from the files of frames to scores.
//!
//! Each frame is decoded and encoded, its labels are propagated and turned into a prediction, and the prediction is
//! written, scored and passed to the observer. [`Run::score`] loops over the sequences, [`Frames`] iterates over the
//! frames of a sequence with their features, [`Tracks`] propagates labels with each setting, and a [`Truth`] turns them
//! into the predictions and scores of a benchmark.

mod frames;
mod settings;
mod tracks;
mod truth;
mod video;

use std::path::Path;

use cropmae_config::Protocol;
use cropmae_model::FeatureExtractor;

use crate::error::EvalError;
use crate::observer::{FrameDone, Observer, SequenceInfo};
use crate::report::{Failure, Scores};
use crate::sequence::Sequence;

pub use frames::{Batch, Encoded, Encoding, Frame, Frames};
pub use tracks::{SoftLabels, Tracks};
pub use truth::Truth;
pub use video::{Sizes, Video, input_size};

/// An encoder with the settings and the sequences of its evaluation.
pub struct Run<'a> {
    pub(crate) encoder: &'a dyn FeatureExtractor,
    /// The settings, at least one. All values that features depend on are the same in all of them.
    pub(crate) settings: &'a [Protocol],
    observer: &'a mut dyn Observer,
    /// The output folder for the predictions of the first setting.
    pub(crate) out: Option<&'a Path>,
    /// The sequences that have not been evaluated yet.
    pub(crate) sequences: Vec<Sequence>,
    pub(crate) sizes: Sizes,
    /// The sequences that could not be evaluated.
    pub(crate) failures: Vec<Failure>,
}

impl<'a> Run<'a> {
    /// Creates a run without sequences and without an output folder.
    pub(crate) fn new(
        encoder: &'a dyn FeatureExtractor,
        settings: &'a [Protocol],
        observer: &'a mut dyn Observer,
    ) -> Result<Self, EvalError> {
        let first = settings::validate(settings)?;
        Ok(Self {
            sizes: Sizes::new(first.frame_size, encoder.patch_size()),
            encoder,
            settings,
            observer,
            out: None,
            sequences: Vec::new(),
            failures: Vec::new(),
        })
    }

    /// Evaluates every sequence and combines the scores for each setting.
    ///
    /// `sum_up` receives the scores of the sequences that did not fail, in the order of the list.
    ///
    /// # Errors
    /// Returns [`EvalError::NothingEvaluated`] if every sequence failed.
    pub fn score<T: Truth, S: Scores>(
        &mut self,
        sum_up: impl Fn(Vec<T::Score>) -> S,
    ) -> Result<Vec<Box<dyn Scores>>, EvalError> {
        let sequences = std::mem::take(&mut self.sequences);
        let listed = sequences.len();
        let mut settings: Vec<Vec<T::Score>> = self.settings.iter().map(|_| Vec::new()).collect();
        let mut first_error = None;
        for (index, Sequence { name, files }) in sequences.into_iter().enumerate() {
            self.observer.sequence_started(&SequenceInfo {
                name: &name,
                index,
                sequences: listed,
            });
            let truth = files.and_then(|files| T::open(&name, files, &mut self.sizes));
            let outcome = truth.and_then(|truth| self.follow(truth));
            let told = outcome.as_ref().map(|_| ());
            self.observer.sequence_finished(&name, told);
            match outcome {
                Ok(scores) => {
                    for (sequences, score) in settings.iter_mut().zip(scores) {
                        sequences.push(score);
                    }
                }
                Err(error) => {
                    self.failures.push(Failure {
                        sequence: name.clone(),
                        message: error.to_string(),
                    });
                    first_error.get_or_insert((name, error));
                }
            }
        }
        match first_error {
            Some((sequence, error)) if self.failures.len() == listed => {
                Err(EvalError::NothingEvaluated {
                    listed,
                    sequence,
                    source: Box::new(error),
                })
            }
            _ => {
                let sums = settings.into_iter().map(sum_up);
                Ok(sums.map(|scores| Box::new(scores) as _).collect())
            }
        }
    }

    /// Evaluates the frames of one sequence and returns its scores with each setting.
    fn follow<T: Truth>(&mut self, mut truth: T) -> Result<Vec<T::Score>, EvalError> {
        let first = &self.settings[0];
        let encoding = Encoding::new(self.encoder, first);
        let video = truth.video().clone();
        let mut scores: Vec<T::Score> = self.settings.iter().map(|_| truth.new_score()).collect();
        let mut tracks = Tracks::new(self.settings, truth.first_labels());
        for frame in Frames::of(&video, encoding) {
            let frame = frame?;
            truth.advance(frame.index)?;
            for (setting, soft) in tracks.advance(&frame.features)?.into_iter().enumerate() {
                let prediction = truth.predict(soft);
                if let Some(out) = self.out {
                    truth.write(out, frame.index, &prediction)?;
                }
                truth.score(frame.index, &prediction, &mut scores[setting])?;
                if setting == 0 {
                    self.observer.frame_done(&FrameDone {
                        sequence: &video.name,
                        index: frame.index,
                        frames: video.frames.len(),
                        picture: &frame.picture,
                        prediction: truth.show(frame.index, &prediction),
                    });
                }
            }
        }
        if let Some(out) = self.out {
            truth.write_whole(out, &scores[0])?;
        }
        Ok(scores)
    }
}
