//! Every trainable tensor gets a gradient, and a model can overfit a batch.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarBuilder;
use cropmae_config::{Method, ModelConfig, Seed, Stream};
use cropmae_kernels::{AdamWStep, adamw, backward};
use cropmae_model::parameters::frozen;
use cropmae_model::{
    DropoutStream, ModelError, PatchMask, Pretrainer, init_parameters, named_parameters, patchify,
};
use rand::Rng;
use rand::seq::SliceRandom;

const BATCH: usize = 2;

fn config() -> ModelConfig {
    ModelConfig {
        image_size: 32,
        patch_size: 8,
        embed_dim: 32,
        depth: 2,
        num_heads: 4,
        mlp_ratio: 4.0,
        layer_norm_eps: 1e-6,
        decoder_embed_dim: 48,
        decoder_depth: 2,
        decoder_num_heads: 4,
        decoder_dropout: 0.1,
    }
}

fn views(method: Method) -> Vec<Tensor> {
    let config = config();
    let side = config.image_size;
    let count = if method == Method::Mae { 1 } else { 2 };
    (0..count)
        .map(|view| {
            let mut rng = Seed(11).rng(Stream::Views, 0, view);
            let mut pixels = Vec::new();
            // Smooth waves, because patches of photos share structure and those of noise do not.
            for _ in 0..BATCH * 3 {
                let [fy, fx, phase] = std::array::from_fn(|_| rng.random_range(0.0f32..0.4));
                for y in 0..side {
                    pixels.extend(
                        (0..side).map(|x| (fy * y as f32 + fx * x as f32 + 16.0 * phase).sin()),
                    );
                }
            }
            let images = Tensor::from_vec(pixels, (BATCH, 3, side, side), &Device::Cpu);
            let patches = patchify(&images.expect("images"), config.patch_size);
            patches.expect("patches").0
        })
        .collect()
}

fn mask(len_keep: usize) -> PatchMask {
    let n = config().num_patches();
    let shuffled: Vec<u32> = (0..BATCH as u64)
        .flat_map(|sample| {
            let mut ids: Vec<u32> = (0..n as u32).collect();
            ids.shuffle(&mut Seed(11).rng(Stream::Mask, 0, sample));
            ids
        })
        .collect();
    PatchMask::new(&shuffled, BATCH, n, len_keep, &Device::Cpu).expect("mask")
}

fn scalar(loss: &Tensor) -> f32 {
    loss.to_scalar().expect("scalar")
}

#[test]
fn every_trainable_tensor_gets_a_gradient() {
    for method in [Method::CropMae, Method::SiamMae, Method::Mae] {
        let vars = init_parameters(&config(), method, Seed(5), &Device::Cpu).expect("init");
        let vb = VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu);
        let model = Pretrainer::new(method, &config(), vb).expect("model");
        let dropout = DropoutStream::new(config().decoder_dropout, Seed(5), 0, 0);
        let forward = model
            .forward(&views(method), &mask(4), true, dropout)
            .expect("forward");
        let grads = backward(&forward.loss).expect("backward");
        for (name, var) in named_parameters(&vars) {
            let grad = grads
                .get(&var)
                .unwrap_or_else(|| panic!("{method:?}: {name} has no gradient"));
            let grad: Vec<f32> = grad.flatten_all().and_then(|g| g.to_vec1()).expect("f32");
            assert!(grad.iter().all(|g| g.is_finite()), "{method:?}: {name}");
            // Every third of a packed projection must get a gradient, except the bias of the keys, which does not
            // change the softmax.
            let packed = name.contains("qkv") || name.contains("in_proj");
            let parts = if packed { 3 } else { 1 };
            for (i, part) in grad.chunks_exact(grad.len() / parts).enumerate() {
                let key_bias = i == 1 && name.ends_with("bias");
                let learns = part.iter().any(|g| g.abs() > 1e-10);
                assert!(
                    learns || key_bias,
                    "{method:?}: part {i} of {name} is all zero"
                );
            }
        }
        for fixed in ["pos_embed", "decoder_pos_embed"] {
            let data = vars.data().lock().expect("lock");
            assert!(grads.get(&data[fixed]).is_none(), "{fixed} is tracked");
        }
    }
}

#[test]
fn a_model_can_overfit_a_batch() {
    for method in [Method::CropMae, Method::Mae] {
        let vars = init_parameters(&config(), method, Seed(7), &Device::Cpu).expect("init");
        let vb = VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu);
        let model = Pretrainer::new(method, &config(), vb).expect("model");
        let (views, mask) = (views(method), mask(4));
        let zeros = |var: &Var| Var::from_tensor(&var.zeros_like().expect("zeros")).expect("var");
        let state: BTreeMap<String, (Var, Var, Var)> = named_parameters(&vars)
            .into_iter()
            .map(|(name, var)| {
                let moments = (zeros(&var), zeros(&var));
                (name, (var, moments.0, moments.1))
            })
            .collect();
        let loss = || {
            model
                .forward(&views, &mask, false, None)
                .expect("forward")
                .loss
        };
        let first = scalar(&loss());
        for step in 1..=200 {
            let grads = backward(&loss()).expect("backward");
            for (var, exp_avg, exp_avg_sq) in state.values() {
                let update = AdamWStep {
                    lr: 1e-3,
                    beta1: 0.9,
                    beta2: 0.95,
                    eps: 1e-8,
                    weight_decay: 0.0,
                    step,
                };
                let grad = grads.get(var).expect("gradient");
                adamw(var, grad, exp_avg, exp_avg_sq, &update).expect("update");
            }
        }
        let last = scalar(&loss());
        assert!(last < 0.05 * first, "{method:?}: {first} -> {last}");
    }
}

#[test]
fn dropout_changes_a_step_and_repeats_with_its_key() {
    let vars = init_parameters(&config(), Method::CropMae, Seed(5), &Device::Cpu).expect("init");
    let vb = VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu);
    let model = Pretrainer::new(Method::CropMae, &config(), vb).expect("model");
    let loss = |p: f64, step: u64, part: u64| {
        let dropout = DropoutStream::new(p, Seed(1), step, part);
        let forward = model.forward(&views(Method::CropMae), &mask(4), true, dropout);
        scalar(&forward.expect("forward").loss)
    };
    assert_eq!(loss(0.1, 3, 0), loss(0.1, 3, 0));
    assert_ne!(loss(0.1, 3, 0), loss(0.1, 4, 0));
    assert_ne!(loss(0.1, 3, 0), loss(0.1, 3, 1));
    assert_ne!(loss(0.1, 3, 0), loss(0.0, 3, 0));
    assert_eq!(loss(0.0, 3, 0), loss(0.0, 4, 0));
}

#[test]
fn unseen_patches_do_not_matter() {
    let vars = init_parameters(&config(), Method::CropMae, Seed(5), &Device::Cpu).expect("init");
    let model =
        Pretrainer::new(Method::CropMae, &config(), frozen(&vars, &Device::Cpu)).expect("model");
    let views = views(Method::CropMae);
    let mask = mask(4);
    let n = config().num_patches();
    let mut visible = vec![1.0f32; BATCH * n];
    for (sample, ids) in (0..).zip(mask.ids_removed().to_vec2::<u32>().expect("ids")) {
        for id in ids {
            visible[sample * n + id as usize] = 0.0;
        }
    }
    let visible = Tensor::from_vec(visible, (BATCH, n, 1), &Device::Cpu).expect("visible");
    let blanked = [
        views[0].clone(),
        views[1].broadcast_mul(&visible).expect("blank"),
    ];
    let pred = |views: &[Tensor]| -> Vec<f32> {
        let pred = model
            .predict(views, &mask)
            .and_then(|p| Ok(p.flatten_all()?.to_vec1()?));
        pred.expect("predict")
    };
    assert_eq!(pred(&views), pred(&blanked));
    let swapped = [views[1].clone(), views[0].clone()];
    assert_ne!(pred(&views), pred(&swapped));
}

#[test]
fn a_frozen_model_follows_its_variables() {
    let vars = init_parameters(&config(), Method::Mae, Seed(5), &Device::Cpu).expect("init");
    let model =
        Pretrainer::new(Method::Mae, &config(), frozen(&vars, &Device::Cpu)).expect("model");
    let loss = || {
        let forward = model.forward(&views(Method::Mae), &mask(4), false, None);
        forward.expect("forward").loss
    };
    let before = loss();
    assert!(!before.track_op(), "a frozen model must not keep a graph");
    for (name, var) in named_parameters(&vars) {
        if name == "decoder_pred.bias" {
            var.set(&var.ones_like().expect("ones")).expect("set");
        }
    }
    assert_ne!(scalar(&before), scalar(&loss()));
}

#[test]
fn views_are_counted() {
    let vars = init_parameters(&config(), Method::Mae, Seed(5), &Device::Cpu).expect("init");
    let model =
        Pretrainer::new(Method::Mae, &config(), frozen(&vars, &Device::Cpu)).expect("model");
    let error = model.forward(&views(Method::CropMae), &mask(4), true, None);
    assert!(matches!(
        error.expect_err("two views"),
        ModelError::Views {
            found: 2,
            expected: 1
        }
    ));
}
