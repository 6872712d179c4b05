//! Finds the golden cases and turns them into experiments and batches.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use candle_nn::VarMap;
use cropmae_config::{Experiment, Method, ModelConfig, Seed, Views};
use cropmae_data::Batch;
use cropmae_model::weights::{self, Part, WeightsInfo};
use serde_json::Value;

pub fn committed() -> PathBuf {
    cropmae_fixtures::committed("golden")
}

/// Returns the first of `names` that is a file below `root` or in the committed fixtures.
pub fn first_file(root: &Path, names: &[&str]) -> PathBuf {
    let roots = [root.to_owned(), committed()];
    let all = roots
        .iter()
        .flat_map(|root| names.iter().map(|name| root.join(name)));
    all.into_iter().find(|path| path.is_file()).unwrap()
}

/// Returns the shape of the model that group b trains, which the config of a case may contain too.
pub fn shape(root: &Path, config: &Value) -> Value {
    if config["embed_dim"].is_u64() {
        return config.clone();
    }
    json(&first_file(
        root,
        &["b_train/meta.json", "a_model/meta.json"],
    ))["config"]
        .clone()
}

pub fn json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap()
}

pub fn tensors(path: &Path) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(path, &Device::Cpu)
        .unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

pub fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// Returns the experiment of a case, from the model config `shape` and the config `run` of the case.
pub fn experiment(shape: &Value, run: &Value, images: usize) -> Experiment {
    let int = |value: &Value| value.as_u64().unwrap() as usize;
    let real = |key: &str| run[key].as_f64().unwrap();
    let mut experiment = Experiment::demo(&[]).unwrap();
    experiment.method = Method::CropMae;
    experiment.seed = Seed(0);
    experiment.data.views = Views::GlobalToLocal;
    experiment.model = ModelConfig {
        layer_norm_eps: 1e-6,
        image_size: int(&shape["img_size"]),
        patch_size: int(&shape["patch_size"]),
        embed_dim: int(&shape["embed_dim"]),
        depth: int(&shape["depth"]),
        num_heads: int(&shape["num_heads"]),
        mlp_ratio: shape["mlp_ratio"].as_f64().unwrap(),
        decoder_embed_dim: int(&shape["decoder_embed_dim"]),
        decoder_depth: int(&shape["decoder_depth"]),
        decoder_num_heads: int(&shape["decoder_num_heads"]),
        decoder_dropout: shape["dropout"].as_f64().unwrap(),
    };
    experiment.mask.ratio = run["mask_ratio"].as_f64().unwrap_or(0.75);
    experiment.loss.norm_pix = run["norm_pix_loss"].as_bool().unwrap_or(false);
    experiment.train.accum_iter = run["accum_iter"].as_u64().unwrap_or(1) as usize;
    experiment.train.batch_size = images;
    experiment.train.epochs = int(&run["epochs"]) as u32;
    experiment.schedule.compat = true;
    experiment.schedule.min_lr = real("min_lr");
    experiment.schedule.warmup_epochs = Some(real("warmup_epochs"));
    if let Some(betas) = run["betas"].as_array() {
        experiment.optim.beta1 = betas[0].as_f64().unwrap();
        experiment.optim.beta2 = betas[1].as_f64().unwrap();
        experiment.optim.eps = real("eps");
        experiment.optim.weight_decay = real("weight_decay");
    }
    experiment.optim.clip_grad_norm = None;
    // The factor is a power of two, so the rate is exact.
    experiment.optim.blr = real("lr") * 256.0 / experiment.effective_batch() as f64;
    assert_eq!(
        experiment.optim.peak_lr(experiment.effective_batch()),
        real("lr")
    );
    experiment
}

pub fn start_weights(path: &Path, experiment: &Experiment) -> VarMap {
    let (method, model) = (experiment.method, experiment.model.clone());
    let info = WeightsInfo {
        method: Some(method),
        model,
        provenance: BTreeMap::new(),
    };
    let weights = weights::load_as(path, info, Part::Whole, &Device::Cpu).unwrap();
    weights.into_vars().unwrap()
}

/// Returns `images` (B, 2, 3, H, W) and `noise` (B, N) in the form that the loader returns.
pub fn batch(images: &Tensor, noise: &Tensor, patch: usize) -> Batch {
    let (b, _, c, h, w) = images.dims5().unwrap();
    let (rows, columns) = (h / patch, w / patch);
    let views = (0..2)
        .map(|view| {
            let pixels = images.narrow(1, view, 1).unwrap();
            let pixels = pixels
                .reshape(&[b, c, rows, patch, columns, patch][..])
                .unwrap();
            values(
                &pixels
                    .permute([0, 2, 4, 3, 5, 1])
                    .unwrap()
                    .contiguous()
                    .unwrap(),
            )
            .into()
        })
        .collect();
    let ids_shuffle = noise
        .to_vec2::<f32>()
        .unwrap()
        .iter()
        .flat_map(|noise| cropmae_data::masks::ids_shuffle(noise))
        .collect();
    Batch {
        size: b,
        views,
        ids_shuffle,
        first_index: 0,
        bad_files: 0,
    }
}
