//! Checks whether a run folder contains a run of this experiment.

use std::path::Path;

use cropmae_config::Experiment;
use serde_json::Value;

use crate::TrainError;

/// The keys that may change between two sessions of a run, because they do not change the result of any update.
///
/// `docs/src/training.md` lists them.
const FREE_KEYS: [&str; 8] = [
    "about",
    "data.max_bad_fraction",
    "data.prefetch_batches",
    "train.max_steps",
    "train.log_every_steps",
    "train.recompute_blocks",
    "checkpoint",
    "eval",
];

/// Returns an error unless `found`, the experiment of the run in `dir`, computes the same as `experiment`.
pub(super) fn same_experiment(
    dir: &Path,
    found: &Value,
    experiment: &Experiment,
) -> Result<(), TrainError> {
    let expected = serde_json::to_value(experiment).unwrap_or_default();
    // A run of an older version lacks newer keys, which then have their defaults.
    let completed = serde_json::from_value::<Experiment>(found.clone())
        .and_then(serde_json::to_value)
        .unwrap_or_else(|_| found.clone());
    match first_difference("", &completed, &expected) {
        None => Ok(()),
        Some((key, found, expected)) => Err(TrainError::OtherExperiment {
            dir: dir.to_owned(),
            key,
            found,
            expected,
        }),
    }
}

/// Returns the first key, in the order of the names, whose values differ, and both values as text.
fn first_difference(
    key: &str,
    found: &Value,
    expected: &Value,
) -> Option<(String, String, String)> {
    if found == expected || FREE_KEYS.contains(&key) {
        return None;
    }
    let (Value::Object(left), Value::Object(right)) = (found, expected) else {
        let text = |value: &Value| match value {
            Value::Null => "nothing".to_owned(),
            value => value.to_string(),
        };
        return Some((key.to_owned(), text(found), text(expected)));
    };
    let names: std::collections::BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    names.into_iter().find_map(|name| {
        let path = if key.is_empty() {
            name.clone()
        } else {
            format!("{key}.{name}")
        };
        let value = |object: &serde_json::Map<String, Value>| {
            object.get(name).cloned().unwrap_or(Value::Null)
        };
        first_difference(&path, &value(left), &value(right))
    })
}

#[cfg(test)]
mod tests {
    use super::FREE_KEYS;

    #[test]
    fn the_documentation_lists_every_key_that_may_change() {
        let page = include_str!("../../../../docs/src/training.md");
        let (_, section) = page.split_once("### Keys that may change").unwrap();
        let (section, _) = section.split_once("\n#").unwrap();
        let listed: Vec<&str> = section
            .lines()
            .filter_map(|line| line.strip_prefix("- `")?.split('`').next())
            .collect();
        assert_eq!(listed, FREE_KEYS);
    }
}
