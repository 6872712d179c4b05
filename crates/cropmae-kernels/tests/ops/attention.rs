//! Tests of self_attention, cross_attention and attention_map.

use candle_core::{D, DType, Tensor, Var};
use cropmae_kernels::{
    Backend, Compute, Dropout, Norm, Policy, attention_block, attention_map, cross_attention,
    self_attention,
};

use crate::KERNELS;
use crate::support::{BACKENDS, assert_close, check, tensor, var};

/// The batch size, queries, keys, heads and width of a head.
const SHAPES: [(usize, usize, usize, usize, usize); 8] = [
    (1, 1, 1, 1, 8),
    (1, 3, 1, 2, 16),
    (2, 3, 5, 2, 32),
    (1, 197, 197, 2, 32),
    (2, 50, 197, 1, 64),
    (1, 197, 3, 1, 64),
    // This case has more queries than a tile.
    (1, 90, 2600, 1, 8),
    // These are the tokens of a frame of 480x880 pixels.
    (1, 1651, 1651, 1, 32),
];

/// Returns whether the emulator would take many seconds.
fn is_slow(queries: usize, keys: usize) -> bool {
    KERNELS == Backend::Gpu && queries * keys > 100_000
}

#[test]
fn self_attention_matches() {
    for (b, n, _, h, dh) in SHAPES {
        if is_slow(n, n) {
            continue;
        }
        for drop in [None, Some(Dropout { p: 0.1, key: 11 })] {
            let d = h * dh;
            check(&[var(&[b, n, 3 * d], 1)], |i| {
                self_attention(&i[0], h, drop, Compute::F32)
            });
        }
    }
}

#[test]
fn cross_attention_matches() {
    for (b, n, m, h, dh) in SHAPES {
        for drop in [None, Some(Dropout { p: 0.4, key: 12 })] {
            if is_slow(n, m) && drop.is_some() {
                continue;
            }
            let d = h * dh;
            check(&[var(&[b, n, d], 1), var(&[b, m, 2 * d], 2)], |i| {
                cross_attention(&i[0], &i[1], h, drop, Compute::F32)
            });
        }
    }
}

#[test]
fn strided_inputs_are_read_right() {
    let d = 16;
    check(&[var(&[3, 2, 3 * d], 1)], |i| {
        self_attention(&i[0].transpose(0, 1)?, 2, None, Compute::F32)
    });
}

#[test]
fn large_scores_do_not_overflow() {
    let qkv = (tensor(&[1, 5, 24], 1) * 200.0).unwrap();
    let attend = |qkv: &Tensor| self_attention(qkv, 1, None, Compute::F32).unwrap();
    let wide = qkv.to_dtype(DType::F64).unwrap();
    let expected = Backend::Reference.with(|| attend(&wide));
    for backend in BACKENDS {
        assert_close(&backend.with(|| attend(&qkv)), &expected, 1e-4, "value");
    }
}

#[test]
fn attention_map_matches() {
    for (b, n, m, h, dh) in SHAPES {
        let (q, k) = (tensor(&[b, n, h * dh], 1), tensor(&[b, m, h * dh], 2));
        check_map(&q, &k, h);
    }
    // The inputs are views of packed projections, as for pictures.
    let qkv = tensor(&[2, 5, 48], 3);
    let (q, k) = (
        qkv.narrow(2, 0, 16).unwrap(),
        qkv.narrow(2, 16, 16).unwrap(),
    );
    check_map(&q, &k, 2);
}

/// Rows are distributions and equal on all backends.
fn check_map(q: &Tensor, k: &Tensor, heads: usize) {
    let wide = [q, k].map(|x| x.to_dtype(DType::F64).unwrap());
    let expected = Backend::Reference.with(|| attention_map(&wide[0], &wide[1], heads).unwrap());
    let sums = expected.sum(D::Minus1).unwrap();
    assert_close(&sums, &sums.ones_like().unwrap(), 1e-12, "sums");
    for backend in BACKENDS {
        let map = backend.with(|| attention_map(q, k, heads).unwrap());
        assert_close(&map, &expected, 2e-6, "map");
    }
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
                // The weights are small, because large scores would increase rounding errors.
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
        );
    }
}
