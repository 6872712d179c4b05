//! Group a of the fixtures: activations, predictions, losses and gradients of a tiny model, computed by
//! the reference implementation (PyTorch 2.2.1, fp32). The folder tells the cases and their sizes.

use std::collections::BTreeMap;
use std::path::Path;

use crate::common::group_a::{Case, argsort, cases};
use crate::common::{assert_close, json, max_abs, roots_of, values};
use candle_core::{DType, Device, IndexOp, Tensor};
use cropmae_config::MaskConfig;
use cropmae_model::{Forward, Pretrainer, named_parameters};

fn integers(tensor: &Tensor) -> Vec<i64> {
    let wide = tensor.to_dtype(DType::I64).and_then(|t| t.flatten_all());
    wide.and_then(|t| t.to_vec1()).expect("integers")
}

#[test]
fn golden_masks() {
    crate::KERNELS.make_default();
    roots_of("a_model").iter().for_each(|root| masks(root));
}

fn masks(root: &Path) {
    for case in cases(root) {
        let (name, mask) = (&case.name, &case.mask);
        let len_keep = case.meta["len_keep"].as_u64().expect("len_keep");
        assert_eq!(mask.len_keep() as u64, len_keep, "{name}");
        let (batch, n, keep) = (mask.batch(), mask.num_patches(), mask.len_keep());
        let mut removed = vec![0.0; batch * n];
        for (sample, ids) in (0..).zip(mask.ids_removed().to_vec2::<u32>().expect("ids")) {
            for id in ids {
                removed[sample * n + id as usize] = 1.0;
            }
        }
        assert_eq!(removed, values(&case.stored["mask"]), "{name}");
        let shuffle = argsort(&case.stored["noise"]);
        if let Some(expected) = case.stored.get("ids_shuffle") {
            let shuffle: Vec<i64> = shuffle.iter().map(|&id| id.into()).collect();
            assert_eq!(shuffle, integers(expected), "{name}: ids_shuffle");
        }
        // The places of the visible tokens. All others get the mask token.
        let Some(expected) = case.stored.get("ids_restore") else {
            continue;
        };
        let ranks = Tensor::arange(0f32, 1.0 + keep as f32, &Device::Cpu)
            .and_then(|ranks| {
                ranks
                    .reshape((1, 1 + keep, 1))?
                    .broadcast_as((batch, 1 + keep, 1))
            })
            .expect("ranks");
        let token = Tensor::full(1.0 + keep as f32, (1, 1, 1), &Device::Cpu).expect("token");
        let restored = mask
            .restore(&ranks.contiguous().expect("ranks"), &token)
            .expect("restore");
        let restored = restored.narrow(1, 1, n).expect("patches");
        let expected: Vec<i64> = integers(expected)
            .into_iter()
            .map(|rank| 1 + rank.min(keep as i64))
            .collect();
        assert_eq!(integers(&restored), expected, "{name}: ids_restore");
    }
}

#[test]
fn golden_losses_and_predictions() {
    crate::KERNELS.make_default();
    roots_of("a_model")
        .iter()
        .for_each(|root| predictions(root));
}

fn predictions(root: &Path) {
    for case in cases(root) {
        let name = &case.name;
        let Forward { loss, pred } = case.forward();
        let loss = f64::from(loss.to_scalar::<f32>().expect("scalar"));
        let expected = [
            ("fp32", Some(values(&case.stored["loss"])[0])),
            ("f64", case.meta["loss_f64_arithmetic"].as_f64()),
        ];
        for (source, expected) in expected {
            let Some(expected) = expected else {
                continue;
            };
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
        // In training, only the removed patches are predicted, in order.
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

/// Computes every activation that the hooks of the reference stored, under the reference's names.
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
    crate::KERNELS.make_default();
    let compared: usize = roots_of("a_model")
        .iter()
        .map(|root| all_activations(root))
        .sum();
    assert!(compared > 0, "no case holds activations");
}

/// Compares all stored activations and returns their number.
fn all_activations(root: &Path) -> usize {
    let mut compared = 0;
    for case in cases(root) {
        let seen = activations(&case);
        for (name, expected) in &case.stored {
            // The case with 224 x 224 pixels stores its latents under another name.
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
    compared
}

#[test]
#[allow(clippy::print_stdout, reason = "the margins are worth knowing")]
fn golden_gradients() {
    crate::KERNELS.make_default();
    let mut worst = (0.0, String::new());
    for root in roots_of("a_model") {
        for case in cases(&root) {
            let found = gradients(&case);
            println!("{}: {:.1e} in {}", case.name, found.0, found.1);
            if found.0 > worst.0 {
                worst = found;
            }
        }
    }
    println!("worst gradient error relative to its tensor's maximum: {worst:?}");
}

/// Compares the gradient of every parameter with its stored statistics and, if there is one, with the stored tensor.
/// Returns the largest error relative to the maximum of its tensor.
fn gradients(case: &Case) -> (f64, String) {
    let grads = cropmae_kernels::backward(&case.forward().loss).expect("backward");
    let stats = case.meta["grad_stats"].as_object().expect("grad_stats");
    let parameters = named_parameters(&case.vars);
    assert_eq!(parameters.len(), stats.len(), "{}", case.name);
    let mut worst = (0.0, String::new());
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
        let (sum, n) = (grad.iter().sum(), grad.len() as f64);
        close(format!("{what}: sum"), sum, stat("sum"), n * scale);
        let Some(expected) = case.stored.get(&format!("grad/{name}")) else {
            continue;
        };
        for (i, (g, e)) in grad.iter().zip(values(expected)).enumerate() {
            if !keys.contains(&i) {
                close(format!("{what}[{i}]"), *g, e, scale);
            }
        }
    }
    worst
}

#[test]
fn golden_cases_may_have_any_name_and_their_own_weights() {
    crate::KERNELS.make_default();
    let root = &roots_of("a_model")[0];
    let (from, elsewhere) = (root.join("a_model"), tempfile::tempdir().expect("folder"));
    let to = elsewhere.path().join("a_model");
    std::fs::create_dir(&to).expect("folder");
    let mut meta = json(&from.join("meta.json"));
    let copy = |from: &Path, name: &str| std::fs::copy(from, to.join(name)).expect("copy");
    copy(
        &crate::common::initial_weights(root, "a_model"),
        "init.safetensors",
    );
    copy(&from.join("inputs64.safetensors"), "pictures.safetensors");
    for (i, case) in cases(root).iter().enumerate() {
        let name = format!("other-{i}");
        copy(
            &from.join(format!("{}.safetensors", case.name)),
            &format!("{name}.safetensors"),
        );
        meta["cases"][&name] = case.meta.clone();
    }
    std::fs::write(to.join("meta.json"), meta.to_string()).expect("meta");
    masks(elsewhere.path());
    predictions(elsewhere.path());
    assert!(all_activations(elsewhere.path()) > 0);
    let found = cases(elsewhere.path());
    assert_eq!(found.len(), cases(root).len());
    found.iter().for_each(|case| drop(gradients(case)));
}

/// Returns the rows of a packed attention bias that belong to the keys, or an empty range for other tensors. A constant
/// that is added to all keys does not change the softmax, so the gradient of these rows is zero up to rounding.
fn key_bias_rows(name: &str, len: usize) -> std::ops::Range<usize> {
    if name.ends_with("qkv.bias") || name.ends_with("in_proj_bias") {
        len / 3..2 * len / 3
    } else {
        0..0
    }
}

#[test]
fn golden_len_keep() {
    crate::KERNELS.make_default();
    for path in crate::common::all("a_model/len_keep.json") {
        let table = json(&path);
        let rows = table["rows"].as_array().expect("rows");
        assert!(!rows.is_empty());
        for row in rows {
            let ratio = row["r"].as_f64().expect("r");
            let n = row["L"].as_u64().expect("L") as usize;
            let expected = row["len_keep"].as_u64().expect("len_keep") as usize;
            let found = MaskConfig { ratio }.len_keep(n);
            assert_eq!(found, expected, "N = {n}, ratio = {ratio}");
        }
    }
}
