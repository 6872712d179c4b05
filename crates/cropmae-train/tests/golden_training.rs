//! AdamW training of a tiny model, update by update, against the CropMAE reference implementation:
//! `fixtures/golden/b_train`, and the same folder of `CROPMAE_SHARED`, which also holds final tensors.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
#![allow(
    clippy::print_stdout,
    reason = "tells what was compared, and what was skipped"
)]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use candle_nn::VarMap;
use cropmae_config::{Experiment, Method, ModelConfig, Seed, Views};
use cropmae_data::Batch;
use cropmae_model::weights::{self, Part, WeightsInfo};
use cropmae_train::{Cursor, Effect, Schedule, Trainer};
use serde_json::Value;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Folders that hold groups of fixtures: the committed one and, where there is one, the shared one.
fn fixture_roots() -> Vec<PathBuf> {
    let mut roots = vec![Path::new(ROOT).join("fixtures/golden")];
    let shared = std::env::var_os("CROPMAE_SHARED")
        .map_or_else(|| Path::new(ROOT).join("../shared"), PathBuf::from)
        .join("fixtures");
    if shared.is_dir() {
        roots.push(shared);
    } else {
        println!("skipped: CROPMAE_SHARED not found at {}", shared.display());
    }
    roots
}

fn json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap()
}

fn tensors(path: &Path) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(path, &Device::Cpu)
        .unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// The experiment behind a case: `shape` is the config in `a_model/meta.json`, `run` the case's own.
fn experiment(shape: &Value, run: &Value, images: usize) -> Experiment {
    let int = |value: &Value| value.as_u64().unwrap() as usize;
    let real = |key: &str| run[key].as_f64().unwrap();
    let mut experiment = Experiment::demo(&[]).unwrap();
    experiment.method = Method::CropMae;
    experiment.seed = Seed(0);
    experiment.data.views = Views::GlobalToLocal;
    experiment.model = ModelConfig {
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
    // A power of two apart, so the rate comes out exact.
    experiment.optim.blr = real("lr") * 256.0 / experiment.effective_batch() as f64;
    assert_eq!(
        experiment.optim.peak_lr(experiment.effective_batch()),
        real("lr")
    );
    experiment
}

fn start_weights(path: &Path, experiment: &Experiment) -> VarMap {
    let (method, model) = (experiment.method, experiment.model.clone());
    let info = WeightsInfo {
        method,
        model,
        provenance: BTreeMap::new(),
    };
    let weights = weights::load_as(path, info, Part::Whole, &Device::Cpu).unwrap();
    weights.into_vars().unwrap()
}

/// `images` (B, 2, 3, H, W) and `noise` (B, N) as the loader would give them.
fn batch(images: &Tensor, noise: &Tensor, patch: usize) -> Batch {
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

fn assert_close(what: &str, found: f64, expected: f64, atol: f64, rtol: f64) {
    let allowed = atol + rtol * expected.abs();
    assert!(
        (found - expected).abs() <= allowed,
        "{what}: found {found}, expected {expected}, allowed {allowed}"
    );
}

/// Whether index `i` of `name` lies in the key part of an attention bias: its gradient is zero in exact
/// arithmetic, so Adam turns rounding noise into steps there.
fn is_key_bias(name: &str, i: usize, len: usize) -> bool {
    (name.ends_with("qkv.bias") || name.ends_with("in_proj_bias"))
        && (len / 3..2 * len / 3).contains(&i)
}

/// Runs one case; gives the worst distance of a loss from the reference's.
fn replay(root: &Path, case: &str) -> f64 {
    let folder = root.join("b_train");
    let (a_model, expected) = (
        root.join("a_model"),
        json(&folder.join(format!("{case}.json"))),
    );
    let stored = tensors(&folder.join(format!("{case}.safetensors")));
    let data = &tensors(&folder.join("data.safetensors"))["batches"];
    let shape = json(&a_model.join("meta.json"))["config"].clone();
    let config = &expected["config"];
    let experiment = experiment(&shape, config, data.dim(1).unwrap());
    let weights = start_weights(&a_model.join("model_tiny64.safetensors"), &experiment);
    let batches_per_epoch = config["batches_per_epoch"].as_u64().unwrap() as usize;
    let mut trainer =
        Trainer::with_weights(&experiment, batches_per_epoch, weights, &Device::Cpu).unwrap();

    let (mut step, mut worst) = (0, 0.0f64);
    for (k, row) in expected["steps"].as_array().unwrap().iter().enumerate() {
        let images = data
            .get(row["batch_index"].as_u64().unwrap() as usize)
            .unwrap();
        let noise = stored["noise"].get(k).unwrap();
        let batch = trainer
            .tensors(batch(&images, &noise, experiment.model.patch_size))
            .unwrap();
        let at = Cursor {
            step,
            epoch: row["epoch"].as_u64().unwrap(),
            batch: row["idx"].as_u64().unwrap() as usize,
        };
        let done = trainer.micro_step(&batch, at, true).unwrap();
        let (loss, reference) = (done.loss.unwrap(), row["loss"].as_f64().unwrap());
        worst = worst.max((loss - reference).abs());
        assert_close(
            &format!("{case}: loss of micro-step {k}"),
            loss,
            reference,
            2e-6,
            0.0,
        );
        let number = |key: &str| row[key].as_f64().unwrap();
        match done.effect {
            Effect::Updated(update) => {
                step += 1;
                assert!(
                    row["updated"].as_bool().unwrap(),
                    "{case}: update at micro-step {k}"
                );
                let lr = number("lr_used_by_this_update");
                assert_close(&format!("{case}: rate at {k}"), update.lr, lr, 0.0, 1e-15);
                let (norm, reference) = (
                    update.read.unwrap().grad_norm,
                    number("global_grad_l2_norm"),
                );
                assert_close(
                    &format!("{case}: gradient norm at {k}"),
                    norm,
                    reference,
                    0.0,
                    1e-4,
                );
            }
            Effect::Accumulated => assert!(!row["updated"].as_bool().unwrap(), "{case}: {k}"),
            Effect::Faulty(fault) => panic!("{case}: {fault:?} at micro-step {k}"),
        }
    }
    assert_eq!(step as f64, config["adamw_step_count"].as_f64().unwrap());
    assert_eq!(step, trainer.optimizer().updates());
    compare_groups(&trainer, &expected["param_groups"]);
    let weights: BTreeMap<String, Tensor> = trainer
        .weights()
        .data()
        .lock()
        .unwrap()
        .iter()
        .map(|(name, var)| (name.clone(), var.as_tensor().clone()))
        .collect();
    compare_sums(case, &weights, &expected["final_weights"]);
    compare_final(case, &weights, &stored);
    compare_moments(case, &trainer, &stored);
    println!(
        "{}: {case}: worst loss difference {worst:.1e}",
        root.display()
    );
    worst
}

fn compare_groups(trainer: &Trainer, groups: &Value) {
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

/// Norms and sums of all weights. The bounds are the sums of what each element may differ by: 1e-6, and
/// 1e-4 for one in a thousand.
fn compare_sums(case: &str, weights: &BTreeMap<String, Tensor>, expected: &Value) {
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

fn compare_final(case: &str, weights: &BTreeMap<String, Tensor>, stored: &HashMap<String, Tensor>) {
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
        "{case}: {loose} of {all} weights off by over 1e-6"
    );
    if all > 0 {
        println!("{case}: {loose} of {all} final weights differ by more than 1e-6");
    }
}

fn compare_moments(case: &str, trainer: &Trainer, stored: &HashMap<String, Tensor>) {
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

#[test]
fn golden_training_runs() {
    for root in fixture_roots() {
        let mut cases = 0;
        for entry in std::fs::read_dir(root.join("b_train")).unwrap() {
            let path = entry.unwrap().path();
            if path
                .extension()
                .is_some_and(|extension| extension == "json")
                && json(&path).get("steps").is_some()
            {
                replay(&root, path.file_stem().unwrap().to_str().unwrap());
                cases += 1;
            }
        }
        assert!(cases > 0, "{}: no cases", root.display());
    }
}

#[test]
fn golden_learning_rates() {
    for root in fixture_roots() {
        let shape = json(&root.join("a_model/meta.json"))["config"].clone();
        let table = json(&root.join("b_train/lr_schedule.json"));
        let rows = table["rows"].as_array().unwrap();
        assert!(!rows.is_empty());
        for row in rows {
            let batches = row["batches_per_epoch"].as_u64().unwrap() as usize;
            let schedule = Schedule::new(&experiment(&shape, row, 2), batches);
            let (epoch, idx) = (row["epoch"].as_f64().unwrap(), row["idx"].as_f64().unwrap());
            let rate = schedule.at(epoch + idx / batches as f64);
            assert_close(
                &format!("{row}"),
                rate,
                row["lr_out"].as_f64().unwrap(),
                0.0,
                1e-15,
            );
        }
    }
}
