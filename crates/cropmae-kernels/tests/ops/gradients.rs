//! Tests that `backward` and `Gradients` lose nothing, count nothing twice, and propagate NaN.

use candle_core::{DType, Device, Result, Tensor, Var};
use cropmae_kernels::{
    Backend, Compute, Dropout, Gradients, Norm, Policy, attention_block, backward, cross_attention,
    dropout, layer_norm, linear, masked_pixel_loss, mlp, mlp_block, patch_embed, pixel_loss,
    residual_layer_norm, self_attention,
};

use crate::KERNELS;
use crate::support::{BACKENDS, assert_close, bits, on_every_backend, tensor, var};

/// A small network with every op and every kind of weight.
struct Network {
    vars: Vec<Var>,
    patches: Tensor,
    pos: Tensor,
    ids: Tensor,
}

impl Network {
    fn new() -> Self {
        let d = 32;
        let shapes: [&[usize]; 19] = [
            &[d, 3, 2, 2],
            &[d],
            &[d],
            &[d],
            &[3 * d, d],
            &[3 * d],
            &[2 * d, d],
            &[2 * d],
            &[d, 2 * d],
            &[d],
            &[d],
            &[d],
            &[12, d],
            &[12],
            &[1, 1, d],
            &[2 * d, d],
            &[2 * d],
            &[d, d],
            &[d],
        ];
        let vars = shapes
            .iter()
            .zip(0..)
            .map(|(shape, seed)| var(shape, seed))
            .collect();
        let ids = Tensor::new(&[[0u32, 1, 2, 3, 4], [4, 3, 2, 1, 0]], &Device::Cpu).unwrap();
        Self {
            vars,
            patches: tensor(&[2, 9, 12], 50),
            pos: tensor(&[9, d], 51),
            ids,
        }
    }

    fn loss(&self, key: u64) -> Result<Tensor> {
        let v = |i: usize| self.vars[i].as_tensor();
        let drop = Some(Dropout { p: 0.1, key });
        let x = patch_embed(
            &self.patches,
            Some(&self.ids),
            v(0),
            v(1),
            &self.pos,
            Compute::F32,
        )?;
        let x = x.broadcast_add(v(14))?;
        let y = layer_norm(&x, v(2), v(3), 1e-6)?;
        let y = self_attention(
            &linear(&y, v(4), v(5), Compute::F32)?,
            2,
            drop,
            Compute::F32,
        )?;
        let y = cross_attention(
            &y,
            &linear(&x, v(15), v(16), Compute::F32)?,
            4,
            drop,
            Compute::F32,
        )?;
        let y = dropout(
            &y,
            Dropout {
                p: 0.2,
                key: key + 1,
            },
        )?;
        let y = residual_layer_norm(&y, &x, v(10), v(11), 1e-6, drop)?;
        let norm = Norm {
            weight: v(2),
            bias: v(3),
            eps: 1e-6,
        };
        let y = attention_block(&y, norm, (v(4), v(5)), (v(17), v(18)), 4, Policy::default())?;
        let y = mlp_block(&y, norm, (v(6), v(7)), (v(8), v(9)), Policy::default())?;
        let y = (mlp(&y, (v(6), v(7)), (v(8), v(9)), drop, Policy::default())? + y)?;
        masked_pixel_loss(
            &linear(&y, v(12), v(13), Compute::F32)?,
            &self.patches,
            &self.ids,
            true,
        )
    }
}

#[test]
fn every_variable_gets_a_gradient() {
    on_every_backend(|_| gradients_of_every_variable());
}

fn gradients_of_every_variable() {
    let network = Network::new();
    let store = backward(&network.loss(1).unwrap()).unwrap();
    for (i, var) in network.vars.iter().enumerate() {
        let grad = store
            .get(var)
            .unwrap_or_else(|| panic!("variable {i} has no gradient"));
        assert_eq!(grad.dims(), var.dims());
        let norm = cropmae_kernels::grad_norm(&[grad]).unwrap().read().unwrap();
        assert!(norm.is_finite() && norm > 1e-6, "variable {i}: norm {norm}");
    }
    assert_eq!(
        store.get_ids().count(),
        network.vars.len(),
        "only variables are in the store"
    );
}

#[test]
fn gradients_sum_over_losses_and_restart_after_clear() {
    on_every_backend(|_| sums_over_losses());
}

fn sums_over_losses() {
    let network = Network::new();
    let losses = [network.loss(1).unwrap(), network.loss(2).unwrap()];
    let stores = losses.each_ref().map(|loss| backward(loss).unwrap());
    let mut gradients = Gradients::new();
    for _ in 0..2 {
        for loss in &losses {
            gradients.accumulate(loss).unwrap();
        }
        for var in &network.vars {
            let expected = (stores[0].get(var).unwrap() + stores[1].get(var).unwrap()).unwrap();
            assert_close(gradients.get(var).unwrap(), &expected, 1e-6, "sum");
        }
        gradients.clear();
        assert!(network.vars.iter().all(|var| gradients.get(var).is_none()));
    }
    assert!(gradients.tensors(&network.vars).all(|sum| sum.is_none()));
    gradients.accumulate(&losses[0]).unwrap();
    for (var, sum) in network.vars.iter().zip(gradients.tensors(&network.vars)) {
        assert_eq!(sum.unwrap().id(), gradients.get(var).unwrap().id());
        assert!(sum.unwrap().is_contiguous() && sum.unwrap().dims() == var.dims());
        assert_eq!(
            bits(gradients.get(var).unwrap()),
            bits(stores[0].get(var).unwrap())
        );
    }
}

#[test]
fn a_weight_used_twice_gets_both_shares() {
    on_every_backend(|_| both_shares());
}

fn both_shares() {
    let (weight, bias, x) = (var(&[4, 4], 1), var(&[4], 2), tensor(&[3, 4], 3));
    let once = |x: &Tensor| linear(x, &weight, &bias, Compute::F32).unwrap();
    let both = (once(&x) + once(&(&x * 2.0).unwrap()))
        .unwrap()
        .sum_all()
        .unwrap();
    let also_plain = (both + weight.as_tensor().sum_all().unwrap()).unwrap();
    let store = backward(&also_plain).unwrap();
    let column_sums = x.sum_keepdim(0).unwrap();
    let expected = ((column_sums * 3.0).unwrap() + 1.0)
        .unwrap()
        .broadcast_as((4, 4))
        .unwrap();
    assert_close(store.get(&weight).unwrap(), &expected, 1e-6, "weight");
    let expected = Tensor::full(6f32, 4, &Device::Cpu).unwrap();
    assert_close(store.get(&bias).unwrap(), &expected, 1e-6, "bias");
}

/// An op keeps the backend of its call.
#[test]
fn the_backward_pass_runs_where_the_forward_pass_ran() {
    let (weight, bias, x) = (var(&[4, 4], 1), var(&[4], 2), tensor(&[3, 4], 3));
    let loss = |backend: Backend| {
        let y = backend
            .with(|| linear(&x, &weight, &bias, Compute::F32))
            .unwrap();
        y.sqr().unwrap().sum_all().unwrap()
    };
    let grads = |loss: &Tensor| bits(backward(loss).unwrap().get(&weight).unwrap());
    for backend in BACKENDS {
        let expected = backend.with(|| grads(&loss(backend)));
        for other in BACKENDS {
            assert_eq!(other.with(|| grads(&loss(backend))), expected);
        }
    }
    // The kernels need `Gradients`, and the reference only uses candle's graph.
    assert!(loss(KERNELS).backward().is_err());
    assert!(loss(Backend::Reference).backward().is_ok());
}

#[test]
fn plain_backward_is_refused_not_silent() {
    let (weight, bias) = (var(&[4, 4], 1), var(&[4], 2));
    let loss = linear(&tensor(&[2, 4], 3), &weight, &bias, Compute::F32)
        .unwrap()
        .sum_all()
        .unwrap();
    let message = loss.backward().unwrap_err().to_string();
    assert!(message.contains("cropmae_kernels::backward"), "{message}");
    // A failed pass has no effect on later ones.
    assert!(backward(&loss).is_ok());
}

#[test]
fn a_failed_pass_uninstalls_the_sums() {
    let weight = var(&[4, 4], 1);
    let y = linear(&tensor(&[2, 4], 3), &weight, &tensor(&[4], 4), Compute::F32).unwrap();
    // This op has no backward pass and uses the result of our ops.
    let broken = y.apply_op1(NoBackward).unwrap().sum_all().unwrap();
    assert!(backward(&broken).is_err());
    assert!(
        y.sum_all().unwrap().backward().is_err(),
        "sums were left installed"
    );
    assert!(backward(&y.sum_all().unwrap()).is_ok());
}

struct NoBackward;

impl candle_core::CustomOp1 for NoBackward {
    fn name(&self) -> &'static str {
        "no_backward"
    }

    fn cpu_fwd(
        &self,
        storage: &candle_core::CpuStorage,
        layout: &candle_core::Layout,
    ) -> Result<(candle_core::CpuStorage, candle_core::Shape)> {
        Ok((storage.clone(), layout.shape().clone()))
    }
}

#[test]
fn nan_reaches_the_loss() {
    on_every_backend(|_| follow_nan());
}

fn follow_nan() {
    let network = Network::new();
    for var in &network.vars {
        let good = var.as_tensor().copy().unwrap();
        let mut values: Vec<f32> = good.flatten_all().unwrap().to_vec1().unwrap();
        let middle = values.len() / 2;
        values[middle] = f32::NAN;
        var.set(&Tensor::from_vec(values, var.shape(), &Device::Cpu).unwrap())
            .unwrap();
        let loss = network.loss(1).unwrap().to_scalar::<f32>().unwrap();
        assert!(
            loss.is_nan(),
            "a NaN in a variable of shape {:?} vanished",
            var.dims()
        );
        var.set(&good).unwrap();
    }
    assert!(
        !network
            .loss(1)
            .unwrap()
            .to_scalar::<f32>()
            .unwrap()
            .is_nan()
    );

    let pred = var(&[1, 1, 4], 1);
    let nan = Tensor::full(f32::NAN, (1, 1, 4), &Device::Cpu).unwrap();
    for norm_pix in [false, true] {
        let loss = pixel_loss(&pred, &nan, norm_pix).unwrap();
        assert!(
            loss.to_dtype(DType::F32)
                .unwrap()
                .to_scalar::<f32>()
                .unwrap()
                .is_nan()
        );
    }
}
