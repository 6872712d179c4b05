//! self_attention, cross_attention, attention_map.

use candle_core::{DType, Device, Tensor, Var};
use cropmae_kernels::{
    Compute, Dropout, Norm, Policy, attention_block, attention_map, cross_attention, dropout,
    self_attention,
};

use crate::reference;
use crate::support::{assert_close, check, tensor, var};

/// Batch, queries, keys, heads, width of a head.
const SHAPES: [(usize, usize, usize, usize, usize); 8] = [
    (1, 1, 1, 1, 8),
    (1, 3, 1, 2, 16),
    (2, 3, 5, 2, 32),
    (1, 197, 197, 2, 32),
    (2, 50, 197, 1, 64),
    (1, 197, 3, 1, 64),
    // More queries than a tile has.
    (1, 90, 2600, 1, 8),
    // The tokens of a frame of 480x880.
    (1, 1651, 1651, 1, 32),
];

fn mask(drop: Option<Dropout>, rows: usize, cols: usize) -> Option<Tensor> {
    let ones = Tensor::ones((rows, cols), DType::F32, &Device::Cpu).unwrap();
    drop.map(|drop| dropout(&ones, drop).unwrap())
}

#[test]
fn self_attention_matches() {
    for (b, n, _, h, dh) in SHAPES {
        for drop in [None, Some(Dropout { p: 0.1, key: 11 })] {
            let d = h * dh;
            let mask = mask(drop, b * h * n, n);
            check(
                &[var(&[b, n, 3 * d], 1)],
                |i| self_attention(&i[0], h, drop, Compute::F32),
                |i| {
                    let part = |part| i[0].narrow(2, part * d, d);
                    reference::attention(&part(0)?, &part(1)?, &part(2)?, h, mask.as_ref())
                },
            );
        }
    }
}

#[test]
fn cross_attention_matches() {
    for (b, n, m, h, dh) in SHAPES {
        for drop in [None, Some(Dropout { p: 0.4, key: 12 })] {
            let d = h * dh;
            let mask = mask(drop, b * h * n, m);
            check(
                &[var(&[b, n, d], 1), var(&[b, m, 2 * d], 2)],
                |i| cross_attention(&i[0], &i[1], h, drop, Compute::F32),
                |i| {
                    let part = |part| i[1].narrow(2, part * d, d);
                    reference::attention(&i[0], &part(0)?, &part(1)?, h, mask.as_ref())
                },
            );
        }
    }
}

#[test]
fn strided_inputs_are_read_right() {
    let d = 16;
    check(
        &[var(&[3, 2, 3 * d], 1)],
        |i| self_attention(&i[0].transpose(0, 1)?, 2, None, Compute::F32),
        |i| {
            let qkv = i[0].transpose(0, 1)?;
            let part = |part| qkv.narrow(2, part * d, d);
            reference::attention(&part(0)?.contiguous()?, &part(1)?, &part(2)?, 2, None)
        },
    );
}

#[test]
fn large_scores_do_not_overflow() {
    let qkv = (tensor(&[1, 5, 24], 1) * 200.0).unwrap();
    let y = self_attention(&qkv, 1, None, Compute::F32).unwrap();
    let part = |part: usize| qkv.narrow(2, part * 8, 8).unwrap();
    let expected = reference::attention(&part(0), &part(1), &part(2), 1, None).unwrap();
    assert_close(&y, &expected, 1e-4, "value");
}

#[test]
fn attention_map_matches() {
    for (b, n, m, h, dh) in SHAPES {
        let (q, k) = (tensor(&[b, n, h * dh], 1), tensor(&[b, m, h * dh], 2));
        let map = attention_map(&q, &k, h).unwrap();
        assert_close(
            &map,
            &reference::probabilities(&q, &k, h).unwrap(),
            2e-6,
            "map",
        );
    }
    // Views of packed projections, as pictures take them.
    let qkv = tensor(&[2, 5, 48], 3);
    let (q, k) = (
        qkv.narrow(2, 0, 16).unwrap(),
        qkv.narrow(2, 16, 16).unwrap(),
    );
    let map = attention_map(&q, &k, 2).unwrap();
    assert_close(
        &map,
        &reference::probabilities(&q, &k, 2).unwrap(),
        2e-6,
        "map of views",
    );
}

#[test]
fn attention_block_is_its_steps() {
    for (b, n, _, h, dh) in SHAPES {
        let d = h * dh;
        check(
            &[
                var(&[b, n, d], 1),
                var(&[d], 2),
                var(&[d], 3),
                // Small weights: large scores would magnify rounding.
                Var::from_tensor(&(tensor(&[3 * d, d], 4) * 0.2).unwrap()).unwrap(),
                var(&[3 * d], 5),
                var(&[d, d], 6),
                var(&[d], 7),
            ],
            |i| {
                let norm = Norm {
                    weight: &i[1],
                    bias: &i[2],
                    eps: 1e-6,
                };
                attention_block(
                    &i[0],
                    norm,
                    (&i[3], &i[4]),
                    (&i[5], &i[6]),
                    h,
                    Policy::default(),
                )
            },
            |i| {
                let y = reference::layer_norm(&i[0], &i[1], &i[2], 1e-6)?;
                let qkv = reference::linear(&y, &i[3], &i[4])?;
                let part = |part| qkv.narrow(2, part * d, d);
                let y = reference::attention(&part(0)?, &part(1)?, &part(2)?, h, None)?;
                &i[0] + reference::linear(&y, &i[5], &i[6])?
            },
        );
    }
}
