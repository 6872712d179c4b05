//! A moving average of the weights, which often evaluates better than the weights themselves.
//!
//! After update t (from 1), average = d * average + (1 - d) * weights with d = min(decay, (1 + t) / (10 + t)),
//! so that even short runs soon forget the initial weights. The average is f32 and updated in place.

use std::collections::BTreeMap;

use candle_core::Var;
use candle_nn::VarMap;
use cropmae_kernels::Guard;
use cropmae_model::named_parameters;

use crate::TrainError;

/// The averages of all trainable tensors.
pub(crate) struct Ema {
    decay: f64,
    averages: VarMap,
    /// Pairs of an average and a weight, sorted by name.
    pairs: Vec<(Var, Var)>,
}

impl Ema {
    /// Starts the averages at `weights`.
    pub(crate) fn new(decay: f64, weights: &VarMap) -> Result<Self, TrainError> {
        let averages = cropmae_model::parameters::copy(weights)?;
        Self::resume(decay, averages, weights)
    }

    /// Continues from `averages`, which must have the names of `weights`.
    pub(crate) fn resume(
        decay: f64,
        averages: VarMap,
        weights: &VarMap,
    ) -> Result<Self, TrainError> {
        let by_name: BTreeMap<String, Var> = named_parameters(&averages).into_iter().collect();
        let pairs = named_parameters(weights)
            .into_iter()
            .map(|(name, weight)| match by_name.get(&name) {
                Some(average) => Ok((average.clone(), weight)),
                None => Err(TrainError::MissingTensor { tensor: name }),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            decay,
            averages,
            pairs,
        })
    }

    /// Updates the averages with the weights after `updates` updates, unless `guard` has noted a fault.
    pub(crate) fn update(&self, updates: u64, guard: Option<&Guard>) -> Result<(), TrainError> {
        let t = updates as f64;
        let decay = self.decay.min((1.0 + t) / (10.0 + t));
        let pairs: Vec<_> = self
            .pairs
            .iter()
            .map(|(average, weight)| (average, weight.as_tensor()))
            .collect();
        cropmae_kernels::ema_all(&pairs, decay, guard)
            .map_err(TrainError::compute("the moving average"))
    }

    /// Returns the averages by name, including fixed tensors.
    pub(crate) fn averages(&self) -> &VarMap {
        &self.averages
    }
}
