//! Tests the policies of blocks: recomputation changes no bit, bfloat16 only rounds, and neither depends on threads.

use candle_core::{Result, Tensor, Var};
use cropmae_kernels::{
    Backend, Compute, Dropout, Norm, Policy, attention_block, backward, linear, mlp, mlp_block,
    pixel_loss,
};

use crate::KERNELS;
use crate::support::{BACKENDS, assert_close, bits, flat, in_pool, on_every_backend, tensor, var};

/// An encoder block and a feed-forward layer with dropout.
struct Blocks(Vec<Var>);

const WIDTH: usize = 24;

impl Blocks {
    fn new() -> Self {
        let d = WIDTH;
        let shapes: [&[usize]; 11] = [
            &[2, 37, d],
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
        Self(
            shapes
                .iter()
                .zip(0..)
                .map(|(s, seed)| var(s, seed))
                .collect(),
        )
    }

    fn loss(&self, policy: Policy) -> Result<Tensor> {
        let v = |i: usize| self.0[i].as_tensor();
        let norm = Norm {
            weight: v(1),
            bias: v(2),
            eps: 1e-6,
        };
        let (fc1, fc2) = ((v(7), v(8)), (v(9), v(10)));
        let x = attention_block(v(0), norm, (v(3), v(4)), (v(5), v(6)), 3, policy)?;
        let x = mlp_block(&x, norm, fc1, fc2, policy)?;
        let x = mlp(&x, fc1, fc2, Some(Dropout { p: 0.1, key: 5 }), policy)?;
        pixel_loss(&x, &tensor(x.dims(), 77), false)
    }

    /// Returns the loss and then the gradient of every variable.
    fn run(&self, policy: Policy) -> Vec<Tensor> {
        let loss = self.loss(policy).unwrap();
        let store = backward(&loss).unwrap();
        let grads = self.0.iter().map(|var| store.get(var).unwrap().clone());
        std::iter::once(loss.clone()).chain(grads).collect()
    }
}

fn all_bits(tensors: &[Tensor]) -> Vec<Vec<u32>> {
    tensors.iter().map(bits).collect()
}

fn policy(compute: Compute, recompute: bool) -> Policy {
    Policy { compute, recompute }
}

#[test]
fn recomputation_changes_no_bit() {
    let blocks = Blocks::new();
    for compute in [Compute::F32, Compute::Bf16] {
        let run = |recompute| KERNELS.with(|| all_bits(&blocks.run(policy(compute, recompute))));
        let (kept, again) = (run(false), run(true));
        assert!(kept == again, "{compute:?}");
    }
}

#[test]
fn a_second_backward_pass_finds_what_the_first_has_freed() {
    let blocks = Blocks::new();
    let loss = KERNELS.with(|| blocks.loss(Policy::default()).unwrap());
    let grads = || {
        let store = backward(&loss).unwrap();
        let grads = blocks.0.iter().map(|var| bits(store.get(var).unwrap()));
        grads.collect::<Vec<_>>()
    };
    assert!(grads() == grads());
}

/// Records that a test uses f32 instead of bfloat16.
#[track_caller]
fn skip_bf16() {
    cropmae_fixtures::skip("this CPU has no AVX-512 for bfloat16");
}

#[test]
fn bf16_rounds_operands_and_no_more() {
    on_every_backend(round_operands);
}

fn round_operands(backend: Backend) {
    let blocks = Blocks::new();
    let run = |compute| backend.with(|| blocks.run(policy(compute, false)));
    let (exact, rounded) = (run(Compute::F32), run(Compute::Bf16));
    let runs = backend.supports(Compute::Bf16);
    if !runs {
        skip_bf16();
    }
    for (i, (exact, rounded)) in exact.iter().zip(&rounded).enumerate() {
        assert_eq!(
            bits(exact) != bits(rounded),
            runs,
            "{i}: rounded where it can be"
        );
        let (exact, rounded) = (flat(exact), flat(rounded));
        let norm = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
        let apart: Vec<f64> = exact.iter().zip(&rounded).map(|(a, b)| a - b).collect();
        // The limit is for eight bits of mantissa and a few layers.
        assert!(
            norm(&apart) < 0.02 * norm(&exact),
            "{i}: {} of {}",
            norm(&apart),
            norm(&exact)
        );
    }
}

/// The reference rounds the same values as the kernels, so that only the order of summation differs.
#[test]
fn bf16_is_the_same_on_all_backends() {
    let inputs = [var(&[2, 37, 40], 1), var(&[48, 40], 2), var(&[48], 3)];
    let run = |backend: Backend, compute| {
        backend.with(|| {
            let y = linear(&inputs[0], &inputs[1], &inputs[2], compute).unwrap();
            let loss = pixel_loss(&y, &tensor(y.dims(), 77), false).unwrap();
            let store = backward(&loss).unwrap();
            let grads = inputs.iter().map(|var| store.get(var).unwrap().clone());
            std::iter::once(y).chain(grads).collect::<Vec<_>>()
        })
    };
    if !KERNELS.supports(Compute::Bf16) {
        let [asked, exact] = [Compute::Bf16, Compute::F32].map(|it| run(KERNELS, it));
        assert!(
            all_bits(&asked) == all_bits(&exact),
            "f32 where there is no bf16"
        );
        skip_bf16();
        return;
    }
    let [kernels, reference] = BACKENDS.map(|backend| run(backend, Compute::Bf16));
    for (i, (kernels, reference)) in kernels.iter().zip(&reference).enumerate() {
        assert_close(kernels, reference, 1e-5, &format!("linear: {i}"));
    }
    let blocks = Blocks::new();
    let [kernels, reference] =
        BACKENDS.map(|backend| backend.with(|| blocks.run(policy(Compute::Bf16, false))));
    for (i, (kernels, reference)) in kernels.iter().zip(&reference).enumerate() {
        // A value that differs in the last bit in f32 may be rounded to another bfloat16.
        assert_close(kernels, reference, 1e-2, &format!("blocks: {i}"));
    }
}

/// Activations that should be recomputed are not silently kept.
#[test]
fn recomputation_is_refused_where_it_is_not_done() {
    let blocks = Blocks::new();
    let loss = || blocks.loss(policy(Compute::F32, true));
    assert!(KERNELS.recomputes() && KERNELS.with(loss).is_ok());
    assert!(!Backend::Reference.recomputes());
    let message = Backend::Reference.with(loss).unwrap_err().to_string();
    for word in ["attention_block", "backward pass", "Cpu", "recomputation"] {
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn threads_change_no_bit_in_bf16() {
    if !KERNELS.supports(Compute::Bf16) {
        skip_bf16();
    }
    let blocks = Blocks::new();
    let run = |threads| {
        in_pool(threads, || {
            KERNELS.with(|| all_bits(&blocks.run(policy(Compute::Bf16, true))))
        })
    };
    let one = run(1);
    assert!(one == run(2) && one == run(5));
}
