//! Test tensors and the comparison for all ops.

use candle_core::{DType, Device, Result, Tensor, Var};
use cropmae_kernels::{Backend, backward};

use crate::KERNELS;

/// The kernels that are tested, and the reference.
pub const BACKENDS: [Backend; 2] = [KERNELS, Backend::Reference];

/// Calls `f` with each backend as that of the CPU.
pub fn on_every_backend(f: impl Fn(Backend)) {
    for backend in BACKENDS {
        backend.with(|| f(backend));
    }
}

/// Returns values in -1..1 that depend on `seed`.
pub fn values(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678;
    (0..len)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

pub fn tensor(shape: &[usize], seed: u64) -> Tensor {
    let len = shape.iter().product();
    Tensor::from_vec(values(len, seed), shape, &Device::Cpu).unwrap()
}

pub fn var(shape: &[usize], seed: u64) -> Var {
    Var::from_tensor(&tensor(shape, seed)).unwrap()
}

/// Returns all elements in order.
pub fn flat(x: &Tensor) -> Vec<f64> {
    x.flatten_all()
        .unwrap()
        .to_dtype(DType::F64)
        .unwrap()
        .to_vec1()
        .unwrap()
}

pub fn bits(x: &Tensor) -> Vec<u32> {
    let x: Vec<f32> = x.flatten_all().unwrap().to_vec1().unwrap();
    x.iter().map(|v| v.to_bits()).collect()
}

/// Asserts that every element of `found` is within `tolerance` of `expected`, as a share of the largest one.
#[track_caller]
pub fn assert_close(found: &Tensor, expected: &Tensor, tolerance: f64, what: &str) {
    assert_eq!(found.dims(), expected.dims(), "{what}: shape");
    let (found, expected) = (flat(found), flat(expected));
    let scale = expected.iter().fold(1e-2, |max: f64, v| max.max(v.abs()));
    for (i, (f, e)) in found.iter().zip(&expected).enumerate() {
        assert!(
            (f - e).abs() <= tolerance * scale,
            "{what}[{i}]: {f}, expected {e}"
        );
    }
}

/// Returns a scalar with a different weight for every output element.
fn weighed(y: &Tensor) -> Result<Tensor> {
    let weights = tensor(y.dims(), 99).to_dtype(y.dtype())?;
    (y * weights)?.sum_all()
}

/// Converts `x` to the type of `other`.
pub fn like(x: &Tensor, other: &Tensor) -> Tensor {
    x.to_dtype(other.dtype()).unwrap()
}

/// Runs `f` with the kernels under two conditions that must not change a bit: on 1 and on 3 threads or, in the
/// emulator, in two orders of the threads of a device, once for each vendor's matrix units.
pub fn twice<R: Send>(f: impl Fn() -> R + Sync) -> Vec<[R; 2]> {
    #[cfg(feature = "emulated")]
    if KERNELS == Backend::Gpu {
        use cropmae_kernels::{Emulation, Fragments};
        let run = |seed, fragments| Emulation { seed, fragments }.with(|| KERNELS.with(&f));
        return [Fragments::Cuda, Fragments::Metal]
            .map(|fragments| [1, 2].map(|seed| run(seed, fragments)))
            .into();
    }
    vec![[3, 1].map(|threads| in_pool(threads, || KERNELS.with(&f)))]
}

/// Returns the output and the gradients of an op at `inputs`.
fn run(inputs: &[Var], op: &(dyn Fn(&[Tensor]) -> Result<Tensor> + Sync)) -> (Tensor, Vec<Tensor>) {
    let tensors: Vec<Tensor> = inputs.iter().map(|v| v.as_tensor().clone()).collect();
    let y = op(&tensors).unwrap();
    let store = backward(&weighed(&y).unwrap()).unwrap();
    let grads = inputs
        .iter()
        .map(|v| store.get(v).expect("a gradient for each input").clone());
    (y, grads.collect())
}

pub fn in_pool<R: Send>(threads: usize, f: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .unwrap()
        .install(f)
}

/// Compares `op` on the kernels and on the reference with the reference in f64, in its value and all gradients.
///
/// The kernels must give the same bits [`twice`], and the gradient of the reference must agree with a finite
/// difference. `op` receives `inputs` in f32 or f64.
#[track_caller]
pub fn check(inputs: &[Var], op: impl Fn(&[Tensor]) -> Result<Tensor> + Sync) {
    let pairs = twice(|| run(inputs, &op));
    for [(y, grads), (y1, grads1)] in &pairs {
        assert_eq!(bits(y), bits(y1), "value twice");
        for (i, (a, b)) in grads.iter().zip(grads1).enumerate() {
            assert_eq!(bits(a), bits(b), "gradient {i} twice");
        }
    }

    let reference = |inputs: &[Var]| Backend::Reference.with(|| run(inputs, &op));
    let wide: Vec<Var> = inputs
        .iter()
        .map(|v| Var::from_tensor(&v.to_dtype(DType::F64).unwrap()).unwrap())
        .collect();
    let (expected, expected_grads) = reference(&wide);
    let (composed, composed_grads) = reference(inputs);
    for [(y, _), _] in &pairs {
        assert_close(y, &expected, 2e-6, "value");
    }
    assert_close(&composed, &expected, 1e-5, "value of the reference in f32");
    for (i, expected) in expected_grads.iter().enumerate() {
        for [(_, grads), _] in &pairs {
            assert_close(&grads[i], expected, 1e-5, &format!("gradient {i}"));
        }
        let what = format!("gradient {i} of the reference in f32");
        assert_close(&composed_grads[i], expected, 2e-5, &what);
    }

    let directions: Vec<Tensor> = inputs
        .iter()
        .enumerate()
        .map(|(i, v)| tensor(v.dims(), 7 + i as u64).to_dtype(DType::F64).unwrap())
        .collect();
    let scalar = |x: Tensor| x.to_scalar::<f64>().unwrap();
    let shifted = |step: f64| {
        let inputs: Vec<Tensor> = wide
            .iter()
            .zip(&directions)
            .map(|(v, d)| (v.as_tensor() + (d * step).unwrap()).unwrap().detach())
            .collect();
        let y = Backend::Reference.with(|| op(&inputs)).unwrap();
        scalar(weighed(&y).unwrap())
    };
    let difference = (shifted(1e-5) - shifted(-1e-5)) / 2e-5;
    let slope: f64 = expected_grads
        .iter()
        .zip(&directions)
        .map(|(g, d)| scalar((g * d).unwrap().sum_all().unwrap()))
        .sum();
    assert!(
        (slope - difference).abs() <= 1e-6 * slope.abs().max(1.0),
        "slope {slope}, finite difference {difference}"
    );
}
