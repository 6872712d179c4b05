//! AdamW (Loshchilov and Hutter, ICLR 2019, arXiv 1711.05101) over named parameters.
//!
//! Biases and tensors of at most one dimension (LayerNorm gains) are not decayed, everything else is; the
//! class and mask tokens have three dimensions and therefore are, as in the reference. Gradients of several
//! batches are summed here and averaged by the update. Parameters are visited in name order.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor, Var};
use cropmae_config::OptimConfig;
use cropmae_kernels::{AdamWStep, AdamWUpdate, Gradients};

use crate::TrainError;

const EXP_AVG: &str = "exp_avg.";
const EXP_AVG_SQ: &str = "exp_avg_sq.";
const GRADIENT: &str = "grad.";

/// Tensors and values that share a weight decay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct GroupSize {
    /// Number of tensors.
    pub tensors: usize,
    /// Number of values in them.
    pub values: usize,
}

/// One trainable tensor with its moments.
struct Parameter {
    var: Var,
    weight_decay: f64,
    exp_avg: Var,
    exp_avg_sq: Var,
}

fn is_decayed(name: &str, var: &Var) -> bool {
    var.dims().len() > 1 && !name.ends_with(".bias")
}

/// AdamW with gradient accumulation and optional clipping.
pub struct AdamW {
    config: OptimConfig,
    parameters: BTreeMap<String, Parameter>,
    /// Summed since the last update, in memory that serves from update to update.
    gradients: Gradients,
    accumulated: usize,
    updates: u64,
}

impl AdamW {
    /// Moments at zero for `parameters`, the trainable tensors of a model by name.
    ///
    /// # Errors
    /// [`TrainError::Compute`] when the device has no room for the moments.
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
            accumulated: 0,
            updates: 0,
        })
    }

    /// Names and weight decays of all parameters, in name order.
    pub fn weight_decays(&self) -> impl Iterator<Item = (&str, f64)> {
        self.parameters
            .iter()
            .map(|(name, parameter)| (name.as_str(), parameter.weight_decay))
    }

    /// Sizes of the group with weight decay and of the group without, in this order.
    pub fn group_sizes(&self) -> [GroupSize; 2] {
        let mut sizes = [GroupSize::default(); 2];
        for (name, parameter) in &self.parameters {
            let size = &mut sizes[usize::from(!is_decayed(name, &parameter.var))];
            size.tensors += 1;
            size.values += parameter.var.elem_count();
        }
        sizes
    }

    /// Updates made so far.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// Batches whose gradients wait for the next update.
    pub fn accumulated(&self) -> usize {
        self.accumulated
    }

    /// Differentiates `loss` (a scalar) and adds the gradients to those waiting for the next update.
    ///
    /// # Errors
    /// [`TrainError::NoGradient`] for a parameter that `loss` does not depend on: such a tensor would stay
    /// at its initial value without anyone noticing.
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
        self.accumulated += 1;
        Ok(())
    }

    /// L2 norm over all parameters of the gradient averaged over `batches` batches. Reading it waits for
    /// the device.
    ///
    /// # Errors
    /// [`TrainError::Compute`] from the device.
    pub fn grad_norm(&self, batches: usize) -> Result<f64, TrainError> {
        let parameters = self.parameters.values().map(|parameter| &parameter.var);
        let gradients: Vec<&Tensor> = self.gradients.tensors(parameters).flatten().collect();
        let norm = cropmae_kernels::grad_norm(&gradients)
            .map_err(TrainError::compute("the norm of the gradients"))?;
        Ok(norm / batches as f64)
    }

    /// Applies one update with rate `lr` and forgets the gradients. The sum of the gradients is divided by
    /// `batches`, which is the reference's `loss / accum_iter`.
    ///
    /// `grad_norm` is what [`Self::grad_norm`] gave, if it was asked; clipping asks by itself otherwise.
    ///
    /// # Errors
    /// [`TrainError::Compute`] from the device.
    pub fn update(
        &mut self,
        lr: f64,
        batches: usize,
        grad_norm: Option<f64>,
    ) -> Result<(), TrainError> {
        let clip = match self.config.clip_grad_norm {
            Some(max) => {
                let norm = grad_norm.map_or_else(|| self.grad_norm(batches), Ok)?;
                // As in the reference's library: no scaling up, and no division by zero.
                (max / (norm + 1e-6)).min(1.0)
            }
            None => 1.0,
        };
        self.updates += 1;
        self.accumulated = 0;
        let updates: Vec<AdamWUpdate> = self
            .parameters
            .values()
            .filter_map(|parameter| {
                let step = AdamWStep {
                    lr,
                    beta1: self.config.beta1,
                    beta2: self.config.beta2,
                    eps: self.config.eps,
                    weight_decay: parameter.weight_decay,
                    step: self.updates,
                    grad_scale: clip / batches as f64,
                };
                Some(AdamWUpdate {
                    param: &parameter.var,
                    grad: self.gradients.get(&parameter.var)?,
                    exp_avg: &parameter.exp_avg,
                    exp_avg_sq: &parameter.exp_avg_sq,
                    step,
                })
            })
            .collect();
        cropmae_kernels::adamw_all(&updates).map_err(TrainError::compute("the AdamW update"))?;
        self.gradients.clear();
        Ok(())
    }

    /// Everything a resumed run needs, by name: both moments of each parameter and the gradients waiting
    /// for the next update.
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

    /// Takes up a state written by [`Self::state`] after `updates` updates with `accumulated` batches
    /// waiting.
    ///
    /// # Errors
    /// [`TrainError::Compute`] for a tensor that is absent or of another shape.
    pub fn restore(
        &mut self,
        tensors: &BTreeMap<String, Tensor>,
        updates: u64,
        accumulated: usize,
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
            if accumulated > 0 {
                self.gradients
                    .set(&parameter.var, find(format!("{GRADIENT}{name}"))?)
                    .map_err(TrainError::compute("restoring the gradients"))?;
            }
        }
        self.updates = updates;
        self.accumulated = accumulated;
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
