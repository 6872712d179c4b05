//! Tests the messages for wrong inputs, which contain the op, the tensor, what was found and what was expected.

use candle_core::{DType, Device, Result, Tensor};
use cropmae_kernels::{
    Backend, Compute, Dropout, Norm, Policy, attention_block, cross_attention, dropout, layer_norm,
    linear, masked_pixel_loss, mlp, mlp_block, patch_embed, pixel_loss, residual_layer_norm,
    self_attention,
};

use crate::support::{BACKENDS, tensor, var};

#[track_caller]
fn refused(call: impl Fn() -> Result<Tensor>, words: &[&str]) {
    for backend in BACKENDS {
        refused_by(backend, &call, words);
    }
}

#[track_caller]
fn refused_by(backend: Backend, call: impl Fn() -> Result<Tensor>, words: &[&str]) {
    let Err(error) = backend.with(call) else {
        panic!("{backend:?} accepts what should say {words:?}");
    };
    let message = error.to_string();
    let first_line = message.lines().next().unwrap_or_default();
    for word in words {
        assert!(
            first_line.contains(word),
            "{backend:?}: {first_line:?} does not say {word:?}"
        );
    }
}

#[test]
fn wrong_shapes_and_types() {
    let (x, row, square) = (tensor(&[2, 3, 4], 1), tensor(&[4], 2), tensor(&[4, 4], 3));
    let long = tensor(&[5], 4);
    let wide = x.to_dtype(DType::F64).unwrap();
    refused(
        || layer_norm(&x, &long, &row, 1e-6),
        &["layer_norm", "weight", "[5]", "[4]"],
    );
    refused_by(
        Backend::Cpu,
        || layer_norm(&wide, &row, &row, 1e-6),
        &["layer_norm", "x", "F64", "f32"],
    );
    refused(
        || linear(&x, &square, &long, Compute::F32),
        &["linear", "weight", "[4, 4]", "[5, 4]"],
    );
    refused(
        || residual_layer_norm(&x, &row, &row, &row, 1e-6, None),
        &["residual_layer_norm", "residual", "[2, 3, 4]"],
    );
    refused(
        || {
            mlp(
                &x,
                (&square, &row),
                (&square, &square),
                None,
                Policy::default(),
            )
        },
        &["mlp", "fc2.bias"],
    );
    refused(
        || {
            mlp(
                &x,
                (&square, &long),
                (&square, &row),
                None,
                Policy::default(),
            )
        },
        &["mlp", "fc1.weight"],
    );
    refused(
        || self_attention(&x, 1, None, Compute::F32),
        &["self_attention", "3 D"],
    );
    refused(
        || self_attention(&tensor(&[1, 2, 12], 1), 3, None, Compute::F32),
        &["width 4", "3 heads"],
    );
    refused(
        || cross_attention(&x, &x, 2, None, Compute::F32),
        &["cross_attention", "kv", "[2, 3, 8]"],
    );
    refused(
        || pixel_loss(&x, &tensor(&[2, 3, 5], 1), true),
        &["pixel_loss", "target"],
    );
    let norm = Norm {
        weight: &row,
        bias: &row,
        eps: 1e-6,
    };
    refused(
        || {
            attention_block(
                &x,
                norm,
                (&square, &row),
                (&square, &row),
                2,
                Policy::default(),
            )
        },
        &["attention_block", "qkv has 4", "expected 12"],
    );
    refused(
        || {
            mlp_block(
                &x,
                Norm {
                    weight: &long,
                    ..norm
                },
                (&square, &row),
                (&square, &row),
                Policy::default(),
            )
        },
        &["mlp_block", "norm.weight", "[5]"],
    );
    let bad = Dropout { p: 1.0, key: 0 };
    refused(|| dropout(&x, bad), &["dropout", "p is 1"]);
    refused(
        || {
            dropout(
                &x,
                Dropout {
                    p: f32::NAN,
                    key: 0,
                },
            )
        },
        &["dropout", "NaN"],
    );
    refused(
        || self_attention(&tensor(&[1, 2, 12], 1), 2, Some(bad), Compute::F32),
        &["self_attention", "p is 1"],
    );
}

#[test]
fn ids_out_of_range() {
    let (patches, weight) = (tensor(&[1, 4, 12], 1), tensor(&[5, 3, 2, 2], 2));
    let (bias, pos) = (tensor(&[5], 3), tensor(&[4, 5], 4));
    let ids = Tensor::new(&[[0u32, 4]], &Device::Cpu).unwrap();
    refused(
        || patch_embed(&patches, Some(&ids), &weight, &bias, &pos, Compute::F32),
        &["patch_embed", "ids_keep", "4", "below 4"],
    );
    let pred = tensor(&[1, 2, 12], 5);
    refused(
        || masked_pixel_loss(&pred, &patches, &ids, true),
        &["masked_pixel_loss", "ids", "below 4"],
    );
    let signed = ids.to_dtype(DType::I64).unwrap();
    refused(
        || masked_pixel_loss(&pred, &patches, &signed, true),
        &["ids", "I64", "u32"],
    );
    refused(
        || {
            patch_embed(
                &patches,
                None,
                &tensor(&[5, 3, 2, 3], 2),
                &bias,
                &pos,
                Compute::F32,
            )
        },
        &["patch_embed", "weight", "[5, 3, 2, 3]"],
    );
}

#[test]
fn types_that_differ() {
    let (x, row) = (tensor(&[2, 3, 4], 1), tensor(&[4], 2));
    let wide = x.to_dtype(DType::F64).unwrap();
    refused_by(
        Backend::Reference,
        || layer_norm(&wide, &row, &row, 1e-6),
        &["layer_norm", "weight", "F32", "f64"],
    );
    let half = x.to_dtype(DType::F16).unwrap();
    refused(|| layer_norm(&half, &row, &row, 1e-6), &["x", "F16", "f32"]);
}

/// Gradients that would be lost cause an error when the op is applied.
#[test]
fn lost_gradients() {
    let (x, row, square) = (tensor(&[1, 3, 4], 1), tensor(&[4], 2), tensor(&[4, 4], 3));
    let scaled = (var(&[4, 4], 4).as_tensor() * 2.0).unwrap();
    let scaled_row = (var(&[4], 4).as_tensor() * 2.0).unwrap();
    refused(
        || {
            mlp(
                &x,
                (&square, &row),
                (&scaled, &row),
                None,
                Policy::default(),
            )
        },
        &["mlp", "fc2.weight", "another op", "detach"],
    );
    refused(
        || residual_layer_norm(&x, &x, &row, &scaled_row, 1e-6, None),
        &["residual_layer_norm", "bias", "another op"],
    );
    let (weight, bias, pos) = (
        tensor(&[5, 3, 1, 1], 2),
        tensor(&[5], 3),
        tensor(&[2, 5], 4),
    );
    let pixels = var(&[1, 2, 3], 1);
    refused(
        || patch_embed(pixels.as_tensor(), None, &weight, &bias, &pos, Compute::F32),
        &["patches", "detach"],
    );
    refused(
        || pixel_loss(&pixels, &pixels, false),
        &["target", "detach"],
    );
}
