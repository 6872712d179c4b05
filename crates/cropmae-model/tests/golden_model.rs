//! Group a of the fixtures: activations, predictions, losses and gradients of a tiny model, computed by
//! the reference implementation (PyTorch 2.2.1, fp32). Cases and their sizes are read from the folder.

mod common;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, IndexOp, Tensor, Var};
use candle_nn::{VarBuilder, VarMap};
use common::{assert_close, json, max_abs, tensors, tiny_config, values};
use cropmae_config::{MaskConfig, Method, ModelConfig};
use cropmae_model::weights::{self, Part, WeightsInfo};
use cropmae_model::{Forward, PatchMask, Pretrainer, named_parameters, patchify};
use serde_json::Value;

/// A stored case with the model and inputs it belongs to.
struct Case {
    name: String,
    meta: Value,
    stored: HashMap<String, Tensor>,
    config: ModelConfig,
    vars: VarMap,
    model: Pretrainer,
    views: Vec<Tensor>,
    mask: PatchMask,
}

impl Case {
    fn load(path: &Path) -> Self {
        let folder = path.parent().expect("folder");
        let name = path
            .file_stem()
            .expect("stem")
            .to_string_lossy()
            .into_owned();
        let all_meta = json(&folder.join("meta.json"));
        let meta = all_meta["cases"][&name].clone();
        let stored = tensors(path);
        // A case of another image size brings its own images and position embeddings.
        let imgs = match stored.get("imgs") {
            Some(imgs) => imgs.clone(),
            None => tensors(&folder.join("inputs64.safetensors"))["imgs"].clone(),
        };
        let config = tiny_config(&all_meta, imgs.dim(4).expect("width"));
        let info = WeightsInfo {
            method: Method::CropMae,
            model: tiny_config(&all_meta, 64),
            provenance: BTreeMap::new(),
        };
        let model_file = folder.join("model_tiny64.safetensors");
        let vars = weights::load_as(&model_file, info, Part::Whole, &Device::Cpu)
            .and_then(weights::Weights::into_vars)
            .expect("reference weights");
        for key in ["pos_embed", "decoder_pos_embed"] {
            if let Some(pos) = stored.get(key) {
                let var = Var::from_tensor(pos).expect("var");
                vars.data()
                    .lock()
                    .expect("lock")
                    .insert(key.to_owned(), var);
            }
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

    fn forward(&self) -> Forward {
        let norm_pix = self.meta["norm_pix_loss"].as_bool().expect("norm_pix_loss");
        self.model
            .forward(&self.views, &self.mask, norm_pix, None)
            .expect("forward")
    }
}

/// Every `case*.safetensors` of every fixture folder.
fn case_files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    for root in common::fixture_roots() {
        let folder = root.join("a_model");
        let mut here: Vec<PathBuf> = std::fs::read_dir(&folder)
            .expect("fixtures/golden/a_model is committed")
            .map(|entry| entry.expect("entry").path())
            .filter(|path| {
                let name = path.file_name().expect("name").to_string_lossy();
                name.starts_with("case") && name.ends_with(".safetensors")
            })
            .collect();
        here.sort();
        files.extend(here);
    }
    assert!(!files.is_empty());
    files
}

/// Row-wise argsort of the noise (B, N), smallest first.
fn argsort(noise: &Tensor) -> Vec<u32> {
    let rows: Vec<Vec<f32>> = noise.to_vec2().expect("noise");
    rows.iter()
        .flat_map(|row| {
            let mut ids: Vec<u32> = (0..row.len() as u32).collect();
            ids.sort_by(|&a, &b| row[a as usize].total_cmp(&row[b as usize]));
            ids
        })
        .collect()
}

fn integers(tensor: &Tensor) -> Vec<i64> {
    let wide = tensor.to_dtype(DType::I64).and_then(|t| t.flatten_all());
    wide.and_then(|t| t.to_vec1()).expect("integers")
}

#[test]
fn golden_masks() {
    for file in case_files() {
        let case = Case::load(&file);
        let name = &case.name;
        assert_eq!(
            case.mask.len_keep() as u64,
            case.meta["len_keep"].as_u64().expect("len_keep"),
            "{name}"
        );
        let shuffle: Vec<i64> = argsort(&case.stored["noise"])
            .into_iter()
            .map(i64::from)
            .collect();
        assert_eq!(
            shuffle,
            integers(&case.stored["ids_shuffle"]),
            "{name}: ids_shuffle"
        );
        assert_eq!(
            integers(case.mask.ids_restore()),
            integers(&case.stored["ids_restore"]),
            "{name}: ids_restore"
        );
        assert_eq!(
            values(case.mask.mask()),
            values(&case.stored["mask"]),
            "{name}: mask"
        );
    }
}

#[test]
fn golden_losses_and_predictions() {
    for file in case_files() {
        let case = Case::load(&file);
        let name = &case.name;
        let Forward { loss, pred } = case.forward();
        let loss = f64::from(loss.to_scalar::<f32>().expect("scalar"));
        for (source, expected) in [
            ("fp32", values(&case.stored["loss"])[0]),
            (
                "f64",
                case.meta["loss_f64_arithmetic"].as_f64().expect("loss"),
            ),
        ] {
            assert!(
                (loss - expected).abs() <= 1e-5 * expected,
                "{name}: loss {loss}, {source} reference {expected}"
            );
        }
        let all = case
            .model
            .predict(&case.views, &case.mask)
            .expect("predict");
        assert_close(
            &format!("{name}/pred"),
            &all,
            &case.stored["pred"],
            1e-5,
            1e-4,
        );
        // The training path predicts the removed patches only, in order.
        let removed: Vec<Vec<u32>> = case.mask.ids_removed().to_vec2().expect("ids");
        for (sample, ids) in removed.into_iter().enumerate() {
            let ids = Tensor::new(ids, &Device::Cpu).expect("ids");
            let expected = case.stored["pred"]
                .i(sample)
                .and_then(|p| p.index_select(&ids, 0));
            assert_close(
                &format!("{name}/pred of removed patches"),
                &pred.i(sample).expect("sample"),
                &expected.expect("rows"),
                1e-5,
                1e-4,
            );
        }
    }
}

/// Every activation that the reference's hooks stored, under the reference's names.
fn activations(case: &Case) -> BTreeMap<String, Tensor> {
    let Pretrainer::Siamese(model) = &case.model else {
        panic!("the fixtures are of CropMAE");
    };
    let (encoder, decoder) = (model.encoder(), model.decoder());
    let ends = decoder.ends();
    let mut seen = BTreeMap::new();
    let mut embedded = Vec::new();
    for (view, patches) in case.views.iter().enumerate() {
        let mut keep = |name: String, tensor: &Tensor| {
            seen.insert(format!("act/{name}/view{view}"), tensor.clone());
        };
        let no_pos = Tensor::zeros(
            (case.config.num_patches(), case.config.embed_dim),
            DType::F32,
            &Device::Cpu,
        );
        let unplaced = encoder
            .patch_embed()
            .forward(patches, None, &no_pos.expect("zeros"));
        keep("patch_embed".to_owned(), &unplaced.expect("patch_embed"));
        let mask = (view == 1).then_some(&case.mask);
        let tokens = encoder
            .embed(patches, encoder.pos_embed(), mask)
            .expect("embed");
        let mut x = tokens.clone();
        for (i, block) in encoder.blocks().iter().enumerate() {
            let attention = block.attention(&x).expect("attention");
            keep(format!("blocks.{i}.attn"), &attention);
            let mlp = block.mlp(&(&x + attention).expect("add")).expect("mlp");
            keep(format!("blocks.{i}.mlp"), &mlp);
            x = block.forward(&x).expect("block");
            keep(format!("blocks.{i}"), &x);
        }
        let latent = encoder.encode(&tokens).expect("encode");
        keep("norm".to_owned(), &latent);
        let narrow = ends.embed(&latent).expect("decoder_embed");
        keep("decoder_embed".to_owned(), &narrow);
        embedded.push(narrow);
    }
    let mut x = ends.queries(&embedded[1], &case.mask).expect("queries");
    seen.insert("decoder_input_kv".to_owned(), embedded[0].clone());
    seen.insert("decoder_input_q".to_owned(), x.clone());
    for (i, layer) in decoder.layers().iter().enumerate() {
        let name = |norm: &str| format!("act/decoder_blocks.{i}.{norm}");
        x = layer.cross_attend(&x, &embedded[0], None).expect("norm2");
        seen.insert(name("norm2"), x.clone());
        x = layer.feed_forward(&x, None).expect("norm3");
        seen.insert(name("norm3"), x.clone());
        x = layer.self_attend(&x, None).expect("norm1");
        seen.insert(name("norm1"), x.clone());
    }
    seen.insert("act/decoder_norm".to_owned(), ends.norm(&x).expect("norm"));
    seen.insert(
        "act/decoder_pred".to_owned(),
        ends.pixels(&x).expect("pixels"),
    );
    seen
}

#[test]
fn golden_activations() {
    let mut compared = 0;
    for file in case_files() {
        let case = Case::load(&file);
        let seen = activations(&case);
        for (name, expected) in &case.stored {
            // The 224 px case stores its latents under a name of their own.
            let ours = match name.strip_prefix("latent/") {
                Some(view) => format!("act/norm/{view}"),
                None => name.clone(),
            };
            if ours.starts_with("act/") || ours.starts_with("decoder_input") {
                let found = seen
                    .get(&ours)
                    .unwrap_or_else(|| panic!("{ours} is not computed"));
                assert_close(
                    &format!("{}/{name}", case.name),
                    found,
                    expected,
                    1e-5,
                    1e-4,
                );
                compared += 1;
            }
        }
    }
    assert!(compared > 0, "no case holds activations");
}

#[test]
#[allow(clippy::print_stdout, reason = "the margin is worth knowing")]
fn golden_gradients() {
    let mut worst = (0.0, String::new());
    let mut compared = 0;
    for file in case_files() {
        let case = Case::load(&file);
        let grads = cropmae_kernels::backward(&case.forward().loss).expect("backward");
        let stats = case.meta["grad_stats"].as_object().expect("grad_stats");
        let parameters = named_parameters(&case.vars);
        assert_eq!(parameters.len(), stats.len(), "{}", case.name);
        for (name, var) in parameters {
            let what = format!("{}/grad/{name}", case.name);
            let grad = values(grads.get(&var).unwrap_or_else(|| panic!("{what}: none")));
            assert!(grad.iter().all(|g| g.is_finite()), "{what}");
            let keys = key_bias_rows(&name, grad.len());
            assert!(max_abs(&grad[keys.clone()]) < 1e-7, "{what}: key bias");

            let stat = |key: &str| stats[&name][key].as_f64().expect("number");
            let scale = stat("max_abs");
            let mut close = |what: String, found: f64, expected: f64, slack: f64| {
                let error = (found - expected).abs() / slack;
                assert!(
                    error <= 1e-4,
                    "{what}: found {found}, expected {expected}, {error:e} of {slack}"
                );
                if error > worst.0 {
                    worst = (error, what);
                }
            };
            let l2 = grad.iter().map(|g| g * g).sum::<f64>().sqrt();
            close(format!("{what}: l2"), l2, stat("l2"), stat("l2"));
            close(format!("{what}: max"), max_abs(&grad), scale, scale);
            let Some(expected) = case.stored.get(&format!("grad/{name}")) else {
                continue;
            };
            for (i, (g, e)) in grad.iter().zip(values(expected)).enumerate() {
                if !keys.contains(&i) {
                    close(format!("{what}[{i}]"), *g, e, scale);
                }
            }
            compared += 1;
        }
    }
    assert!(compared > 0, "no case holds gradients");
    println!("worst gradient error relative to its tensor's maximum: {worst:?}");
}

/// The rows of a packed attention bias that belong to the keys; empty for other tensors. A constant
/// added to all keys changes no softmax, so their gradient is zero but for rounding.
fn key_bias_rows(name: &str, len: usize) -> std::ops::Range<usize> {
    if name.ends_with("qkv.bias") || name.ends_with("in_proj_bias") {
        len / 3..2 * len / 3
    } else {
        0..0
    }
}

#[test]
fn golden_len_keep() {
    let Some(path) = common::find("a_model/len_keep.json") else {
        return;
    };
    let table = json(&path);
    let rows = table["rows"].as_array().expect("rows");
    assert!(!rows.is_empty());
    for row in rows {
        let ratio = row["r"].as_f64().expect("r");
        let n = row["L"].as_u64().expect("L") as usize;
        let expected = row["len_keep"].as_u64().expect("len_keep") as usize;
        assert_eq!(
            MaskConfig { ratio }.len_keep(n),
            expected,
            "N = {n}, ratio = {ratio}"
        );
    }
}
