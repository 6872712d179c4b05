//! The reference's initialisation, drawn from the experiment's seed (MAE, appendix A.1 "ViT
//! architecture": Xavier-uniform linear layers). The rule of each tensor is the hint its layer asks with.
//!
//! Each tensor has a generator of its own, keyed by its name: what it starts from depends neither on the
//! order in which tensors are made nor on which others there are, so encoders of all methods start equal.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use candle_nn::{Init, VarMap};
use cropmae_config::{Method, ModelConfig, Seed, Stream};
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::parameters::{self, Parameter};
use crate::{Result, pos_embed};

/// All tensors of a fresh model under the reference's names, fixed position embeddings included.
///
/// # Errors
/// [`crate::ModelError::Config`] for an impossible shape.
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

/// Tensors for `layout`, those of a model on a square of `grid` patches a side.
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
        Init::Kaiming { .. } => candle_core::bail!("{name}: no layer of the family starts Kaiming"),
    };
    Tensor::from_vec(values, shape, device)
}

/// 64-bit FNV-1a: a hash whose values never change between releases, unlike the standard library's.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
