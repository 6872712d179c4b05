//! Frames to packed features; frames are decoded ahead.
//!
//! The only file that touches tensors. Decoding runs one batch ahead of the encoder, so memory is bounded by
//! a few batches whatever the length of the video. The encoder and the consumer take turns on the calling
//! thread: each fills all cores by itself, and the caller may be one of the pool's threads, which must not
//! sleep while there is work.

use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;

use candle_core::{DType, Device, Tensor};
use cropmae_model::{FeatureExtractor, ModelError};
use rayon::prelude::*;

use crate::error::EvalError;
use crate::frames::{batch_len, encoder_input};
use crate::propagation::{Grid, PackedFeatures};
use crate::size::Size;

/// What decides the features of a frame.
#[derive(Clone, Copy)]
pub(crate) struct Encoding<'a> {
    pub encoder: &'a dyn FeatureExtractor,
    /// Size of the encoder's input.
    pub size: Size,
    /// See [`Protocol::feature_block`](cropmae_config::Protocol::feature_block).
    pub block: Option<usize>,
    /// See [`Protocol::l2_normalise`](cropmae_config::Protocol::l2_normalise).
    pub l2_normalise: bool,
}

/// Calls `consume(index, features)` for every frame in order; stops at the first error of any stage.
///
/// # Errors
/// Those of [`encoder_input`], [`EvalError::Encoder`], [`EvalError::Features`], and `consume`'s own.
pub(crate) fn for_each_frame(
    frames: &[PathBuf],
    original: Size,
    encoding: Encoding<'_>,
    mut consume: impl FnMut(usize, PackedFeatures) -> Result<(), EvalError>,
) -> Result<(), EvalError> {
    let cells = Grid::of(encoding.size, encoding.encoder.patch_size()).cells();
    let (decoded, to_encode) = sync_channel(1);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for batch in frames.chunks(batch_len(cells)) {
                let pixels = decode(batch, original, &frames[0], encoding.size);
                if decoded.send((batch, pixels)).is_err() {
                    break; // the encoder or the consumer has failed
                }
            }
        });
        let mut index = 0;
        for (batch, pixels) in to_encode {
            for frame in encode(batch, pixels?, encoding)? {
                consume(index, frame)?;
                index += 1;
            }
        }
        Ok(())
    })
}

/// (B, 3, H, W) pixels of a batch.
fn decode(
    batch: &[PathBuf],
    original: Size,
    reference: &Path,
    size: Size,
) -> Result<Vec<f32>, EvalError> {
    let frames: Vec<Vec<f32>> = batch
        .par_iter()
        .map(|path| encoder_input(path, original, reference, size))
        .collect::<Result<_, _>>()?;
    Ok(frames.concat())
}

fn encode(
    batch: &[PathBuf],
    pixels: Vec<f32>,
    encoding: Encoding<'_>,
) -> Result<Vec<PackedFeatures>, EvalError> {
    let Encoding { encoder, size, .. } = encoding;
    let grid = Grid::of(size, encoder.patch_size());
    let failed = |error: ModelError| EvalError::Encoder {
        path: batch[0].clone(),
        message: error.to_string(),
    };
    let unusable = |path: &PathBuf, message| EvalError::Features {
        path: path.clone(),
        message,
    };
    let shape = (batch.len(), 3, size.height, size.width);
    let images = Tensor::from_vec(pixels, shape, &Device::Cpu).map_err(|e| failed(e.into()))?;
    let features = encoder
        .block_features(&images, encoding.block)
        .map_err(failed)?;
    if features.grid != (grid.height, grid.width) {
        let (height, width) = features.grid;
        let message = format!(
            "a grid of {height}x{width} cells, expected {}x{}",
            grid.height, grid.width
        );
        return Err(unusable(&batch[0], message));
    }
    let to_rows = |values: &Tensor| -> candle_core::Result<Vec<f32>> {
        values.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
    };
    let channels = encoder.dim();
    let rows = to_rows(&features.values).map_err(|e| failed(e.into()))?;
    let per_frame = grid.cells() * channels;
    if rows.len() != batch.len() * per_frame {
        let message = format!(
            "shape {:?}, expected {:?}",
            features.values.dims(),
            [batch.len(), grid.cells(), channels]
        );
        return Err(unusable(&batch[0], message));
    }
    batch
        .iter()
        .zip(rows.chunks_exact(per_frame))
        .map(|(path, rows)| {
            PackedFeatures::new(rows, grid, channels, encoding.l2_normalise)
                .map_err(|message| unusable(path, message))
        })
        .collect()
}
