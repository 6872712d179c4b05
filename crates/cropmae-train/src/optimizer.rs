//! AdamW (Loshchilov and Hutter, ICLR 2019, arXiv 1711.05101) over named parameters.
//!
//! Weight decay applies to all parameters except biases and tensors of at most one dimension (LayerNorm gains). As in
//! the reference, the class and mask tokens are decayed, because they have three dimensions. Parameters are visited in
//! the order of their names.
//!
//! An update calls [`AdamW::accumulate`] for each of its batches, then [`AdamW::reduce`], [`SummedGradient::norm`] if
//! the norm is needed, and [`AdamW::step`].

use std::collections::BTreeMap;

use candle_core::{DType, Tensor, Var};
use cropmae_config::OptimConfig;
use cropmae_kernels::{AdamWStep, AdamWUpdate, GradNorm, GradScale, Gradients, Guard};

use crate::TrainError;

const EXP_AVG: &str = "exp_avg.";
const EXP_AVG_SQ: &str = "exp_avg_sq.";
const GRADIENT: &str = "grad.";
const NORM: &str = "the norm of the gradients";

/// The size of a group of parameters that share a weight decay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct GroupSize {
    /// The number of tensors.
    pub tensors: usize,
    /// The number of values in these tensors.
    pub values: usize,
}

/// A trainable tensor with its moments.
struct Parameter {
    var: Var,
    weight_decay: f64,
    exp_avg: Var,
    exp_avg_sq: Var,
}

fn is_decayed(name: &str, var: &Var) -> bool {
    var.dims().len() > 1 && !name.ends_with(".bias")
}

/// The gradient of one update, as a sum over its batches for each parameter in the order of the names.
pub struct SummedGradient<'a> {
    sums: Vec<&'a Tensor>,
    /// The number of batches in the sums. The gradient is the sums divided by this number, which corresponds to
    /// `loss / accum_iter` in the reference.
    batches: usize,
}

impl SummedGradient<'_> {
    /// Returns the L2 norm of the sums over all parameters. A device with kernels is not waited for.
    ///
    /// # Errors
    /// Returns [`TrainError::Compute`] if the device fails.
    pub fn norm(&self) -> Result<GradNorm, TrainError> {
        cropmae_kernels::grad_norm(&self.sums).map_err(TrainError::compute(NORM))
    }

    /// Returns the L2 norm of the gradient, given the one of the sums. This waits for the device.
    ///
    /// # Errors
    /// Returns [`TrainError::Compute`] if the device fails.
    pub fn read(&self, norm: &GradNorm) -> Result<f64, TrainError> {
        let norm = norm.read().map_err(TrainError::compute(NORM))?;
        Ok(norm / self.batches as f64)
    }
}

/// The AdamW optimizer, with the moments of all parameters and the gradients that wait for the next update.
pub struct AdamW {
    config: OptimConfig,
    parameters: BTreeMap<String, Parameter>,
    /// The sums since the last update. Their memory is reused from update to update.
    gradients: Gradients,
}

impl AdamW {
    /// Creates an optimizer for `parameters`, the trainable tensors of a model by name. All moments are zero.
    ///
    /// # Errors
    /// Returns [`TrainError::Compute`] if the device has too little memory for the moments.
    pub fn new(
        config: &OptimConfig,
        parameters: impl IntoIterator<Item = (String, Var)>,
    ) -> Result<Self, TrainError> {
        let parameters = parameters
            .into_iter()
            .map(|(name, var)| {
                let decayed = is_decayed(&name, &var);
                let zeros = || Var::zeros(var.dims(), DType::F32, var.device());
                let parameter = Parameter {
                    weight_decay: if decayed { config.weight_decay } else { 0.0 },
                    exp_avg: zeros()?,
                    exp_avg_sq: zeros()?,
                    var,
                };
                Ok((name, parameter))
            })
            .collect::<candle_core::Result<_>>()
            .map_err(TrainError::compute("allocating the optimizer's moments"))?;
        Ok(Self {
            config: config.clone(),
            parameters,
            gradients: Gradients::new(),
        })
    }

    /// Returns the names and weight decays of all parameters, in the order of the names.
    pub fn weight_decays(&self) -> impl Iterator<Item = (&str, f64)> {
        self.parameters
            .iter()
            .map(|(name, parameter)| (name.as_str(), parameter.weight_decay))
    }

    /// Returns the sizes of the group with weight decay and of the group without, in this order.
    pub fn group_sizes(&self) -> [GroupSize; 2] {
        let mut sizes = [GroupSize::default(); 2];
        for (name, parameter) in &self.parameters {
            let size = &mut sizes[usize::from(!is_decayed(name, &parameter.var))];
            size.tensors += 1;
            size.values += parameter.var.elem_count();
        }
        sizes
    }

    /// Differentiates `loss` (a scalar) and adds the gradients to those that wait for the next update.
    ///
    /// # Errors
    /// Returns [`TrainError::NoGradient`] if `loss` does not depend on a parameter. Such a tensor would silently keep
    /// its initial value. Returns [`TrainError::Compute`] if the backward pass fails.
    pub fn accumulate(&mut self, loss: &Tensor) -> Result<(), TrainError> {
        self.gradients
            .accumulate(loss)
            .map_err(TrainError::compute("the backward pass"))?;
        for (name, parameter) in &self.parameters {
            if self.gradients.get(&parameter.var).is_none() {
                return Err(TrainError::NoGradient {
                    tensor: name.clone(),
                });
            }
        }
        Ok(())
    }

    /// Returns the gradient of an update from `batches` accumulated batches.
    pub fn reduce(&self, batches: usize) -> SummedGradient<'_> {
        let parameters = self.parameters.values().map(|parameter| &parameter.var);
        SummedGradient {
            sums: self.gradients.tensors(parameters).flatten().collect(),
            batches,
        }
    }

    /// Makes update number `step` (from 1) with `gradient` and the learning rate `lr`, unless `guard` has noted a fault.
    ///
    /// `norm` is the norm of the sums, which `optim.clip_grad_norm` needs.
    ///
    /// # Errors
    /// Returns [`TrainError::Compute`] if the device fails.
    pub fn step(
        &self,
        gradient: &SummedGradient<'_>,
        (step, lr): (u64, f64),
        norm: Option<&GradNorm>,
        guard: Option<&Guard>,
    ) -> Result<(), TrainError> {
        let parameters = self.parameters.values().zip(&gradient.sums);
        let updates: Vec<AdamWUpdate> = parameters
            .map(|(parameter, grad)| AdamWUpdate {
                param: &parameter.var,
                grad,
                exp_avg: &parameter.exp_avg,
                exp_avg_sq: &parameter.exp_avg_sq,
                step: AdamWStep {
                    lr,
                    beta1: self.config.beta1,
                    beta2: self.config.beta2,
                    eps: self.config.eps,
                    weight_decay: parameter.weight_decay,
                    step,
                },
            })
            .collect();
        let scale = GradScale {
            batches: gradient.batches,
            clip: self.config.clip_grad_norm.zip(norm),
        };
        cropmae_kernels::adamw_all(&updates, &scale, guard)
            .map_err(TrainError::compute("the AdamW update"))
    }

    /// Discards the accumulated gradients.
    pub fn clear(&mut self) {
        self.gradients.clear();
    }

    /// Returns the tensors that a resumed run needs, by name: both moments of each parameter, and the gradients that
    /// wait for the next update.
    pub fn state(&self) -> impl Iterator<Item = (String, &Tensor)> {
        self.parameters.iter().flat_map(|(name, parameter)| {
            [
                (EXP_AVG, Some(parameter.exp_avg.as_tensor())),
                (EXP_AVG_SQ, Some(parameter.exp_avg_sq.as_tensor())),
                (GRADIENT, self.gradients.get(&parameter.var)),
            ]
            .into_iter()
            .filter_map(move |(prefix, tensor)| Some((format!("{prefix}{name}"), tensor?)))
        })
    }

    /// Restores the `tensors` that [`Self::state`] returned, including gradients if `accumulated` is true.
    ///
    /// # Errors
    /// Returns [`TrainError::MissingTensor`] if a tensor is missing, and [`TrainError::Compute`] if one has another
    /// shape.
    pub fn restore(
        &mut self,
        tensors: &BTreeMap<String, Tensor>,
        accumulated: bool,
    ) -> Result<(), TrainError> {
        let find = |name: String| {
            tensors
                .get(&name)
                .ok_or_else(|| TrainError::MissingTensor { tensor: name })
        };
        for (name, parameter) in &self.parameters {
            for (prefix, moment) in [
                (EXP_AVG, &parameter.exp_avg),
                (EXP_AVG_SQ, &parameter.exp_avg_sq),
            ] {
                moment
                    .set(find(format!("{prefix}{name}"))?)
                    .map_err(TrainError::compute("restoring the optimizer's moments"))?;
            }
            if accumulated {
                self.gradients
                    .set(&parameter.var, find(format!("{GRADIENT}{name}"))?)
                    .map_err(TrainError::compute("restoring the gradients"))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn optimizer(weight_decay: f64) -> (AdamW, Var) {
        let config = OptimConfig {
            blr: 1.0,
            beta1: 0.9,
            beta2: 0.95,
            eps: 1e-8,
            weight_decay,
            clip_grad_norm: None,
        };
        let var = |shape: &[usize]| Var::ones(shape, DType::F32, &Device::Cpu).unwrap();
        let weight = var(&[2, 3]);
        let parameters = [
            ("fc.weight", weight.clone()),
            ("fc.bias", var(&[1, 3])),
            ("norm.weight", var(&[4])),
            ("cls_token", var(&[1, 1, 4])),
        ];
        let parameters = parameters.map(|(name, var)| (name.to_owned(), var));
        (AdamW::new(&config, parameters).unwrap(), weight)
    }

    #[test]
    fn biases_and_vectors_are_not_decayed() {
        let (optimizer, _) = optimizer(0.05);
        let decays: Vec<(&str, f64)> = optimizer.weight_decays().collect();
        let expected = [
            ("cls_token", 0.05),
            ("fc.bias", 0.0),
            ("fc.weight", 0.05),
            ("norm.weight", 0.0),
        ];
        assert_eq!(decays, expected);
        let [decayed, not_decayed] = optimizer.group_sizes();
        assert_eq!((decayed.tensors, decayed.values), (2, 10));
        assert_eq!((not_decayed.tensors, not_decayed.values), (2, 7));
    }

    #[test]
    fn a_parameter_that_the_loss_ignores_is_named() {
        let (mut optimizer, weight) = optimizer(0.05);
        let loss = weight.sqr().unwrap().sum_all().unwrap();
        let error = optimizer.accumulate(&loss).unwrap_err();
        assert!(
            matches!(&error, TrainError::NoGradient { tensor } if tensor == "cls_token"),
            "{error}"
        );
    }
}
