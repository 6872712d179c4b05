//! How many launches a block takes. On a device each costs a few microseconds, whatever it computes.

use cropmae_kernels::{
    Backend, BlockWeights, Compute, Emulation, Norm, Work, backward, transformer,
};

use crate::support::{tensor, var};

const WIDTH: usize = 32;

/// Returns the work of a forward and a backward pass of `depth` blocks.
fn work(depth: usize, compute: Compute) -> Work {
    let d = WIDTH;
    let shapes: [&[usize]; 12] = [
        &[d],
        &[d],
        &[3 * d, d],
        &[3 * d],
        &[d, d],
        &[d],
        &[d],
        &[d],
        &[4 * d, d],
        &[4 * d],
        &[d, 4 * d],
        &[d],
    ];
    let vars: Vec<_> = (0..depth)
        .flat_map(|_| shapes.iter().zip(0..).map(|(shape, seed)| var(shape, seed)))
        .collect();
    let blocks = vars.chunks(12).map(|w| {
        let pair = |i: usize| (w[i].as_tensor(), w[i + 1].as_tensor());
        let norm = |i: usize| Norm {
            weight: &w[i],
            bias: &w[i + 1],
            eps: 1e-6,
        };
        BlockWeights {
            norm1: norm(0),
            qkv: pair(2),
            proj: pair(4),
            num_heads: 1,
            norm2: norm(6),
            fc1: pair(8),
            fc2: pair(10),
            policy: compute.into(),
        }
    });
    let blocks: Vec<BlockWeights> = blocks.collect();
    let _before = Emulation::take_work();
    Backend::Gpu.with(|| {
        let y = transformer(&tensor(&[10, d], 1), &[(2, 5)], &blocks).unwrap();
        backward(&y.sum_all().unwrap()).unwrap();
    });
    Emulation::take_work()
}

#[test]
fn a_block_takes_at_most_25_launches() {
    for compute in [Compute::F32, Compute::Bf16] {
        let [two, three] = [2, 3].map(|depth| work(depth, compute));
        let launches = three.launches - two.launches;
        let products = three.products - two.products;
        // Four layers, forward and twice backward.
        assert_eq!(products, 12, "{compute:?}");
        assert!(launches + products <= 25, "{compute:?}: {launches}");
    }
}
