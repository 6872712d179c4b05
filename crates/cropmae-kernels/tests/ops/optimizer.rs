//! Tests of adamw, adamw_all, ema_all and grad_norm.

use candle_core::{DType, Device, Tensor, Var};
use cropmae_kernels::{AdamWStep, AdamWUpdate, Backend, adamw, adamw_all, ema_all, grad_norm};

use crate::support::{BACKENDS, bits, in_pool, on_every_backend, tensor, values, var};

const STEP: AdamWStep = AdamWStep {
    lr: 1e-2,
    beta1: 0.9,
    beta2: 0.95,
    eps: 1e-8,
    weight_decay: 0.05,
    step: 1,
    grad_scale: 0.5,
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
    for step in 1..=3 {
        let grads = values(LEN, 10 + step);
        let grad = Tensor::from_slice(&grads, LEN, &Device::Cpu).unwrap();
        adamw(
            &param,
            &grad,
            &exp_avg,
            &exp_avg_sq,
            &AdamWStep { step, ..STEP },
        )
        .unwrap();
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
    in_pool(3, || backend.with(|| adamw_all(&updates))).unwrap();
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
    let norm = in_pool(3, || grad_norm(&[&a, &b])).unwrap();
    let composed = Backend::Reference.with(|| grad_norm(&[&a, &b])).unwrap();
    for norm in [norm, composed] {
        assert!(
            (norm / expected - 1.0).abs() < 1e-6,
            "{norm}, expected {expected}"
        );
    }
    assert_eq!(
        norm.to_bits(),
        in_pool(1, || grad_norm(&[&a, &b])).unwrap().to_bits()
    );
    let nan = Tensor::new(&[1f32, f32::NAN], &Device::Cpu).unwrap();
    for backend in BACKENDS {
        assert!(backend.with(|| grad_norm(&[&a, &nan])).unwrap().is_nan());
    }
    assert_eq!(grad_norm(&[]).unwrap(), 0.0);
}

#[test]
fn averages_move_by_the_share_that_is_not_kept() {
    let device = &Device::Cpu;
    for backend in BACKENDS {
        let average = Var::ones((3, LEN), DType::F32, device).unwrap();
        let value = Tensor::full(3f32, (3, LEN), device).unwrap();
        backend
            .with(|| ema_all(&[(&average, &value)], 0.75))
            .unwrap();
        let found: Vec<f32> = average.flatten_all().unwrap().to_vec1().unwrap();
        assert!(found.iter().all(|&x| x == 1.5));
        let other = Tensor::ones((3, 4), DType::F32, device).unwrap();
        assert!(
            backend
                .with(|| ema_all(&[(&average, &other)], 0.5))
                .is_err()
        );
    }
}
