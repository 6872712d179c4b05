//! Compares results with the reference, with the tolerances of the manifest.

use std::collections::{BTreeMap, HashMap, HashSet};

use candle_core::Tensor;
use cropmae_train::Trainer;
use serde_json::Value;

use crate::fixtures::values;

pub fn assert_close(what: &str, found: f64, expected: f64, atol: f64, rtol: f64) {
    let allowed = atol + rtol * expected.abs();
    assert!(
        (found - expected).abs() <= allowed,
        "{what}: found {found}, expected {expected}, allowed {allowed}"
    );
}

/// Returns `true` if index `i` of the tensor `name` is in the key part of an attention bias.
///
/// In exact arithmetic its gradient is zero, so Adam turns rounding errors into steps there.
pub fn is_key_bias(name: &str, i: usize, len: usize) -> bool {
    (name.ends_with("qkv.bias") || name.ends_with("in_proj_bias"))
        && (len / 3..2 * len / 3).contains(&i)
}

pub fn compare_groups(trainer: &Trainer, groups: &Value) {
    for (name, names) in groups.as_object().unwrap() {
        let decayed = !name.starts_with("no_decay");
        let found: HashSet<&str> = trainer
            .optimizer()
            .weight_decays()
            .filter(|&(_, decay)| (decay > 0.0) == decayed)
            .map(|(name, _)| name)
            .collect();
        let expected = names
            .as_array()
            .unwrap()
            .iter()
            .map(|name| name.as_str().unwrap())
            .collect();
        assert_eq!(found, expected, "{name}");
    }
}

/// Compares the norms and sums of all weights.
///
/// Each element may differ by 1e-6, and one in a thousand by 1e-4. The bounds are the sums of these differences.
pub fn compare_sums(case: &str, weights: &BTreeMap<String, Tensor>, expected: &Value) {
    for (name, expected) in expected.as_object().unwrap() {
        let values = values(&weights[name]);
        let len = values.len();
        if (0..len).any(|i| is_key_bias(name, i, len)) {
            continue;
        }
        let n = len as f64;
        let l2 = values
            .iter()
            .map(|&x| f64::from(x).powi(2))
            .sum::<f64>()
            .sqrt();
        let sum: f64 = values.iter().map(|&x| f64::from(x)).sum();
        let outliers = (n * 1e-3).ceil();
        let what = format!("{case}: {name}");
        let atol = (n * 1e-12 + outliers * 1e-8).sqrt();
        assert_close(
            &format!("{what}: l2"),
            l2,
            expected["l2"].as_f64().unwrap(),
            atol,
            0.0,
        );
        let atol = n * 1e-6 + outliers * 1e-4;
        assert_close(
            &format!("{what}: sum"),
            sum,
            expected["sum"].as_f64().unwrap(),
            atol,
            0.0,
        );
    }
}

pub fn compare_final(
    case: &str,
    weights: &BTreeMap<String, Tensor>,
    stored: &HashMap<String, Tensor>,
) {
    let (mut all, mut loose) = (0usize, 0usize);
    for (key, expected) in stored {
        let Some(name) = key.strip_prefix("final/") else {
            continue;
        };
        let (found, expected) = (values(&weights[name]), values(expected));
        assert_eq!(found.len(), expected.len(), "{name}");
        for (i, (found, reference)) in found.iter().zip(&expected).enumerate() {
            if is_key_bias(name, i, expected.len()) {
                continue;
            }
            let what = || format!("{case}: {name}[{i}]: {found}, expected {reference}");
            assert!((found - reference).abs() <= 1e-4, "{}", what());
            all += 1;
            loose += usize::from((found - reference).abs() > 1e-6);
        }
    }
    assert!(
        loose as f64 <= 1e-3 * all as f64,
        "{case}: {loose} of {all} final weights differ by more than 1e-6"
    );
    if all > 0 {
        println!("{case}: {loose} of {all} final weights differ by more than 1e-6");
    }
}

pub fn compare_moments(case: &str, trainer: &Trainer, stored: &HashMap<String, Tensor>) {
    let found: BTreeMap<String, Tensor> = trainer
        .optimizer()
        .state()
        .map(|(name, tensor)| (name, tensor.clone()))
        .collect();
    for (key, expected) in stored {
        if !key.starts_with("exp_avg") {
            continue;
        }
        let name = key.replacen('/', ".", 1);
        let (found, expected) = (values(&found[&name]), values(expected));
        let allowed = 1e-4 * expected.iter().fold(0.0f32, |max, x| max.max(x.abs()));
        for (i, (found, reference)) in found.iter().zip(&expected).enumerate() {
            if !is_key_bias(key, i, expected.len()) {
                assert!(
                    (found - reference).abs() <= allowed,
                    "{case}: {key}[{i}]: {found}, expected {reference} within {allowed}"
                );
            }
        }
    }
}
