//! Group a of the fixtures: a tiny model, and cases of masks, predictions, losses, activations and
//! gradients. The folder tells the names, sizes and counts.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, IndexOp, Tensor, Var};
use candle_nn::{VarBuilder, VarMap};
use cropmae_config::{MaskConfig, Method, ModelConfig};
use cropmae_model::weights::{self, Part, WeightsInfo};
use cropmae_model::{Forward, PatchMask, Pretrainer, patchify, pos_embed};
use serde_json::Value;

use super::{config_of_weights, initial_weights, json, tensor_files, tensors, tiny_config};

/// A stored case with its model and inputs.
pub struct Case {
    pub name: String,
    pub meta: Value,
    pub stored: HashMap<String, Tensor>,
    pub config: ModelConfig,
    pub vars: VarMap,
    pub model: Pretrainer,
    pub views: Vec<Tensor>,
    pub mask: PatchMask,
}

/// Loads every case of `root`, that is every file with noise and predictions.
pub fn cases(root: &Path) -> Vec<Case> {
    let folder = root.join("a_model");
    let is_case = |names: &[String]| ["noise", "pred"].iter().all(|&key| has(names, key));
    let cases: Vec<Case> = tensor_files(&folder, is_case)
        .iter()
        .map(|path| Case::load(root, path))
        .collect();
    assert!(!cases.is_empty(), "{}: no cases", folder.display());
    cases
}

fn has(names: &[String], key: &str) -> bool {
    names.iter().any(|name| name == key)
}

/// Returns images (B, 2, 3, H, W) for a case with noise (B, N) that does not store any.
fn images(folder: &Path, noise: &Tensor, patch: usize) -> Tensor {
    let of_inputs = |names: &[String]| has(names, "imgs") && !has(names, "noise");
    let (batch, n) = noise.dims2().expect("(B, N)");
    let fits = |path: PathBuf| {
        let imgs = tensors(&path)["imgs"].clone();
        let cells = imgs.dim(3).ok()? / patch * (imgs.dim(4).ok()? / patch);
        (imgs.dim(0).ok()? == batch && cells == n).then_some(imgs)
    };
    tensor_files(folder, of_inputs)
        .into_iter()
        .find_map(fits)
        .unwrap_or_else(|| panic!("{}: no imgs for {batch} x {n} patches", folder.display()))
}

impl Case {
    fn load(root: &Path, path: &Path) -> Self {
        let folder = path.parent().expect("folder");
        let stem = path.file_stem().expect("stem");
        let name = stem.to_string_lossy().into_owned();
        let all_meta = json(&folder.join("meta.json"));
        let meta = all_meta["cases"][&name].clone();
        assert!(meta.is_object(), "{}: not in meta.json", path.display());
        let stored = tensors(path);
        let weights = initial_weights(root, "a_model");
        let small = config_of_weights(&weights, &all_meta);
        let imgs = match stored.get("imgs") {
            Some(imgs) => imgs.clone(),
            None => images(folder, &stored["noise"], small.patch_size),
        };
        let config = tiny_config(&all_meta, imgs.dim(4).expect("width"));
        let info = WeightsInfo {
            method: Some(Method::CropMae),
            model: small.clone(),
            provenance: BTreeMap::new(),
        };
        let vars = weights::load_as(&weights, info, Part::Whole, &Device::Cpu)
            .and_then(weights::Weights::into_vars)
            .expect("reference weights");
        // A case with another image size has other position embeddings, which are stored or computed by the formula.
        for (key, dim) in [
            ("pos_embed", config.embed_dim),
            ("decoder_pos_embed", config.decoder_embed_dim),
        ] {
            let pos = match stored.get(key) {
                Some(pos) => pos.clone(),
                None if config.image_size == small.image_size => continue,
                None => pos_embed::sin_cos(dim, config.grid(), &Device::Cpu).expect("sin_cos"),
            };
            let var = Var::from_tensor(&pos).expect("var");
            let mut vars = vars.data().lock().expect("lock");
            vars.insert(key.to_owned(), var);
        }
        let vb = VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu);
        let model = Pretrainer::new(Method::CropMae, &config, vb).expect("model");
        let views = [0, 1].map(|view| {
            let images = imgs.i((.., view)).expect("view");
            patchify(&images, config.patch_size).expect("patches").0
        });
        let (batch, n) = stored["noise"].dims2().expect("(B, N)");
        let ratio = meta["mask_ratio"].as_f64().expect("mask_ratio");
        let mask = PatchMask::new(
            &argsort(&stored["noise"]),
            batch,
            n,
            MaskConfig { ratio }.len_keep(n),
            &Device::Cpu,
        )
        .expect("mask");
        Self {
            name,
            meta,
            stored,
            config,
            vars,
            model,
            views: views.to_vec(),
            mask,
        }
    }

    pub fn forward(&self) -> Forward {
        let norm_pix = self.meta["norm_pix_loss"].as_bool().expect("norm_pix_loss");
        self.model
            .forward(&self.views, &self.mask, norm_pix, None)
            .expect("forward")
    }
}

/// Returns the row-wise argsort of the noise (B, N), smallest first.
pub fn argsort(noise: &Tensor) -> Vec<u32> {
    let rows: Vec<Vec<f32>> = noise.to_vec2().expect("noise");
    rows.iter()
        .flat_map(|row| {
            let mut ids: Vec<u32> = (0..row.len() as u32).collect();
            ids.sort_by(|&a, &b| row[a as usize].total_cmp(&row[b as usize]));
            ids
        })
        .collect()
}
