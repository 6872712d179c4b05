//! The names, shapes and variables of a model's tensors.
//!
//! Only the layers define names and shapes. A model that is built on a recording `VarBuilder` yields the list without
//! allocating the tensors.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Device, Shape, Tensor, Var};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder, VarMap};
use cropmae_config::{Method, ModelConfig};

use crate::vit::Encoder;
use crate::{Pretrainer, Result};

/// The shape and the initial distribution of one tensor.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// The dimensions of the tensor.
    pub shape: Vec<usize>,
    pub(crate) init: Init,
}

/// Returns all tensors of a model under the reference's names, including the fixed position embeddings. The tensors are
/// not allocated.
///
/// # Errors
/// Returns [`crate::ModelError::Config`] if the shape is not valid.
pub fn layout(method: Method, config: &ModelConfig) -> Result<BTreeMap<String, Parameter>> {
    record(|vb| Pretrainer::new(method, config, vb).map(drop))
}

/// Returns the encoder's part of [`layout`], which is the same for every method.
///
/// # Errors
/// Returns [`crate::ModelError::Config`] if the shape is not valid.
pub fn encoder_layout(config: &ModelConfig) -> Result<BTreeMap<String, Parameter>> {
    record(|vb| Encoder::new(config, &vb).map(drop))
}

/// Returns whether `name` is a fixed position embedding, which is part of weight files and is never trained.
#[must_use]
pub fn is_fixed(name: &str) -> bool {
    matches!(name, "pos_embed" | "decoder_pos_embed")
}

/// Returns whether `name` is the name of a decoder tensor.
#[must_use]
pub fn is_of_decoder(name: &str) -> bool {
    name.starts_with("decoder_") || name == "mask_token"
}

/// Returns the trainable variables in name order.
#[must_use]
pub fn named_parameters(vars: &VarMap) -> Vec<(String, Var)> {
    let sorted: BTreeMap<String, Var> = entries(vars);
    sorted
        .into_iter()
        .filter(|(name, _)| !is_fixed(name))
        .collect()
}

/// Returns a builder that shares the storage of `vars` and tracks no gradients. A model built on it follows the
/// training without keeping activations.
#[must_use]
pub fn frozen(vars: &VarMap, device: &Device) -> VarBuilder<'static> {
    let tensors: HashMap<String, Tensor> = entries(vars)
        .into_iter()
        .map(|(name, var)| (name, var.as_detached_tensor()))
        .collect();
    VarBuilder::from_tensors(tensors, DType::F32, device)
}

/// Creates variables with the current values of `vars`.
///
/// # Errors
/// Returns an error if a device operation fails.
pub fn copy(vars: &VarMap) -> Result<VarMap> {
    let copied = entries(vars)
        .into_iter()
        .map(|(name, var)| Ok((name, var.as_detached_tensor().copy()?)))
        .collect::<Result<Vec<_>>>()?;
    var_map(copied)
}

/// Returns all variables of `vars` in name order.
pub(crate) fn entries(vars: &VarMap) -> BTreeMap<String, Var> {
    let vars = vars.data().lock().unwrap_or_else(PoisonError::into_inner);
    vars.iter()
        .map(|(name, var)| (name.clone(), var.clone()))
        .collect()
}

/// Creates a variable for each of `tensors`.
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
        // A single zero, broadcast to the shape.
        Tensor::zeros((), dtype, device)?.broadcast_as(shape)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> candle_core::Result<Tensor> {
        candle_core::bail!("{name}: a tensor of unknown shape cannot be recorded")
    }

    fn contains_tensor(&self, _: &str) -> bool {
        true
    }
}
