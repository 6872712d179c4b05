//! Finds and reads fixture files.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

pub(super) use cropmae_fixtures::{golden as folders, shared};

pub(super) fn json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap()
}

/// Returns the value of a number, or of one of the strings for NaN and the infinities.
pub(super) fn number(value: &Value) -> f64 {
    match value {
        Value::String(text) => text.parse().unwrap(),
        _ => value.as_f64().unwrap(),
    }
}

pub(super) fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

pub(super) fn count(value: &Value) -> usize {
    value.as_u64().unwrap() as usize
}

/// A tensor converted to f64, which is exact for all types in the fixtures.
pub(super) struct Tensor {
    pub shape: Vec<usize>,
    pub values: Vec<f64>,
}

impl Tensor {
    pub fn f32(&self) -> Vec<f32> {
        self.values.iter().map(|&v| v as f32).collect()
    }

    pub fn u8(&self) -> Vec<u8> {
        self.values.iter().map(|&v| v as u8).collect()
    }
}

pub(super) fn tensors(path: &Path) -> BTreeMap<String, Tensor> {
    let bytes = cropmae_fixtures::read(path);
    let file = SafeTensors::deserialize(&bytes).unwrap();
    file.tensors()
        .into_iter()
        .map(|(name, view)| {
            let data = view.data();
            let values: Vec<f64> = match view.dtype() {
                Dtype::F32 => data
                    .as_chunks()
                    .0
                    .iter()
                    .map(|&b| f64::from(f32::from_le_bytes(b)))
                    .collect(),
                Dtype::F64 => data
                    .as_chunks()
                    .0
                    .iter()
                    .map(|&b| f64::from_le_bytes(b))
                    .collect(),
                Dtype::I64 => data
                    .as_chunks()
                    .0
                    .iter()
                    .map(|&b| i64::from_le_bytes(b) as f64)
                    .collect(),
                Dtype::U8 => data.iter().map(|&b| f64::from(b)).collect(),
                other => panic!("{name}: {other:?}"),
            };
            let shape = view.shape().to_vec();
            (name, Tensor { shape, values })
        })
        .collect()
}

/// Asserts `|a - b| <= atol` everywhere and returns the largest difference.
#[track_caller]
pub(super) fn assert_close<A: Into<f64> + Copy>(
    what: &str,
    found: &[A],
    expected: &[f64],
    atol: f64,
) -> f64 {
    assert_eq!(found.len(), expected.len(), "{what}");
    let mut worst = 0.0f64;
    for (index, (&a, &b)) in found.iter().zip(expected).enumerate() {
        let a: f64 = a.into();
        if a.is_nan() && b.is_nan() {
            continue;
        }
        let difference = (a - b).abs();
        assert!(difference <= atol, "{what}[{index}]: {a}, expected {b}");
        worst = worst.max(difference);
    }
    worst
}
