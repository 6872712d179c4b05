//! The initialization of the reference (MAE, appendix A.1 "ViT architecture": Xavier-uniform linear layers), drawn from
//! the seed of the experiment. The layers give the distribution of each tensor as a hint.
//!
//! Each tensor has its own generator, keyed by its name. Its initial values depend neither on the order of the tensors
//! nor on the other tensors, so the encoders of all methods start from the same weights.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use candle_nn::{Init, VarMap};
use cropmae_config::{Method, ModelConfig, Seed, Stream};
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::parameters::{self, Parameter};
use crate::{Result, pos_embed};

/// Returns all tensors of a new model under the reference's names, including the fixed position embeddings.
///
/// # Errors
/// Returns [`crate::ModelError::Config`] if the shape is not valid.
pub fn init_parameters(
    config: &ModelConfig,
    method: Method,
    seed: Seed,
    device: &Device,
) -> Result<VarMap> {
    parameters::var_map(draw_all(
        parameters::layout(method, config)?,
        config.grid(),
        seed,
        device,
    )?)
}

/// Draws the tensors of `layout` for a model with a grid of `grid` x `grid` patches.
pub(crate) fn draw_all(
    layout: BTreeMap<String, Parameter>,
    grid: usize,
    seed: Seed,
    device: &Device,
) -> Result<BTreeMap<String, Tensor>> {
    layout
        .into_iter()
        .map(|(name, Parameter { shape, init })| {
            let tensor = if parameters::is_fixed(&name) {
                pos_embed::sin_cos(shape[2], grid, device)?
            } else {
                draw(&name, &shape, init, seed, device)?
            };
            Ok((name, tensor))
        })
        .collect()
}

fn draw(
    name: &str,
    shape: &[usize],
    init: Init,
    seed: Seed,
    device: &Device,
) -> candle_core::Result<Tensor> {
    let mut rng = seed.rng(Stream::Init, fnv1a(name), 0);
    let len = shape.iter().product();
    let values: Vec<f32> = match init {
        Init::Const(value) => vec![value as f32; len],
        Init::Uniform { lo, up } => (0..len)
            .map(|_| (lo + (up - lo) * f64::from(rng.random::<f32>())) as f32)
            .collect(),
        Init::Randn { mean, stdev } => (0..len)
            .map(|_| {
                let normal: f64 = StandardNormal.sample(&mut rng);
                (mean + stdev * normal) as f32
            })
            .collect(),
        Init::Kaiming { .. } => {
            candle_core::bail!("{name}: Kaiming initialization is not supported")
        }
    };
    Tensor::from_vec(values, shape, device)
}

/// Computes the 64-bit FNV-1a hash. Unlike those of the standard library, its values are the same in every release.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
