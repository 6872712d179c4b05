//! Speed of the ops at the sizes of ViT-S/16 training, batch 16: 197 tokens, D 384, 6 heads.
//!
//! "elem" in the throughput stands for floating-point operations of the matrix products, so that each
//! figure can be held against `gemm`, the bare product. Training figures are forward plus backward.
//! `cargo bench -p cropmae-kernels -- FILTER` runs some.
#![allow(
    missing_docs,
    reason = "criterion_group makes an undocumented function"
)]

use std::hint::black_box;
use std::time::Duration;

use candle_core::{Device, Result, Tensor, Var};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use cropmae_kernels::{
    AdamWStep, AdamWUpdate, Compute, Dropout, Gradients, Norm, Policy, adamw_all, attention_block,
    cross_attention, layer_norm, linear, mlp, mlp_block, pixel_loss, residual_layer_norm,
    self_attention,
};

const BATCH: usize = 16;
const TOKENS: usize = 197;
const D: usize = 384;
const HEADS: usize = 6;

fn var(shape: &[usize]) -> Var {
    let len: usize = shape.iter().product();
    let values: Vec<f32> = (0..len)
        .map(|i| ((i * 7919) % 2003) as f32 / 1e4 - 0.1)
        .collect();
    Var::from_vec(values, shape, &Device::Cpu).expect("a variable")
}

fn vars<const N: usize>(shapes: [&[usize]; N]) -> [Var; N] {
    shapes.map(var)
}

/// Times forward and backward of `op`.
fn train(c: &mut Criterion, name: &str, forward_flops: usize, op: impl Fn() -> Result<Tensor>) {
    let mut group = c.benchmark_group("train");
    group.sample_size(10).warm_up_time(Duration::from_secs(1));
    group.throughput(Throughput::Elements(3 * forward_flops as u64));
    let target = op().expect("the op").zeros_like().expect("zeros");
    let mut gradients = Gradients::new();
    group.bench_function(name, |bench| {
        bench.iter(|| {
            let loss = pixel_loss(&op()?, &target, false)?;
            gradients.clear();
            gradients.accumulate(&loss)?;
            loss.to_scalar::<f32>()
        });
    });
    group.finish();
}

fn forward(c: &mut Criterion, name: &str, flops: usize, op: impl Fn() -> Result<Tensor>) {
    let mut group = c.benchmark_group("forward");
    group.sample_size(10).warm_up_time(Duration::from_secs(1));
    group.throughput(Throughput::Elements(flops as u64));
    group.bench_function(name, |bench| {
        bench.iter(|| black_box(op().expect("the op")))
    });
    group.finish();
}

/// Bare products: (rows, summed, columns).
#[allow(unsafe_code, reason = "the gemm crate takes pointers")]
fn gemm_rates(c: &mut Criterion) {
    let rows = BATCH * TOKENS;
    for (m, k, n) in [
        (rows, D, 3 * D),
        (rows, D, 4 * D),
        (rows, 4 * D, D),
        (D, rows, 4 * D),
    ] {
        let (a, b) = (vec![0.5f32; m * k], vec![0.5f32; k * n]);
        let mut out = vec![0f32; m * n];
        let mut group = c.benchmark_group("gemm");
        group.sample_size(10).warm_up_time(Duration::from_secs(1));
        group.throughput(Throughput::Elements(2 * (m * k * n) as u64));
        group.bench_function(format!("{m}x{k}x{n}"), |bench| {
            // SAFETY: the vectors have the sizes that the strides walk over.
            bench.iter(|| unsafe {
                gemm::gemm(
                    m,
                    n,
                    k,
                    out.as_mut_ptr(),
                    1,
                    n as isize,
                    false,
                    a.as_ptr(),
                    1,
                    k as isize,
                    b.as_ptr(),
                    1,
                    n as isize,
                    0.0,
                    1.0,
                    false,
                    false,
                    false,
                    gemm::Parallelism::Rayon(0),
                );
            });
        });
        group.finish();
    }
}

fn layers(c: &mut Criterion) {
    let rows = BATCH * TOKENS;
    let [x, weight, bias] = vars([&[BATCH, TOKENS, D], &[D], &[D]]);
    train(c, "layer_norm", 5 * rows * D, || {
        layer_norm(&x, &weight, &bias, 1e-6)
    });
    let dropout = Some(Dropout { p: 0.1, key: 1 });
    train(c, "residual_layer_norm", 5 * rows * D, || {
        residual_layer_norm(&x, &x, &weight, &bias, 1e-6, dropout)
    });
    let [qkv_weight, qkv_bias] = vars([&[3 * D, D], &[3 * D]]);
    let flops = 2 * rows * D * 3 * D;
    train(c, "linear_qkv", flops, || {
        linear(&x, &qkv_weight, &qkv_bias, Compute::F32)
    });
    forward(c, "linear_qkv", flops, || {
        linear(&x.detach(), &qkv_weight, &qkv_bias, Compute::F32)
    });
    let [fc1, b1, fc2, b2] = vars([&[4 * D, D], &[4 * D], &[D, 4 * D], &[D]]);
    let flops = 4 * rows * D * 4 * D;
    train(c, "mlp", flops, || {
        mlp(&x, (&fc1, &b1), (&fc2, &b2), None, Policy::default())
    });
    forward(c, "mlp", flops, || {
        mlp(
            &x.detach(),
            (&fc1, &b1),
            (&fc2, &b2),
            None,
            Policy::default(),
        )
    });
    let [x, fc1, b1, fc2, b2] = vars([
        &[BATCH, TOKENS, 256],
        &[2048, 256],
        &[2048],
        &[256, 2048],
        &[256],
    ]);
    let flops = 4 * rows * 256 * 2048;
    train(c, "mlp_decoder_dropout", flops, || {
        mlp(&x, (&fc1, &b1), (&fc2, &b2), dropout, Policy::default())
    });
}

fn attentions(c: &mut Criterion) {
    let qkv = var(&[BATCH, TOKENS, 3 * D]);
    let flops = 4 * BATCH * TOKENS * TOKENS * D;
    train(c, "self_attention", flops, || {
        self_attention(&qkv, HEADS, None, Compute::F32)
    });
    forward(c, "self_attention", flops, || {
        self_attention(&qkv.detach(), HEADS, None, Compute::F32)
    });
    let [q, kv] = vars([&[BATCH, TOKENS, 256], &[BATCH, TOKENS, 512]]);
    let flops = 4 * BATCH * TOKENS * TOKENS * 256;
    let dropout = Some(Dropout { p: 0.1, key: 1 });
    train(c, "cross_attention_dropout", flops, || {
        cross_attention(&q, &kv, 8, dropout, Compute::F32)
    });
    // One frame of 480 x 880.
    let qkv = var(&[1, 1651, 3 * D]).detach();
    let flops = 4 * 1651 * 1651 * D;
    forward(c, "self_attention_480x880", flops, || {
        self_attention(&qkv, HEADS, None, Compute::F32)
    });
}

/// A pre-norm encoder block.
fn block(c: &mut Criterion) {
    let rows = BATCH * TOKENS;
    let [x, w1, b1, w2, b2] = vars([&[BATCH, TOKENS, D], &[D], &[D], &[D], &[D]]);
    let [qkv, qkv_bias, proj, proj_bias] = vars([&[3 * D, D], &[3 * D], &[D, D], &[D]]);
    let [fc1, fc1_bias, fc2, fc2_bias] = vars([&[4 * D, D], &[4 * D], &[D, 4 * D], &[D]]);
    let flops = 2 * rows * D * 12 * D + 4 * rows * TOKENS * D;
    train(c, "encoder_block", flops, || {
        let y = linear(
            &layer_norm(&x, &w1, &b1, 1e-6)?,
            &qkv,
            &qkv_bias,
            Compute::F32,
        )?;
        let y = linear(
            &self_attention(&y, HEADS, None, Compute::F32)?,
            &proj,
            &proj_bias,
            Compute::F32,
        )?;
        let x = (x.as_tensor() + y)?;
        let y = layer_norm(&x, &w2, &b2, 1e-6)?;
        x + mlp(
            &y,
            (&fc1, &fc1_bias),
            (&fc2, &fc2_bias),
            None,
            Policy::default(),
        )?
    });
    let norms = [(&w1, &b1), (&w2, &b2)].map(|(weight, bias)| Norm {
        weight,
        bias,
        eps: 1e-6,
    });
    let blocks = |x: &Tensor| {
        let x = attention_block(
            x,
            norms[0],
            (&qkv, &qkv_bias),
            (&proj, &proj_bias),
            HEADS,
            Policy::default(),
        )?;
        mlp_block(
            &x,
            norms[1],
            (&fc1, &fc1_bias),
            (&fc2, &fc2_bias),
            Policy::default(),
        )
    };
    train(c, "encoder_block_fused", flops, || blocks(&x));
    // Twelve blocks in a row, as in ViT-S.
    train(c, "encoder", 12 * flops, || {
        (0..12).try_fold(x.as_tensor().clone(), |x, _| blocks(&x))
    });
}

fn optimizer(c: &mut Criterion) {
    let sets: Vec<[Var; 4]> = (0..12).map(|_| vars([&[4 * D, 3 * D]; 4])).collect();
    let step = AdamWStep {
        lr: 1e-4,
        beta1: 0.9,
        beta2: 0.95,
        eps: 1e-8,
        weight_decay: 0.05,
        step: 3,
        grad_scale: 1.0,
    };
    let updates: Vec<AdamWUpdate> = sets
        .iter()
        .map(|[param, grad, exp_avg, exp_avg_sq]| AdamWUpdate {
            param,
            grad,
            exp_avg,
            exp_avg_sq,
            step,
        })
        .collect();
    c.bench_function("adamw_21m", |bench| bench.iter(|| adamw_all(&updates)));
}

criterion_group!(benches, gemm_rates, layers, attentions, block, optimizer);
criterion_main!(benches);
