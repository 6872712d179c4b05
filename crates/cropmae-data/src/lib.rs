//! Image sources, decoding, crop pairs, masks and the batch loader of CropMAE in Rust.
//!
//! A [`Dataset`] lists a folder of images (or of videos as frames), and a [`Loader`] turns it into [`Batch`]es of
//! patches and masks. All data is in plain CPU buffers; the crate uses no tensor library and no device. Every random
//! choice is keyed by (seed, epoch, sample), so a batch depends neither on the number of threads nor on what was loaded
//! before it.
//!
//! Views leave the crate as *patches*: f32 values of shape `(B, N, P*P*3)`, one row per patch. Patches are row-major
//! over the grid, and their values are in the order (row in patch, column in patch, channel). Values are normalized
//! with the mean and standard deviation of ImageNet.

mod augment;
pub mod boxes;
pub mod check;
mod dataset;
pub mod decode;
mod error;
pub mod fingerprint;
#[cfg(test)]
mod fixtures;
mod loader;
pub mod masks;
mod mirror;
pub mod normalize;
mod order;
pub mod pack;
pub mod patchify;
mod random;
pub mod resize;
mod sources;
mod stages;
mod tolerance;
mod views;

pub use dataset::{Dataset, Preview};
pub use error::{BadFile, DataError};
pub use loader::{Batch, Buffer, Epoch, Loader, LoaderConfig, Patches, Pixels};
pub use order::Order;
pub use stages::StageSeconds;
