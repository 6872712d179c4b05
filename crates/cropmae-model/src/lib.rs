//! CropMAE, SiamMAE and MAE vision transformers, their losses, weights and features.
//!
//! Models are small structs built bottom-up on a candle `VarBuilder`, with tensor names equal to the
//! reference implementation's. Training goes through [`Pretrainer`], dense features through
//! [`FeatureExtractor`], files through [`weights`]. Images enter as patches (B, N, P·P·3): one row per
//! patch, grid rows after one another, values in (row, column, channel) order, normalised with the
//! ImageNet mean and deviation.
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use cropmae_config::{ModelConfig, Seed};
//! use cropmae_model::{FeatureExtractor, VitFeatures};
//!
//! let device = Device::Cpu;
//! let config = ModelConfig { depth: 2, ..ModelConfig::preset("vits16")? };
//! let encoder = VitFeatures::random(&config, Seed(0), &device)?; // VitFeatures::load(path, &device)?
//!
//! // Any size that is a multiple of the patch; the position embedding is interpolated.
//! let image = Tensor::zeros((1, 3, 64, 96), DType::F32, &device)?;
//! let features = encoder.features(&image)?;
//! assert_eq!(features.grid, (4, 6));
//! assert_eq!(features.values.dims(), [1, 4 * 6, 384]);
//!
//! // Where the class token looks, one map per head.
//! let attention = encoder.cls_attention(&image)?;
//! assert_eq!(attention.values.dims(), [1, 6, 4 * 6]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

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
pub use cross_decoder::{CrossDecoder, CrossLayer};
pub use decoder::DecoderEnds;
pub use dropout::DropoutStream;
pub use error::{ModelError, Result};
pub use execution::Execution;
pub use features::{ClsAttention, FeatureExtractor, Features, RawPixels, VitFeatures, patchify};
pub use init::init_parameters;
pub use layers::LAYER_NORM_EPS;
pub use mae::Mae;
pub use mae_decoder::MaeDecoder;
pub use mask::PatchMask;
pub use parameters::named_parameters;
pub use pretrainer::{Forward, Pretrainer};
pub use siamese::Siamese;
pub use vit::{Block, Encoder, PatchEmbed};
