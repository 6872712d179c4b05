//! The entrance: one task, one data set, one encoder -> a report, or one a setting of the protocol.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use cropmae_config::{ComputeDtype, Protocol};
use cropmae_model::FeatureExtractor;
use serde::{Deserialize, Serialize};

use crate::benchmarks::{davis, jhmdb, vip};
use crate::catalogue::{Catalogue, SequenceFiles};
use crate::error::EvalError;
use crate::observer::{Observer, SequenceInfo};
use crate::protocol::{Run, validate};
use crate::report::{Failure, TaskReport};
use crate::scores::{DavisScores, JhmdbScores, Scores, VipScores};

/// A label-propagation task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// DAVIS-2017 val, semi-supervised: object masks, J&F.
    Davis,
    /// VIP val: human parts, mean IoU.
    Vip,
    /// JHMDB split 1: 15 joints, PCK.
    Jhmdb,
}

impl Task {
    /// The reference's protocol for this task.
    pub fn protocol(self) -> Protocol {
        match self {
            Self::Davis => Protocol::davis(),
            Self::Vip => Protocol::vip(),
            Self::Jhmdb => Protocol::jhmdb(),
        }
    }

    /// `davis`, `vip` or `jhmdb`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Davis => "davis",
            Self::Vip => "vip",
            Self::Jhmdb => "jhmdb",
        }
    }
}

/// What to evaluate and where to write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EvalOptions {
    /// Folder for predictions, `report.json` and tables; nothing is written when absent.
    pub out: Option<PathBuf>,
    /// A file of sequence names, one a line, that takes the place of the data set's own list.
    pub list: Option<PathBuf>,
    /// Evaluate only these sequences of the list.
    pub sequences: Option<Vec<String>>,
    /// Evaluate no more than so many of them, the first.
    pub max_sequences: Option<usize>,
    /// SHA-256 of the encoder's weight file, for the report.
    pub weights_sha256: Option<String>,
}

/// Evaluates `encoder` on the data set at `data_dir`, in its official layout.
///
/// A sequence that cannot be evaluated does not stop the others: it is left out of the scores and named in
/// [`TaskReport::failures`].
///
/// # Errors
/// [`EvalError::Protocol`] for an impossible protocol; [`EvalError::Layout`] if the data set is not there;
/// [`EvalError::UnknownSequence`]; [`EvalError::NothingEvaluated`] if every sequence failed;
/// [`EvalError::Write`] if the report cannot be written.
pub fn evaluate(
    task: Task,
    data_dir: &Path,
    encoder: &dyn FeatureExtractor,
    protocol: &Protocol,
    options: &EvalOptions,
    observer: &mut dyn Observer,
) -> Result<TaskReport, EvalError> {
    let settings = std::slice::from_ref(protocol);
    let report = sweep(task, data_dir, encoder, settings, options, observer)?.swap_remove(0);
    if let Some(out) = &options.out {
        report.write(out)?;
    }
    Ok(report)
}

/// Evaluates `encoder` under several `settings` of the protocol at once, and reports in their order. Each
/// frame is decoded and encoded once; only what propagates from its features is kept per setting. Nothing
/// is written, and the observer sees the first setting's predictions.
///
/// # Errors
/// As [`evaluate`]; [`EvalError::Protocol`] without a setting, or if the settings disagree on what decides
/// features (`frame_size`, `feature_block`, `l2_normalise`).
pub fn sweep(
    task: Task,
    data_dir: &Path,
    encoder: &dyn FeatureExtractor,
    settings: &[Protocol],
    options: &EvalOptions,
    observer: &mut dyn Observer,
) -> Result<Vec<TaskReport>, EvalError> {
    validate(settings)?;
    let run = Run {
        settings,
        encoder,
        options,
        input_sizes: RefCell::default(),
    };
    let catalogue = Catalogue::open(task, data_dir, options)?;
    let data_fingerprint = catalogue.fingerprint();
    let (scores, failures) = match task {
        Task::Davis => score(&run, &catalogue, observer, davis::evaluate, |sequences| {
            Scores::Davis(DavisScores::of(sequences))
        })?,
        Task::Vip => score(&run, &catalogue, observer, vip::evaluate, |videos| {
            Scores::Vip(VipScores::of(videos))
        })?,
        Task::Jhmdb => score(&run, &catalogue, observer, jhmdb::evaluate, |clips| {
            Scores::Jhmdb(JhmdbScores::of(clips))
        })?,
    };
    let report = |(protocol, scores): (&Protocol, Scores)| TaskReport {
        task,
        encoder: encoder.name(),
        weights_sha256: options.weights_sha256.clone(),
        compute: compute(encoder),
        patch_size: encoder.patch_size(),
        input_sizes: run.input_sizes.borrow().clone(),
        data_fingerprint: data_fingerprint.clone(),
        protocol: protocol.clone(),
        scores,
        failures: failures.clone(),
    };
    Ok(settings.iter().zip(scores).map(report).collect())
}

/// What a report says of the encoder's number type.
pub(crate) fn compute(encoder: &dyn FeatureExtractor) -> ComputeDtype {
    match encoder.compute() {
        cropmae_model::Compute::F32 => ComputeDtype::F32,
        cropmae_model::Compute::Bf16 => ComputeDtype::Bf16,
    }
}

/// Scores of one sequence under each setting.
type EvaluateSequence<T> =
    fn(&Run<'_>, SequenceFiles, &str, &mut dyn Observer) -> Result<Vec<T>, EvalError>;

/// Evaluates all sequences of the catalogue and sums their scores up, for each setting.
fn score<T>(
    run: &Run<'_>,
    catalogue: &Catalogue,
    observer: &mut dyn Observer,
    evaluate: EvaluateSequence<T>,
    sum_up: fn(Vec<T>) -> Scores,
) -> Result<(Vec<Scores>, Vec<Failure>), EvalError> {
    let (sequences, failures) = each_sequence(&catalogue.names, observer, |name, observer| {
        evaluate(run, catalogue.files(name)?, name, observer)
    })?;
    Ok((run.per_setting(sequences).map(sum_up).collect(), failures))
}

/// Evaluates one sequence after another, keeping the results of those that work.
fn each_sequence<T>(
    names: &[String],
    observer: &mut dyn Observer,
    mut evaluate: impl FnMut(&str, &mut dyn Observer) -> Result<T, EvalError>,
) -> Result<(Vec<T>, Vec<Failure>), EvalError> {
    let mut results = Vec::new();
    let mut failures = Vec::new();
    let mut first_error = None;
    for (index, name) in names.iter().enumerate() {
        observer.sequence_started(&SequenceInfo {
            name,
            index,
            sequences: names.len(),
        });
        match evaluate(name, observer) {
            Ok(result) => {
                observer.sequence_finished(name, Ok(()));
                results.push(result);
            }
            Err(error) => {
                observer.sequence_finished(name, Err(&error));
                failures.push(Failure {
                    sequence: name.clone(),
                    message: error.to_string(),
                });
                first_error.get_or_insert((name, error));
            }
        }
    }
    match first_error {
        Some((sequence, error)) if results.is_empty() => Err(EvalError::NothingEvaluated {
            listed: names.len(),
            sequence: sequence.clone(),
            source: Box::new(error),
        }),
        _ => Ok((results, failures)),
    }
}
