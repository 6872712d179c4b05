//! Helpers for the golden tests: the locations of fixtures, and comparisons of tensors.
#![allow(
    dead_code,
    reason = "each test binary compiles this file and uses its own part"
)]

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use cropmae_config::ModelConfig;
use cropmae_fixtures::golden_roots;
use cropmae_model::tensor_file::TensorFile;
use serde_json::Value;

pub mod group_a;

/// Returns the path of `file` in every fixture folder that holds it. At least the committed folder does.
pub fn all(file: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = golden_roots()
        .into_iter()
        .map(|root| root.join(file))
        .collect();
    found.retain(|path| path.is_file());
    assert!(!found.is_empty(), "{file} is not among the committed cases");
    found
}

/// Returns the tensor files in `folder` whose names of tensors satisfy `wanted`, in name order.
pub fn tensor_files(folder: &Path, wanted: impl Fn(&[String]) -> bool) -> Vec<PathBuf> {
    let holds = |path: &PathBuf| {
        let file = TensorFile::open(path).expect("a safetensors file");
        wanted(&file.tensors().into_keys().collect::<Vec<_>>())
    };
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "safetensors"))
        .filter(holds)
        .collect();
    files.sort();
    files
}

/// Returns the fixture folders that hold `group`.
pub fn roots_of(group: &str) -> Vec<PathBuf> {
    let mut roots = golden_roots();
    roots.retain(|root| root.join(group).is_dir());
    assert!(!roots.is_empty(), "{group}: some of it is committed");
    roots
}

/// Returns the path of the initial weights of a group of fixtures: its own `init.safetensors`, else the whole model in
/// group a of the same folder, else the committed one.
pub fn initial_weights(root: &Path, group: &str) -> PathBuf {
    let own = root.join(group).join("init.safetensors");
    if own.is_file() {
        return own;
    }
    let is_model = |names: &[String]| names.iter().any(|name| name == "patch_embed.proj.weight");
    let folders = [root.to_owned(), golden_roots().remove(0)].map(|root| root.join("a_model"));
    let present = folders.into_iter().filter(|folder| folder.is_dir());
    present
        .flat_map(|folder| tensor_files(&folder, is_model))
        .next()
        .expect("the committed model")
}

/// Reads the `meta.json` that describes the model of a group: that of the group, else that of group a in the same
/// folder, else the committed one.
pub fn model_meta(root: &Path, group: &str) -> Value {
    let committed = golden_roots().remove(0);
    let a_model = |root: &Path| root.join("a_model/meta.json");
    [
        root.join(group).join("meta.json"),
        a_model(root),
        a_model(&committed),
    ]
    .iter()
    .filter(|path| path.is_file())
    .map(|path| json(path))
    .find(|meta| meta["config"].is_object())
    .expect("the committed model's config")
}

/// Returns the config of `meta` at the image size of the position embedding in the weight file `path`.
pub fn config_of_weights(path: &Path, meta: &Value) -> ModelConfig {
    let tokens = tensors(path)["pos_embed"].dim(1).expect("tokens");
    let patch = meta["config"]["patch_size"].as_u64().expect("patch_size") as usize;
    tiny_config(meta, (tokens - 1).isqrt() * patch)
}

pub fn tensors(path: &Path) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(path, &Device::Cpu)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub fn json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Returns the config of the tiny model in `meta.json` at the given image size.
pub fn tiny_config(meta: &Value, image_size: usize) -> ModelConfig {
    let config = &meta["config"];
    let int = |key: &str| config[key].as_u64().expect(key) as usize;
    ModelConfig {
        image_size,
        patch_size: int("patch_size"),
        embed_dim: int("embed_dim"),
        depth: int("depth"),
        num_heads: int("num_heads"),
        mlp_ratio: config["mlp_ratio"].as_f64().expect("mlp_ratio"),
        layer_norm_eps: 1e-6,
        decoder_embed_dim: int("decoder_embed_dim"),
        decoder_depth: int("decoder_depth"),
        decoder_num_heads: int("decoder_num_heads"),
        decoder_dropout: config["dropout"].as_f64().expect("dropout"),
    }
}

pub fn values(tensor: &Tensor) -> Vec<f64> {
    let flat = tensor.flatten_all().and_then(|t| t.to_vec1::<f32>());
    flat.expect("f32 tensor")
        .into_iter()
        .map(f64::from)
        .collect()
}

pub fn max_abs(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |max, v| v.abs().max(max))
}

/// Asserts `|found - expected| <= atol + rtol·|expected|` for every element.
pub fn assert_close(what: &str, found: &Tensor, expected: &Tensor, atol: f64, rtol: f64) {
    assert_eq!(found.dims(), expected.dims(), "{what}: shape");
    for (i, (a, b)) in values(found).into_iter().zip(values(expected)).enumerate() {
        assert!(
            (a - b).abs() <= atol + rtol * b.abs(),
            "{what}[{i}]: found {a}, expected {b}"
        );
    }
}

/// Returns the parameters in a list of `params.json` or `meta.json` as name -> (shape, trainable).
pub fn listed(parameters: &Value) -> BTreeMap<String, (Vec<usize>, bool)> {
    let rows = parameters.as_array().expect("a list of parameters");
    rows.iter()
        .map(|row| {
            let shape = row["shape"].as_array().expect("shape");
            let shape = shape.iter().map(|d| d.as_u64().expect("int") as usize);
            let name = row["name"].as_str().expect("name").to_owned();
            let trainable = row["requires_grad"].as_bool().expect("requires_grad");
            (name, (shape.collect(), trainable))
        })
        .collect()
}
