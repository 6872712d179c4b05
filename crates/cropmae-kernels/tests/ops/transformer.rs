//! Blocks as one op on sequences of several lengths, against the blocks' ops one after the other.

use candle_core::{Device, Result, Tensor, Var};
use cropmae_kernels::{
    Block, Compute, Norm, Policy, attention_block, backward, mlp_block, pixel_loss, transformer,
};

use crate::support::{assert_close, bits, in_pool, tensor, var};

const WIDTH: usize = 24;
const DEPTH: usize = 2;
const SEGMENTS: [(usize, usize); 3] = [(2, 37), (3, 1), (1, 5)];

/// Tokens, then the weights of each block in the order of `Block`'s fields.
fn vars() -> Vec<Var> {
    let d = WIDTH;
    let tokens = SEGMENTS.iter().map(|(b, n)| b * n).sum();
    let weights: [&[usize]; 12] = [
        &[d],
        &[d],
        &[3 * d, d],
        &[3 * d],
        &[d, d],
        &[d],
        &[d],
        &[d],
        &[2 * d, d],
        &[2 * d],
        &[d, 2 * d],
        &[d],
    ];
    let mut vars = vec![var(&[tokens, d], 50)];
    for seed in 0..DEPTH as u64 {
        vars.extend(weights.iter().zip(100 * seed..).map(|(s, i)| var(s, i)));
    }
    vars
}

fn blocks(vars: &[Var], policy: Policy) -> Vec<Block<'_>> {
    fn block(w: &[Var], policy: Policy) -> Block<'_> {
        let pair = |i: usize| (w[i].as_tensor(), w[i + 1].as_tensor());
        let norm = |i: usize| Norm {
            weight: w[i].as_tensor(),
            bias: w[i + 1].as_tensor(),
            eps: 1e-6,
        };
        Block {
            norm1: norm(0),
            qkv: pair(2),
            proj: pair(4),
            num_heads: 3,
            norm2: norm(6),
            fc1: pair(8),
            fc2: pair(10),
            policy,
        }
    }
    vars[1..].chunks(12).map(|w| block(w, policy)).collect()
}

fn one_op(x: &Tensor, blocks: &[Block]) -> Result<Tensor> {
    transformer(x, &SEGMENTS, blocks)
}

/// Each segment on its own, each block two ops.
fn single_ops(x: &Tensor, blocks: &[Block]) -> Result<Tensor> {
    let mut first = 0;
    let mut done = Vec::new();
    for (b, n) in SEGMENTS {
        let mut x = x.narrow(0, first, b * n)?.reshape((b, n, WIDTH))?;
        first += b * n;
        for w in blocks {
            x = attention_block(&x, w.norm1, w.qkv, w.proj, w.num_heads, w.policy)?;
            x = mlp_block(&x, w.norm2, w.fc1, w.fc2, w.policy)?;
        }
        done.push(x.reshape((b * n, WIDTH))?);
    }
    Tensor::cat(&done, 0)
}

type Form = fn(&Tensor, &[Block]) -> Result<Tensor>;

/// The output, then the gradient of each variable.
fn run(vars: &[Var], policy: Policy, form: Form) -> Vec<Tensor> {
    let y = form(&vars[0], &blocks(vars, policy)).unwrap();
    let loss = pixel_loss(
        &y.unsqueeze(0).unwrap(),
        &tensor(&[1, y.dim(0).unwrap(), WIDTH], 77),
        false,
    )
    .unwrap();
    let store = backward(&loss).unwrap();
    let grads: Vec<Tensor> = vars.iter().map(|v| store.get(v).unwrap().clone()).collect();
    let again = backward(&loss).unwrap();
    for (var, grad) in vars.iter().zip(&grads) {
        assert_eq!(
            bits(again.get(var).unwrap()),
            bits(grad),
            "differentiated again"
        );
    }
    std::iter::once(y).chain(grads).collect()
}

#[test]
fn one_op_computes_what_the_blocks_ops_do() {
    let vars = vars();
    for compute in [Compute::F32, Compute::Bf16] {
        let policy = Policy::from(compute);
        let expected = run(&vars, policy, single_ops);
        let found = in_pool(3, || run(&vars, policy, one_op));
        assert_close(&found[0], &expected[0], 1e-6, "value");
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate().skip(1) {
            // In bfloat16 the tokens' order of summation shows as little as in f32.
            assert_close(found, expected, 1e-5, &format!("gradient {}", i - 1));
        }
        let recompute = Policy {
            recompute: true,
            ..policy
        };
        for other in [
            in_pool(1, || run(&vars, policy, one_op)),
            run(&vars, recompute, one_op),
        ] {
            for (found, other) in found.iter().zip(&other) {
                assert_eq!(bits(found), bits(other), "threads, recomputation");
            }
        }
    }
}

#[test]
fn without_gradients_the_result_is_the_same() {
    let vars = vars();
    let tracked = one_op(&vars[0], &blocks(&vars, Policy::default())).unwrap();
    let detached: Vec<Tensor> = vars.iter().map(Var::as_detached_tensor).collect();
    let pair = |i: usize| (&detached[i], &detached[i + 1]);
    let norm = |i: usize| Norm {
        weight: &detached[i],
        bias: &detached[i + 1],
        eps: 1e-6,
    };
    let blocks: Vec<Block> = (0..DEPTH)
        .map(|block| 1 + 12 * block)
        .map(|i| Block {
            norm1: norm(i),
            qkv: pair(i + 2),
            proj: pair(i + 4),
            num_heads: 3,
            norm2: norm(i + 6),
            fc1: pair(i + 8),
            fc2: pair(i + 10),
            policy: Policy::default(),
        })
        .collect();
    let inferred = one_op(&detached[0], &blocks).unwrap();
    assert_eq!(bits(&inferred), bits(&tracked));
}

#[test]
fn segments_must_hold_the_tokens() {
    let vars = vars();
    let blocks = blocks(&vars, Policy::default());
    let error = transformer(&vars[0], &[(2, 37)], &blocks).unwrap_err();
    assert!(error.to_string().contains("expected [74, 24]"), "{error}");
    let none = Tensor::zeros((4, WIDTH), candle_core::DType::F32, &Device::Cpu).unwrap();
    assert!(transformer(&none, &[(1, 4)], &[]).is_err());
}
