//! Compares blocks as one op on sequences of several lengths with the ops of the blocks, one after the other.

use candle_core::{DType, Device, Result, Tensor, Var};
use cropmae_kernels::{
    Backend, BlockWeights, Compute, Norm, Policy, attention_block, backward, mlp_block, pixel_loss,
    transformer,
};

use crate::KERNELS;
use crate::support::{BACKENDS, assert_close, bits, check, in_pool, tensor, var};

const WIDTH: usize = 24;
const DEPTH: usize = 2;
const SEGMENTS: [(usize, usize); 3] = [(2, 37), (3, 1), (1, 5)];

/// Returns tokens, and then the weights of each block in the order of the fields of `BlockWeights`.
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

/// Returns the blocks of `weights`, with 12 weights each.
fn blocks_of(weights: &[Tensor], policy: Policy) -> Vec<BlockWeights<'_>> {
    fn block(w: &[Tensor], policy: Policy) -> BlockWeights<'_> {
        let pair = |i: usize| (&w[i], &w[i + 1]);
        let norm = |i: usize| Norm {
            weight: &w[i],
            bias: &w[i + 1],
            eps: 1e-6,
        };
        BlockWeights {
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
    weights.chunks(12).map(|w| block(w, policy)).collect()
}

fn tensors(vars: &[Var]) -> Vec<Tensor> {
    vars.iter().map(|v| v.as_tensor().clone()).collect()
}

fn one_op(x: &Tensor, blocks: &[BlockWeights]) -> Result<Tensor> {
    transformer(x, &SEGMENTS, blocks)
}

/// Computes each segment separately, with two ops for each block.
fn single_ops(x: &Tensor, blocks: &[BlockWeights]) -> Result<Tensor> {
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

/// Compares values and all gradients, and those of the reference also with finite differences.
#[test]
fn transformer_matches() {
    let vars = vars();
    check(&vars, |i| {
        one_op(&i[0], &blocks_of(&i[1..], Policy::default()))
    });
}

type Form = fn(&Tensor, &[BlockWeights]) -> Result<Tensor>;

/// Returns the output, and then the gradient of each variable.
fn run(vars: &[Var], policy: Policy, form: Form) -> Vec<Tensor> {
    let y = form(&vars[0], &blocks_of(&tensors(&vars[1..]), policy)).unwrap();
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
        let on =
            |threads, policy, form| in_pool(threads, || KERNELS.with(|| run(&vars, policy, form)));
        let expected = on(3, policy, single_ops as Form);
        let found = on(3, policy, one_op);
        assert_close(&found[0], &expected[0], 1e-6, "value");
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate().skip(1) {
            // In bfloat16, the order of the tokens in sums has as little effect as in f32.
            assert_close(found, expected, 1e-5, &format!("gradient {}", i - 1));
        }
        let recompute = Policy {
            recompute: true,
            ..policy
        };
        for other in [on(1, policy, one_op), on(3, recompute, one_op)] {
            for (found, other) in found.iter().zip(&other) {
                assert_eq!(bits(found), bits(other), "threads, recomputation");
            }
        }
    }
}

/// The operations and their order are the same.
#[test]
fn the_reference_is_its_blocks_ops() {
    let vars = vars();
    let forms: [Form; 2] = [one_op, single_ops];
    let [one, single] =
        forms.map(|form| Backend::Reference.with(|| run(&vars, Policy::default(), form)));
    for (i, (one, single)) in one.iter().zip(&single).enumerate() {
        assert_close(one, single, 1e-6, &format!("{i}"));
    }
}

#[test]
fn without_gradients_the_result_is_the_same() {
    let vars = vars();
    let all = tensors(&vars);
    let detached: Vec<Tensor> = vars.iter().map(Var::as_detached_tensor).collect();
    let infer = |all: &[Tensor]| one_op(&all[0], &blocks_of(&all[1..], Policy::default()));
    for backend in BACKENDS {
        let (tracked, inferred) = backend.with(|| (infer(&all), infer(&detached)));
        let (tracked, inferred) = (tracked.unwrap(), inferred.unwrap());
        assert!(tracked.track_op() && !inferred.track_op());
        assert_eq!(bits(&inferred), bits(&tracked));
    }
}

#[test]
fn segments_must_hold_the_tokens() {
    let all = tensors(&vars());
    let blocks = blocks_of(&all[1..], Policy::default());
    for backend in BACKENDS {
        let apply = |x: &Tensor, segments: &[(usize, usize)], blocks: &[BlockWeights]| {
            backend.with(|| transformer(x, segments, blocks))
        };
        let error = apply(&all[0], &[(2, 37)], &blocks).unwrap_err();
        assert!(error.to_string().contains("expected [74, 24]"), "{error}");
        let none = Tensor::zeros((4, WIDTH), DType::F32, &Device::Cpu).unwrap();
        assert!(apply(&none, &[(1, 4)], &[]).is_err());
    }
}
