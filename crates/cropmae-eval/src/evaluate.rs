//! The entrance: one task, one data set, one encoder -> a report.

use std::path::{Path, PathBuf};

use cropmae_config::Protocol;
use cropmae_model::FeatureExtractor;
use serde::{Deserialize, Serialize};

use crate::error::EvalError;
use crate::observer::{Observer, SequenceInfo};
use crate::protocol::{Run, validate};
use crate::report::{Failure, TaskReport};
use crate::tasks::{davis, jhmdb, vip};

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
    /// Evaluate only these sequences of the data set's list.
    pub sequences: Option<Vec<String>>,
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
    validate(protocol)?;
    let run = Run {
        protocol,
        encoder,
        options,
    };
    let (scores, failures) = match task {
        Task::Davis => davis::evaluate(&run, data_dir, observer)?,
        Task::Vip => vip::evaluate(&run, data_dir, observer)?,
        Task::Jhmdb => jhmdb::evaluate(&run, data_dir, observer)?,
    };
    let report = TaskReport {
        task,
        encoder: encoder.name(),
        patch_size: encoder.patch_size(),
        protocol: protocol.clone(),
        scores,
        failures,
    };
    if let Some(out) = &options.out {
        report.write(out)?;
    }
    Ok(report)
}

/// Evaluates one sequence after another, keeping the results of those that work.
pub(crate) fn each_sequence<T>(
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

/// The listed sequences that were asked for, in the order of the list.
pub(crate) fn select(
    listed: Vec<String>,
    list: &Path,
    wanted: Option<&[String]>,
) -> Result<Vec<String>, EvalError> {
    let Some(wanted) = wanted else {
        return Ok(listed);
    };
    if let Some(name) = wanted.iter().find(|name| !listed.contains(name)) {
        return Err(EvalError::UnknownSequence {
            name: name.clone(),
            list: list.into(),
            known: listed.join(", "),
        });
    }
    Ok(listed
        .into_iter()
        .filter(|name| wanted.contains(name))
        .collect())
}

/// Names of a list file, one a line; a name must be a plain relative path.
pub(crate) fn read_list(path: &Path, expected: &str) -> Result<Vec<String>, EvalError> {
    let text = std::fs::read_to_string(path).map_err(|_| EvalError::Layout {
        path: path.into(),
        expected: expected.into(),
    })?;
    let names: Vec<String> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(String::from)
        .collect();
    // Names become paths below the data set and below the output folder: none may lead out of them.
    let plain = |name: &&String| {
        Path::new(name.as_str())
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_)))
    };
    match names.iter().find(|name| !plain(name)) {
        Some(name) => Err(EvalError::Layout {
            path: path.join(name),
            expected: "a plain sequence name in the list".into(),
        }),
        None if names.is_empty() => Err(EvalError::Layout {
            path: path.into(),
            expected: expected.into(),
        }),
        None => Ok(names),
    }
}
