//! Names, shapes and variables of a model's tensors.
//!
//! The layers themselves are the only place where names and shapes are written: building a model on a
//! recording `VarBuilder` yields the list without allocating it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Device, Shape, Tensor, Var};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder, VarMap};
use cropmae_config::{Method, ModelConfig};

use crate::vit::Encoder;
use crate::{Pretrainer, Result};

/// Shape and initialisation rule of one tensor.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// Its dimensions.
    pub shape: Vec<usize>,
    pub(crate) init: Init,
}

/// All tensors of a model by the reference's names, fixed position embeddings included. Nothing of the
/// model's size is allocated.
///
/// # Errors
/// [`crate::ModelError::Config`] for an impossible shape.
pub fn layout(method: Method, config: &ModelConfig) -> Result<BTreeMap<String, Parameter>> {
    record(|vb| Pretrainer::new(method, config, vb).map(drop))
}

/// The encoder's part of [`layout`], the same for every method.
///
/// # Errors
/// [`crate::ModelError::Config`] for an impossible shape.
pub fn encoder_layout(config: &ModelConfig) -> Result<BTreeMap<String, Parameter>> {
    record(|vb| Encoder::new(config, &vb).map(drop))
}

/// Whether `name` is a fixed position embedding: part of a weight file, never trained.
#[must_use]
pub fn is_fixed(name: &str) -> bool {
    matches!(name, "pos_embed" | "decoder_pos_embed")
}

/// Whether `name` is a decoder's.
#[must_use]
pub fn is_of_decoder(name: &str) -> bool {
    name.starts_with("decoder_") || name == "mask_token"
}

/// The trainable variables in name order.
#[must_use]
pub fn named_parameters(vars: &VarMap) -> Vec<(String, Var)> {
    let sorted: BTreeMap<String, Var> = entries(vars);
    sorted
        .into_iter()
        .filter(|(name, _)| !is_fixed(name))
        .collect()
}

/// A builder on the same storage as `vars` that tracks no gradients: a model built on it follows the
/// training without keeping activations.
#[must_use]
pub fn frozen(vars: &VarMap, device: &Device) -> VarBuilder<'static> {
    let tensors: HashMap<String, Tensor> = entries(vars)
        .into_iter()
        .map(|(name, var)| (name, var.as_detached_tensor()))
        .collect();
    VarBuilder::from_tensors(tensors, DType::F32, device)
}

/// New variables with the values that `vars` have now.
///
/// # Errors
/// Errors of the device.
pub fn copy(vars: &VarMap) -> Result<VarMap> {
    let copied = entries(vars)
        .into_iter()
        .map(|(name, var)| Ok((name, var.as_detached_tensor().copy()?)))
        .collect::<Result<Vec<_>>>()?;
    var_map(copied)
}

/// Everything in `vars`, in name order.
pub(crate) fn entries(vars: &VarMap) -> BTreeMap<String, Var> {
    let vars = vars.data().lock().unwrap_or_else(PoisonError::into_inner);
    vars.iter()
        .map(|(name, var)| (name.clone(), var.clone()))
        .collect()
}

/// A variable for each of `tensors`.
pub(crate) fn var_map(tensors: impl IntoIterator<Item = (String, Tensor)>) -> Result<VarMap> {
    let map = VarMap::new();
    {
        let mut vars = map.data().lock().unwrap_or_else(PoisonError::into_inner);
        for (name, tensor) in tensors {
            vars.insert(name, Var::from_tensor(&tensor)?);
        }
    }
    Ok(map)
}

fn record(build: impl FnOnce(VarBuilder) -> Result<()>) -> Result<BTreeMap<String, Parameter>> {
    let recorder = Recorder::default();
    build(VarBuilder::from_backend(
        Box::new(recorder.clone()),
        DType::F32,
        Device::Cpu,
    ))?;
    let mut seen = recorder.0.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(std::mem::take(&mut *seen))
}

#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<BTreeMap<String, Parameter>>>);

impl SimpleBackend for Recorder {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        init: Init,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        let parameter = Parameter {
            shape: shape.dims().to_vec(),
            init,
        };
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name.to_owned(), parameter);
        // One zero seen through a view of the right shape.
        Tensor::zeros((), dtype, device)?.broadcast_as(shape)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> candle_core::Result<Tensor> {
        candle_core::bail!("{name}: a tensor of unknown shape cannot be recorded")
    }

    fn contains_tensor(&self, _: &str) -> bool {
        true
    }
}
