//! CropMAE, SiamMAE and MAE vision transformers, their losses, weights and features.
//!
//! Models are small structs on a candle `VarBuilder`. Their tensors have the names of the reference implementation.
//! [`Pretrainer`] trains them, [`FeatureExtractor`] computes dense features, and [`weights`] reads and writes files.
//! Models take images as patches (B, N, P·P·3): one row per patch in row-major order of the grid, values in
//! (row, column, channel) order, normalized with the mean and standard deviation of ImageNet.
#![doc = include_str!("../README.md")]

mod cross_decoder;
mod decoder;
mod dropout;
mod error;
mod execution;
mod features;
mod init;
mod layers;
mod mae;
mod mae_decoder;
mod mask;
pub mod parameters;
pub mod pos_embed;
mod pretrainer;
mod siamese;
pub mod tensor_file;
mod vit;
pub mod weights;

pub use cropmae_kernels::Compute;
pub use cross_decoder::{CrossDecoder, CrossLayer, FEED_FORWARD_DIM};
pub use decoder::DecoderEnds;
pub use dropout::DropoutStream;
pub use error::{ModelError, Result};
pub use execution::Execution;
pub use features::{
    ClsAttention, FeatureExtractor, Features, RawPixels, VitFeatures, normalize_rgb, patchify,
};
pub use init::init_parameters;
pub use layers::LAYER_NORM_EPS;
pub use mae::Mae;
pub use mae_decoder::MaeDecoder;
pub use mask::PatchMask;
pub use parameters::named_parameters;
pub use pretrainer::{Forward, Pretrainer};
pub use siamese::Siamese;
pub use vit::{Block, Encoder, PatchEmbed};
