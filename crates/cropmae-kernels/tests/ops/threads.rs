//! Tests that results of the kernels do not depend on the number of threads.

use candle_core::Var;
use cropmae_kernels::{
    Compute, Dropout, Norm, Policy, attention_block, backward, cross_attention, layer_norm, linear,
    mlp, mlp_block, pixel_loss, residual_layer_norm,
};

use crate::support::{bits, in_pool, tensor, var};

/// The sizes are large enough for products on several threads.
#[test]
fn thread_count_changes_no_bit() {
    let (b, n, d) = (2, 197, 192);
    let shapes: [&[usize]; 11] = [
        &[b, n, d],
        &[d],
        &[d],
        &[3 * d, d],
        &[3 * d],
        &[d, d],
        &[d],
        &[4 * d, d],
        &[4 * d],
        &[d, 4 * d],
        &[d],
    ];
    let vars: Vec<Var> = shapes
        .iter()
        .zip(0..)
        .map(|(shape, seed)| var(shape, seed))
        .collect();
    let run = || {
        let v = |i: usize| vars[i].as_tensor();
        let norm = Norm {
            weight: v(1),
            bias: v(2),
            eps: 1e-6,
        };
        let x = attention_block(v(0), norm, (v(3), v(4)), (v(5), v(6)), 3, Policy::default())?;
        let x = mlp_block(&x, norm, (v(7), v(8)), (v(9), v(10)), Policy::default())?;
        let q = layer_norm(&linear(&x, v(5), v(6), Compute::F32)?, v(1), v(2), 1e-6)?;
        let kv = linear(
            &x,
            &v(3).narrow(0, 0, 2 * d)?,
            &v(4).narrow(0, 0, 2 * d)?,
            Compute::F32,
        )?;
        let drop = Some(Dropout { p: 0.1, key: 1 });
        let y = residual_layer_norm(
            &cross_attention(&q, &kv, 3, drop, Compute::F32)?,
            &x,
            v(1),
            v(2),
            1e-6,
            drop,
        )?;
        let y = mlp(&y, (v(7), v(8)), (v(9), v(10)), drop, Policy::default())?;
        let loss = pixel_loss(&y, &tensor(&[b, n, d], 77), true)?;
        let store = backward(&loss)?;
        let grads = vars.iter().map(|var| bits(store.get(var).unwrap()));
        Ok::<_, candle_core::Error>((bits(&loss), grads.collect::<Vec<_>>()))
    };
    let expected = in_pool(1, run).unwrap();
    for threads in [2, 3, 7] {
        assert!(
            in_pool(threads, run).unwrap() == expected,
            "{threads} threads"
        );
    }
}
