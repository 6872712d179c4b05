//! Attention in bfloat16 on the matrix units of both vendors, in several orders of the threads.

use candle_core::{Tensor, Var};
use cropmae_kernels::{
    Backend, Compute, Dropout, Emulation, Fragments, backward, cross_attention, pixel_loss,
};

use crate::support::{assert_close, bits, tensor, var};

/// Batch, queries, keys, heads, width of a head.
const SHAPES: [(usize, usize, usize, usize, usize); 5] = [
    (2, 3, 5, 2, 8),
    (1, 50, 197, 1, 64),
    (1, 197, 50, 2, 32),
    (1, 70, 33, 1, 80),
    (1, 65, 64, 1, 128),
];

/// Returns the value and the gradients of q and of k and v.
fn attend(inputs: &[Var; 2], heads: usize, dropout: Option<Dropout>) -> [Tensor; 3] {
    let [q, kv] = inputs;
    let y = cross_attention(q, kv, heads, dropout, Compute::Bf16).unwrap();
    let loss = pixel_loss(&y, &tensor(y.dims(), 77), false).unwrap();
    let store = backward(&loss).unwrap();
    let [dq, dkv] = [q, kv].map(|var| store.get(var).unwrap().clone());
    [y, dq, dkv]
}

#[test]
fn bf16_attention_is_right_on_both_geometries_in_every_order() {
    for (b, n, m, heads, width) in SHAPES {
        let d = heads * width;
        let inputs = [var(&[b, n, d], 1), var(&[b, m, 2 * d], 2)];
        for dropout in [None, Some(Dropout { p: 0.2, key: 3 })] {
            let expected = Backend::Reference.with(|| attend(&inputs, heads, dropout));
            for fragments in [Fragments::Cuda, Fragments::Metal] {
                let [first, second] = [1, 2].map(|seed| {
                    let emulation = Emulation { seed, fragments };
                    emulation.with(|| Backend::Gpu.with(|| attend(&inputs, heads, dropout)))
                });
                for (i, (found, expected)) in first.iter().zip(&expected).enumerate() {
                    let what = format!("{i} of {n} x {m} x {width}, {fragments:?}");
                    assert_close(found, expected, 1e-2, &what);
                    assert_eq!(bits(found), bits(&second[i]), "{what}: another order");
                }
            }
        }
    }
}
