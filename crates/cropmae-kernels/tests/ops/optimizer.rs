//! Tests of adamw, adamw_all, ema_all, grad_norm and the guard.

use candle_core::{DType, Device, Tensor, Var};
use cropmae_kernels::{
    AdamWStep, AdamWUpdate, Backend, GradNorm, GradScale, Guard, adamw, adamw_all, ema_all,
    grad_norm,
};

use crate::support::{BACKENDS, bits, in_pool, on_every_backend, tensor, values, var};

const STEP: AdamWStep = AdamWStep {
    lr: 1e-2,
    beta1: 0.9,
    beta2: 0.95,
    eps: 1e-8,
    weight_decay: 0.05,
    step: 1,
};

/// An odd number of elements that is large enough for several tasks.
const LEN: usize = 40_001;

#[test]
fn adamw_follows_the_formula() {
    on_every_backend(|_| follow_the_formula());
}

fn follow_the_formula() {
    let start = values(LEN, 1);
    let param = Var::from_slice(&start, LEN, &Device::Cpu).unwrap();
    let zeros = || Var::from_slice(&vec![0f32; LEN], LEN, &Device::Cpu).unwrap();
    let (exp_avg, exp_avg_sq) = (zeros(), zeros());
    let mut p: Vec<f64> = start.iter().copied().map(f64::from).collect();
    let (mut m, mut v) = (vec![0f64; LEN], vec![0f64; LEN]);
    let scale = GradScale {
        batches: 2,
        clip: None,
    };
    for step in 1..=3 {
        let grads = values(LEN, 10 + step);
        let grad = Tensor::from_slice(&grads, LEN, &Device::Cpu).unwrap();
        let update = AdamWUpdate {
            param: &param,
            grad: &grad,
            exp_avg: &exp_avg,
            exp_avg_sq: &exp_avg_sq,
            step: AdamWStep { step, ..STEP },
        };
        adamw_all(&[update], &scale, None).unwrap();
        for i in 0..LEN {
            let g = f64::from(grads[i]) * 0.5;
            p[i] *= 1.0 - 1e-2 * 0.05;
            m[i] = 0.9 * m[i] + 0.1 * g;
            v[i] = 0.95 * v[i] + 0.05 * g * g;
            let t = step as i32;
            let denominator = v[i].sqrt() / (1.0 - 0.95f64.powi(t)).sqrt() + 1e-8;
            p[i] -= 1e-2 / (1.0 - 0.9f64.powi(t)) * m[i] / denominator;
        }
    }
    let found: Vec<f32> = param.to_vec1().unwrap();
    for i in 0..LEN {
        assert!(
            (f64::from(found[i]) - p[i]).abs() < 5e-7,
            "{i}: {} and {}",
            found[i],
            p[i]
        );
    }
    for (found, expected) in [(exp_avg, m), (exp_avg_sq, v)] {
        let found: Vec<f32> = found.to_vec1().unwrap();
        for i in 0..LEN {
            assert!((f64::from(found[i]) - expected[i]).abs() < 1e-7);
        }
    }
}

#[test]
fn many_parameters_at_once_are_the_same_as_one_by_one() {
    on_every_backend(many_at_once);
}

fn many_at_once(backend: Backend) {
    let shapes: [&[usize]; 4] = [&[3], &[100, 300], &[1, 1, 8], &[17, 5]];
    let make = || -> Vec<[Var; 3]> {
        let vars = shapes.iter().zip(0..).map(|(shape, i)| {
            [
                var(shape, i),
                var(shape, 10 + i),
                Var::from_tensor(&var(shape, 20 + i).sqr().unwrap()).unwrap(),
            ]
        });
        vars.collect()
    };
    let grads: Vec<Tensor> = shapes
        .iter()
        .zip(30..)
        .map(|(shape, i)| tensor(shape, i))
        .collect();
    let (single, many) = (make(), make());
    for ([p, m, v], grad) in single.iter().zip(&grads) {
        backend.with(|| adamw(p, grad, m, v, &STEP)).unwrap();
    }
    let updates: Vec<AdamWUpdate> = many
        .iter()
        .zip(&grads)
        .map(|([param, exp_avg, exp_avg_sq], grad)| AdamWUpdate {
            param,
            grad,
            exp_avg,
            exp_avg_sq,
            step: STEP,
        })
        .collect();
    in_pool(3, || {
        backend.with(|| adamw_all(&updates, &GradScale::default(), None))
    })
    .unwrap();
    for (a, b) in single.iter().flatten().zip(many.iter().flatten()) {
        assert_eq!(bits(a), bits(b));
    }
}

#[test]
fn a_variable_that_occurs_twice_is_refused() {
    let (param, moment, grad) = (var(&[4], 1), var(&[4], 2), tensor(&[4], 3));
    let before = bits(&param);
    for backend in BACKENDS {
        let update = || adamw(&param, &grad, &moment, &moment, &STEP);
        let message = backend.with(update).unwrap_err().to_string();
        assert!(message.contains("twice"), "{message}");
        assert_eq!(bits(&param), before);
    }
}

#[test]
fn grad_norm_is_over_all_tensors() {
    let (a, b) = (tensor(&[10_000], 1), tensor(&[7, 9], 2));
    let expected: f64 = values(10_000, 1)
        .iter()
        .chain(&values(63, 2))
        .map(|&v| f64::from(v) * f64::from(v))
        .sum::<f64>()
        .sqrt();
    let norm = || grad_norm(&[&a, &b]).unwrap().read().unwrap();
    let composed = Backend::Reference.with(norm);
    let (norm, alone) = (in_pool(3, norm), in_pool(1, norm));
    for norm in [norm, composed] {
        assert!(
            (norm / expected - 1.0).abs() < 1e-6,
            "{norm}, expected {expected}"
        );
    }
    assert_eq!(norm.to_bits(), alone.to_bits());
    let nan = Tensor::new(&[1f32, f32::NAN], &Device::Cpu).unwrap();
    for backend in BACKENDS {
        let norm = backend.with(|| grad_norm(&[&a, &nan])).unwrap();
        assert!(norm.read().unwrap().is_nan());
    }
    assert_eq!(grad_norm(&[]).unwrap().read().unwrap(), 0.0);
}

#[test]
fn averages_move_by_the_share_that_is_not_kept() {
    let device = &Device::Cpu;
    for backend in BACKENDS {
        let average = Var::ones((3, LEN), DType::F32, device).unwrap();
        let value = Tensor::full(3f32, (3, LEN), device).unwrap();
        backend
            .with(|| ema_all(&[(&average, &value)], 0.75, None))
            .unwrap();
        let found: Vec<f32> = average.flatten_all().unwrap().to_vec1().unwrap();
        assert!(found.iter().all(|&x| x == 1.5));
        let other = Tensor::ones((3, 4), DType::F32, device).unwrap();
        assert!(
            backend
                .with(|| ema_all(&[(&average, &other)], 0.5, None))
                .is_err()
        );
    }
}

#[test]
fn a_gradient_of_a_larger_norm_is_scaled_down() {
    for backend in BACKENDS {
        let step = |batches, clip: Option<(f64, &GradNorm)>, grad: &Tensor| {
            let (param, exp_avg, exp_avg_sq) =
                (var(&[3, 50], 1), var(&[3, 50], 2), var(&[3, 50], 3));
            let exp_avg_sq = Var::from_tensor(&exp_avg_sq.sqr().unwrap()).unwrap();
            let update = AdamWUpdate {
                param: &param,
                grad,
                exp_avg: &exp_avg,
                exp_avg_sq: &exp_avg_sq,
                step: STEP,
            };
            let scale = GradScale { batches, clip };
            backend.with(|| adamw_all(&[update], &scale, None)).unwrap();
            param.flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        let grad = tensor(&[3, 50], 4);
        let norm = backend.with(|| grad_norm(&[&grad])).unwrap();
        let number = norm.read().unwrap();
        let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
        // Of two batches the gradient has half the norm, which is twice as large as allowed.
        let clipped = step(2, Some((number / 4.0, &norm)), &grad);
        assert!(close(&clipped, &step(4, None, &grad)));
        assert!(!close(&clipped, &step(2, None, &grad)));
        // A norm below the limit changes nothing.
        let free = step(2, Some((number, &norm)), &grad);
        assert_eq!(free, step(2, None, &grad));
    }
}

#[test]
fn after_a_number_that_is_not_finite_updates_change_nothing() {
    let device = &Device::Cpu;
    for backend in BACKENDS {
        let Some(guard) = backend.with(|| Guard::new(device)).unwrap() else {
            assert_ne!(backend, Backend::Gpu, "the GPU's kernels have a guard");
            continue;
        };
        let (param, grad) = (var(&[2, 70], 1), tensor(&[2, 70], 2));
        let (exp_avg, exp_avg_sq) = (var(&[2, 70], 3), var(&[2, 70], 4));
        let average = var(&[2, 70], 5);
        let state = || {
            let vars = [&param, &exp_avg, &exp_avg_sq, &average];
            vars.map(|var| bits(var))
        };
        let update = || {
            let update = AdamWUpdate {
                param: &param,
                grad: &grad,
                exp_avg: &exp_avg,
                exp_avg_sq: &exp_avg_sq,
                step: STEP,
            };
            adamw_all(&[update], &GradScale::default(), Some(&guard)).unwrap();
            ema_all(&[(&average, &param)], 0.5, Some(&guard)).unwrap();
        };
        let check = |value: f32, what, position| {
            let number = Tensor::new(value, device).unwrap();
            backend
                .with(|| guard.check(&number, what, position))
                .unwrap();
        };
        check(1e30, 0, 0);
        assert_eq!(guard.read().unwrap(), None);
        let before = state();
        backend.with(update);
        let after = state();
        assert!(
            before
                .iter()
                .zip(&after)
                .all(|(before, after)| before != after)
        );
        // The first fault is kept.
        check(f32::NEG_INFINITY, 1, 7);
        check(f32::NAN, 0, 8);
        let found = guard.read().unwrap().unwrap();
        let expected = (1, 7, f64::NEG_INFINITY);
        assert_eq!((found.what, found.position, found.value), expected);
        backend.with(update);
        assert_eq!(state(), after);
    }
}
