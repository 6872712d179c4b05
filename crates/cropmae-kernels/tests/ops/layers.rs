//! Tests of layer_norm, residual_layer_norm, linear, mlp and patch_embed.

use candle_core::{DType, Device, Tensor};
use cropmae_kernels::{
    Compute, Dropout, Norm, Policy, attention_block, layer_norm, linear, mlp, mlp_block,
    patch_embed, residual_layer_norm,
};

use crate::support::{BACKENDS, assert_close, bits, check, like, tensor, var};

const EPS: f64 = 1e-6;

/// The shapes of inputs: one row, odd counts, more rows than one task has, a 2-D and a 4-D input.
const SHAPES: [&[usize]; 7] = [
    &[1, 1, 8],
    &[2, 3, 33],
    &[1, 197, 16],
    &[3, 65, 48],
    &[70, 24],
    &[2, 2, 3, 5],
    &[1, 1651, 24],
];

#[test]
fn layer_norm_matches() {
    for shape in SHAPES {
        let d = shape[shape.len() - 1];
        check(&[var(shape, 1), var(&[d], 2), var(&[d], 3)], |i| {
            layer_norm(&i[0], &i[1], &i[2], EPS)
        });
    }
}

#[test]
fn residual_layer_norm_matches() {
    for shape in SHAPES {
        let d = shape[shape.len() - 1];
        for drop in [None, Some(Dropout { p: 0.3, key: 5 })] {
            check(
                &[var(shape, 1), var(shape, 2), var(&[d], 3), var(&[d], 4)],
                |i| residual_layer_norm(&i[0], &i[1], &i[2], &i[3], EPS, drop),
            );
        }
    }
}

#[test]
fn linear_matches() {
    for shape in SHAPES {
        let d_in = shape[shape.len() - 1];
        for d_out in [1, 7, 64, 129] {
            check(
                &[var(shape, 1), var(&[d_out, d_in], 2), var(&[d_out], 3)],
                |i| linear(&i[0], &i[1], &i[2], Compute::F32),
            );
        }
    }
}

#[test]
fn linear_takes_a_slice_of_a_packed_weight() {
    let d = 12;
    check(
        &[var(&[2, 5, d], 1), var(&[3 * d, d], 2), var(&[3 * d], 3)],
        |i| {
            linear(
                &i[0],
                &i[1].narrow(0, d, 2 * d)?,
                &i[2].narrow(0, d, 2 * d)?,
                Compute::F32,
            )
        },
    );
}

#[test]
fn strided_inputs_are_read_right() {
    check(&[var(&[2, 6, 9], 1), var(&[6], 2), var(&[6], 3)], |i| {
        layer_norm(&i[0].transpose(1, 2)?, &i[1], &i[2], EPS)
    });
    check(&[var(&[2, 6, 9], 1), var(&[6, 4], 2), var(&[4], 3)], |i| {
        linear(&i[0].transpose(1, 2)?, &i[1].t()?, &i[2], Compute::F32)
    });
}

#[test]
fn mlp_matches() {
    // The last input has more rows than the activations that exist at the same time.
    let shapes = SHAPES.iter().copied().chain([&[2, 600, 4][..]]);
    for shape in shapes {
        let d = shape[shape.len() - 1];
        for (hidden, d_out, drop) in [
            (40, d, None),
            (1, 3, None),
            (65, d, Some(Dropout { p: 0.25, key: 3 })),
        ] {
            check(
                &[
                    var(shape, 1),
                    var(&[hidden, d], 2),
                    var(&[hidden], 3),
                    var(&[d_out, hidden], 4),
                    var(&[d_out], 5),
                ],
                |i| {
                    mlp(
                        &i[0],
                        (&i[1], &i[2]),
                        (&i[3], &i[4]),
                        drop,
                        Policy::default(),
                    )
                },
            );
        }
    }
}

#[test]
fn mlp_block_is_its_steps() {
    let shapes = SHAPES.iter().copied().chain([&[2, 600, 4][..]]);
    for shape in shapes {
        let d = shape[shape.len() - 1];
        let hidden = 37;
        check(
            &[
                var(shape, 1),
                var(&[d], 2),
                var(&[d], 3),
                var(&[hidden, d], 4),
                var(&[hidden], 5),
                var(&[d, hidden], 6),
                var(&[d], 7),
            ],
            |i| {
                let norm = Norm {
                    weight: &i[1],
                    bias: &i[2],
                    eps: EPS,
                };
                mlp_block(
                    &i[0],
                    norm,
                    (&i[3], &i[4]),
                    (&i[5], &i[6]),
                    Policy::default(),
                )
            },
        );
    }
}

/// Without a variable, nothing is kept for a backward pass, and the values are the same.
#[test]
fn constants_give_the_same_values() {
    let d = 16;
    let vars = [
        &[2, 5, d][..],
        &[d],
        &[d],
        &[3 * d, d],
        &[3 * d],
        &[d, d],
        &[d],
    ]
    .map(|s| var(s, 1));
    let run = |i: [&Tensor; 7]| {
        let norm = Norm {
            weight: i[1],
            bias: i[2],
            eps: EPS,
        };
        let y =
            attention_block(i[0], norm, (i[3], i[4]), (i[5], i[6]), 2, Policy::default()).unwrap();
        let fc1 = (&i[3].narrow(0, 0, d).unwrap().detach(), i[6]);
        mlp_block(&y, norm, fc1, (i[5], i[6]), Policy::default()).unwrap()
    };
    let constants = vars.each_ref().map(|v| v.detach());
    for backend in BACKENDS {
        let tracked = backend.with(|| run(vars.each_ref().map(|v| v.as_tensor())));
        let plain = backend.with(|| run(constants.each_ref()));
        assert!(tracked.track_op() && !plain.track_op());
        assert_eq!(bits(&tracked), bits(&plain));
    }
}

#[test]
fn patch_embed_matches() {
    for (b, n, p, d) in [(1, 1, 2, 5), (2, 9, 4, 24), (3, 49, 8, 16)] {
        let patches = tensor(&[b, n, p * p * 3], 1);
        let pos = tensor(&[n, d], 2);
        let weight = var(&[d, 3, p, p], 3);
        let bias = var(&[d], 4);
        for keep in [None, Some(0), Some(1), Some(n.div_ceil(2))] {
            // Use every third patch, backward from the last one.
            let ids = keep.map(|k| {
                let ids: Vec<u32> = (0..b * k)
                    .map(|i| ((n - 1 + 2 * n * i - i % n) % n) as u32)
                    .collect();
                Tensor::from_vec(ids, (b, k), &Device::Cpu).unwrap()
            });
            if keep == Some(0) {
                for backend in BACKENDS {
                    let ids = ids.as_ref();
                    let embed = || patch_embed(&patches, ids, &weight, &bias, &pos, Compute::F32);
                    assert_eq!(backend.with(embed).unwrap().dims(), [b, 0, d]);
                }
                continue;
            }
            check(&[weight.clone(), bias.clone()], |i| {
                let (patches, pos) = (like(&patches, &i[0]), like(&pos, &i[0]));
                patch_embed(&patches, ids.as_ref(), &i[0], &i[1], &pos, Compute::F32)
            });
            // The rows of the whole embedding.
            let embed = |ids| patch_embed(&patches, ids, &weight, &bias, &pos, Compute::F32);
            for backend in BACKENDS {
                let (y, all) = backend.with(|| (embed(ids.as_ref()), embed(None)));
                let (y, mut all) = (y.unwrap(), all.unwrap());
                if let Some(ids) = &ids {
                    let index = ids.unsqueeze(2).unwrap().broadcast_as(y.shape()).unwrap();
                    all = all.gather(&index.contiguous().unwrap(), 1).unwrap();
                }
                assert_close(&y, &all, 1e-6, "rows of the whole");
            }
        }
    }
}

/// Computes the convolution that the weight of the checkpoint belongs to.
#[test]
fn patch_embed_is_the_convolution() {
    let (b, p, d, grid) = (2, 4, 6, 3);
    let images = tensor(&[b, 3, grid * p, grid * p], 1);
    let weight = tensor(&[d, 3, p, p], 2);
    let bias = tensor(&[d], 3);
    let pos = Tensor::zeros((grid * grid, d), DType::F32, &Device::Cpu).unwrap();
    // (B, 3, g, P, g, P) -> (B, g, g, P, P, 3)
    let patches = images
        .reshape(&[b, 3, grid, p, grid, p][..])
        .unwrap()
        .permute(vec![0, 2, 4, 3, 5, 1])
        .unwrap()
        .reshape((b, grid * grid, p * p * 3))
        .unwrap();
    let embed = || patch_embed(&patches, None, &weight, &bias, &pos, Compute::F32).unwrap();
    let expected = images
        .conv2d(&weight, 0, p, 1, 1)
        .unwrap()
        .flatten_from(2)
        .unwrap()
        .transpose(1, 2)
        .unwrap()
        .broadcast_add(&bias)
        .unwrap();
    for backend in BACKENDS {
        assert_close(&backend.with(embed), &expected, 2e-6, "convolution");
    }
}
