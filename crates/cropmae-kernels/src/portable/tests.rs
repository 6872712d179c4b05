use candle_core::{Device, Var};

use super::*;
use crate::{AdamWStep, Compute, Policy, backward};

const DROPOUT: Option<Dropout> = Some(Dropout { p: 0.25, key: 7 });

fn var(shape: &[usize], seed: usize) -> Var {
    let len: usize = shape.iter().product();
    let value = |i| ((i * 37 + seed * 11) % 101) as f32 / 50.5 - 1.0;
    let data: Vec<f32> = (0..len).map(value).collect();
    Var::from_vec(data, shape, &Device::Cpu).unwrap()
}

fn assert_close(found: &Tensor, expected: &Tensor, what: &str) {
    let flat = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let (found, expected) = (flat(found), flat(expected));
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1e-2f32, |max, v| max.max(v.abs()));
    for (i, (f, e)) in found.iter().zip(&expected).enumerate() {
        assert!(
            (f - e).abs() <= 2e-5 * scale,
            "{what}[{i}]: {f}, expected {e}"
        );
    }
}

/// Same values and same gradients of all `vars`.
fn same(
    what: &str,
    vars: &[&Var],
    fused: impl Fn() -> Result<Tensor>,
    composed: impl Fn() -> Result<Tensor>,
) {
    let (fused, composed) = (fused().unwrap(), composed().unwrap());
    assert_close(&composed, &fused, what);
    let weights = var(fused.dims(), 5);
    let grads = |y: &Tensor| {
        backward(
            &(y * weights.as_detached_tensor())
                .unwrap()
                .sum_all()
                .unwrap(),
        )
    };
    let (fused, composed) = (grads(&fused).unwrap(), grads(&composed).unwrap());
    for (i, var) in vars.iter().enumerate() {
        let (f, c) = (fused.get(var).unwrap(), composed.get(var).unwrap());
        assert_close(c, f, &format!("{what}: gradient {i}"));
    }
}

#[test]
fn layers_agree_with_the_fused_ops() {
    let (x, r) = (var(&[2, 5, 12], 1), var(&[2, 5, 12], 2));
    let (g, b) = (var(&[12], 3), var(&[12], 4));
    let (w1, b1, w2, b2) = (
        var(&[24, 12], 6),
        var(&[24], 7),
        var(&[12, 24], 8),
        var(&[12], 9),
    );
    let norm = Norm {
        weight: &g,
        bias: &b,
        eps: 1e-6,
    };
    same(
        "layer_norm",
        &[&x, &g, &b],
        || crate::layer_norm(&x, &g, &b, 1e-6),
        || layer_norm(&x, &g, &b, 1e-6),
    );
    same(
        "residual_layer_norm",
        &[&x, &r, &g, &b],
        || crate::residual_layer_norm(&x, &r, &g, &b, 1e-6, DROPOUT),
        || residual_layer_norm(&x, &r, (&g, &b), 1e-6, DROPOUT),
    );
    same(
        "mlp",
        &[&x, &w1, &b1, &w2, &b2],
        || crate::mlp(&x, (&w1, &b1), (&w2, &b2), DROPOUT, Policy::default()),
        || mlp(&x, (&w1, &b1), (&w2, &b2), DROPOUT),
    );
    same(
        "mlp_block",
        &[&x, &g, &b, &w1, &b1, &w2, &b2],
        || crate::mlp_block(&x, norm, (&w1, &b1), (&w2, &b2), Policy::default()),
        || mlp_block(&x, norm, (&w1, &b1), (&w2, &b2)),
    );
}

#[test]
fn attention_agrees_with_the_fused_ops() {
    let (q, kv, x) = (
        var(&[2, 3, 12], 1),
        var(&[2, 5, 24], 2),
        var(&[2, 5, 12], 3),
    );
    let (g, b) = (var(&[12], 3), var(&[12], 4));
    let (wq, bq, wp, bp) = (
        var(&[36, 12], 5),
        var(&[36], 6),
        var(&[12, 12], 7),
        var(&[12], 8),
    );
    let norm = Norm {
        weight: &g,
        bias: &b,
        eps: 1e-6,
    };
    same(
        "cross_attention",
        &[&q, &kv],
        || crate::cross_attention(&q, &kv, 3, DROPOUT, Compute::F32),
        || cross_attention(&q, &kv, 3, DROPOUT),
    );
    same(
        "attention_block",
        &[&x, &g, &b, &wq, &wp, &bp],
        || crate::attention_block(&x, norm, (&wq, &bq), (&wp, &bp), 3, Policy::default()),
        || attention_block(&x, norm, (&wq, &bq), (&wp, &bp), 3),
    );
}

#[test]
fn both_ends_of_the_model_agree_with_the_fused_ops() {
    let patches = var(&[2, 4, 12], 1).as_detached_tensor();
    let ids = Tensor::new(&[[2u32, 0], [1, 3]], &Device::Cpu).unwrap();
    let (w, b) = (var(&[8, 3, 2, 2], 2), var(&[8], 3));
    let pos = var(&[4, 8], 4).as_detached_tensor();
    for ids in [None, Some(&ids)] {
        same(
            "patch_embed",
            &[&w, &b],
            || crate::patch_embed(&patches, ids, &w, &b, &pos, Compute::F32),
            || patch_embed(&patches, ids, &w, &b, &pos),
        );
    }
    let pred = var(&[2, 2, 12], 5);
    for norm_pix in [false, true] {
        same(
            "pixel_loss",
            &[&pred],
            || crate::masked_pixel_loss(&pred, &patches, &ids, norm_pix),
            || pixel_loss(&pred, &patches, Some(&ids), norm_pix),
        );
    }
}

#[test]
fn updates_agree_with_the_fused_ops() {
    let grad = var(&[3, 4], 1).as_detached_tensor();
    let step = AdamWStep {
        lr: 1e-2,
        beta1: 0.9,
        beta2: 0.95,
        eps: 1e-8,
        weight_decay: 0.05,
        step: 3,
        grad_scale: 0.5,
    };
    let state = || {
        [
            var(&[3, 4], 2),
            var(&[3, 4], 3),
            var(&[3, 4], 4)
                .sqr()
                .map(|v| Var::from_tensor(&v))
                .unwrap()
                .unwrap(),
        ]
    };
    let ([p, m, v], [q, n, w]) = (state(), state());
    crate::adamw(&p, &grad, &m, &v, &step).unwrap();
    adamw(&AdamWUpdate {
        param: &q,
        grad: &grad,
        exp_avg: &n,
        exp_avg_sq: &w,
        step,
    })
    .unwrap();
    for (what, found, expected) in [
        ("param", &q, &p),
        ("exp_avg", &n, &m),
        ("exp_avg_sq", &w, &v),
    ] {
        assert_close(found, expected, what);
    }
    let norm = crate::grad_norm(&[&grad]).unwrap();
    assert!((square_sum(&grad).unwrap().sqrt() / norm - 1.0).abs() < 1e-6);
}
