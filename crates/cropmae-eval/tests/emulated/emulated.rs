//! The tests; this module gives them the name of what they run on.

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::Device;
use cropmae_config::{FrameSize, ModelConfig, Protocol, Seed};
use cropmae_eval::{Benchmark, Davis, EvalOptions, Jhmdb, TaskReport, Vip, evaluate};
use cropmae_kernels::{Backend, Emulation};
use cropmae_model::{FeatureExtractor, RawPixels, VitFeatures};
use serde_json::Value;

use crate::dataset::{davis, jhmdb, vip};

/// Returns a protocol for frames of 64x96 pixels.
fn small(task: &dyn Benchmark) -> Protocol {
    Protocol {
        frame_size: FrameSize::Exact {
            height: 64,
            width: 96,
        },
        radius: 4.0,
        context_frames: 3,
        ..task.protocol()
    }
}

/// Evaluates and returns the report and the files that were written, by their relative paths.
fn run(
    task: &dyn Benchmark,
    data: &Path,
    encoder: &dyn FeatureExtractor,
) -> (TaskReport, Vec<(PathBuf, Vec<u8>)>) {
    let out = tempfile::tempdir().unwrap();
    let options = EvalOptions {
        out: Some(out.path().into()),
        ..EvalOptions::default()
    };
    let report = evaluate(task, data, encoder, &small(task), &options, &mut ()).unwrap();
    let mut files = Vec::new();
    collect(out.path(), out.path(), &mut files);
    files.sort();
    (report, files)
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, files);
        } else {
            let name = path.strip_prefix(root).unwrap().to_owned();
            files.push((name, fs::read(path).unwrap()));
        }
    }
}

/// Asserts that the report and all files are those of the CPU, and that kernels have run.
#[track_caller]
fn assert_same(task: &dyn Benchmark, data: &Path, encoder: &dyn FeatureExtractor) {
    let (report, files) = run(task, data, encoder);
    let _before = Emulation::take_work();
    let (emulated, emulated_files) = Backend::Gpu.with(|| run(task, data, encoder));
    assert!(Emulation::take_work().launches > 0);
    assert!(report.failures.is_empty() && files.len() > 2);
    assert_eq!(emulated, report);
    for ((name, found), (expected_name, expected)) in emulated_files.iter().zip(&files) {
        assert_eq!(name, expected_name);
        let same = if name.starts_with("joints") {
            close(&json(found), &json(expected))
        } else {
            found == expected
        };
        assert!(same, "{}", name.display());
    }
    assert_eq!(emulated_files.len(), files.len());
}

fn json(text: &[u8]) -> Value {
    serde_json::from_slice(text).unwrap()
}

/// Returns `true` if all numbers differ by less than a thousandth, which is a thousandth of a pixel for joints.
fn close(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            (a.as_f64().unwrap() - b.as_f64().unwrap()).abs() < 1e-3
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| close(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| close(a, &b[key]))
        }
        _ => a == b,
    }
}

#[test]
fn masks_and_scores_of_davis_are_those_of_the_cpu() {
    let folder = tempfile::tempdir().unwrap();
    davis(folder.path(), &["one", "two"], 6);
    assert_same(&Davis, folder.path(), &RawPixels::new(8, 2).unwrap());
}

#[test]
fn masks_and_scores_of_vip_are_those_of_the_cpu() {
    let folder = tempfile::tempdir().unwrap();
    vip(folder.path(), &["videos1"], 4);
    assert_same(&Vip, folder.path(), &RawPixels::new(8, 2).unwrap());
}

#[test]
fn masks_and_scores_with_a_vision_transformer_are_those_of_the_cpu() {
    let folder = tempfile::tempdir().unwrap();
    davis(folder.path(), &["one"], 5);
    let config = ModelConfig {
        image_size: 32,
        patch_size: 8,
        embed_dim: 24,
        depth: 2,
        num_heads: 2,
        ..ModelConfig::preset("vits16").unwrap()
    };
    let encoder = VitFeatures::random(&config, Seed(3), &Device::Cpu).unwrap();
    assert_same(&Davis, folder.path(), &encoder);
}

#[test]
fn joints_of_jhmdb_are_those_of_the_cpu() {
    let folder = tempfile::tempdir().unwrap();
    jhmdb(folder.path(), &["wave/still"], 4);
    fs::create_dir(folder.path().join("splits")).unwrap();
    fs::write(
        folder.path().join("splits/wave_test_split1.txt"),
        "still.avi 2\n",
    )
    .unwrap();
    assert_same(&Jhmdb, folder.path(), &RawPixels::new(8, 2).unwrap());
}
