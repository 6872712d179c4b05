//! Compares MAE with another implementation: a checkpoint under the names of MAE, and the predictions, losses and
//! gradients that Hugging Face's `ViTMAEForPreTraining` computes with its weights (`fixtures/mae`).

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::common::group_a::argsort;
use crate::common::{assert_close, max_abs, tensors, values};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use cropmae_config::{MaskConfig, Method};
use cropmae_model::weights::{self, ImportOptions, Imported, Match};
use cropmae_model::{PatchMask, Pretrainer, named_parameters, patchify};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/mae")
}

fn imported() -> Imported {
    let options = ImportOptions {
        num_heads: Some(3),
        decoder_num_heads: Some(4),
        ..ImportOptions::default()
    };
    weights::import(&folder().join("checkpoint.pth"), &options, &Device::Cpu).expect("import")
}

fn mask(noise: &Tensor) -> PatchMask {
    let (batch, n) = noise.dims2().expect("(B, N)");
    let len_keep = MaskConfig { ratio: 0.75 }.len_keep(n);
    PatchMask::new(&argsort(noise), batch, n, len_keep, &Device::Cpu).expect("mask")
}

#[test]
fn golden_mae_checkpoints_are_imported_completely() {
    crate::KERNELS.make_default();
    let imported = imported();
    let info = &imported.weights.info;
    assert_eq!(info.method, Some(Method::Mae));
    let model = &info.model;
    assert_eq!(
        (
            model.image_size,
            model.patch_size,
            model.embed_dim,
            model.depth
        ),
        (48, 8, 24, 2)
    );
    assert_eq!((model.decoder_embed_dim, model.decoder_depth), (16, 2));
    assert!(
        imported.report.left_over.is_empty(),
        "{:?}",
        imported.report.left_over
    );
    let unfilled = |it: &&Match| it.from.is_empty();
    assert_eq!(imported.report.matched.iter().find(unfilled), None);
}

#[test]
fn golden_mae_predictions_losses_and_gradients() {
    crate::KERNELS.make_default();
    let expected: HashMap<String, Tensor> = tensors(&folder().join("expected.safetensors"));
    let imported = imported();
    let config = imported.weights.info.model.clone();
    let vars = imported.weights.into_vars().expect("vars");
    let vb = VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu);
    let model = Pretrainer::new(Method::Mae, &config, vb).expect("model");
    let views = [patchify(&expected["images"], config.patch_size)
        .expect("patches")
        .0];
    let mask = mask(&expected["noise"]);
    let pred = model.predict(&views, &mask).expect("predict");
    for (case, norm_pix) in [("raw", false), ("norm_pix", true)] {
        assert_close(case, &pred, &expected[&format!("{case}.pred")], 1e-5, 1e-4);
        let loss = model
            .forward(&views, &mask, norm_pix, None)
            .expect("forward")
            .loss;
        let (found, wanted) = (
            values(&loss)[0],
            values(&expected[&format!("{case}.loss")])[0],
        );
        assert!(
            (found - wanted).abs() <= 1e-5 * wanted,
            "{case}: loss {found}, expected {wanted}"
        );
        let gradients = cropmae_kernels::backward(&loss).expect("backward");
        let mut compared = 0;
        for (name, var) in named_parameters(&vars) {
            let Some(wanted) = expected.get(&format!("{case}.grad.{name}")) else {
                continue;
            };
            let found = gradients
                .get(&var)
                .unwrap_or_else(|| panic!("{name}: no gradient"));
            let tolerance = 1e-4 * max_abs(&values(wanted)) + 1e-7;
            assert_close(&format!("{case}: {name}"), found, wanted, tolerance, 0.0);
            compared += 1;
        }
        let stored = expected
            .keys()
            .filter(|key| key.starts_with(&format!("{case}.grad.")))
            .count();
        assert_eq!(
            compared, stored,
            "{case}: every stored gradient has a parameter"
        );
    }
}
