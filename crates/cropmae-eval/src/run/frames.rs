//! Decodes frames ahead, encodes them in small batches, and prepares their features for the search.
//!
//! The backend of the features' device decides where the search runs, and nothing else of the run asks for it. The
//! encoder and the consumer of the frames take turns on the calling thread, because each of them uses all cores or the
//! same device. Another thread decodes the next batch meanwhile.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use cropmae_config::Protocol;
use cropmae_kernels::Backend;
use cropmae_model::{FeatureExtractor, ModelError};
use image::RgbImage;
use rayon::prelude::*;

use super::Video;
use crate::ahead::Ahead;
use crate::error::EvalError;
use crate::frames::{batch_len, normalize, read_frame_of, resize_frame};
use crate::propagation::{DeviceFeatures, FrameFeatures, Grid, PackedFeatures};

/// The options that features depend on.
#[derive(Clone, Copy)]
pub struct Encoding<'a> {
    encoder: &'a dyn FeatureExtractor,
    block: Option<usize>,
    l2_normalize: bool,
}

/// A decoded frame and its features.
#[derive(Debug)]
pub struct Frame {
    /// The position in the video, from 0.
    pub index: usize,
    /// The decoded frame.
    pub picture: RgbImage,
    /// The features, prepared for the search.
    pub features: FrameFeatures,
}

/// Frames that are encoded together.
#[derive(Debug)]
pub struct Batch {
    /// The position of the first frame in the video.
    first: usize,
    pictures: Vec<RgbImage>,
    /// (B, 3, H, W)
    pixels: Vec<f32>,
}

/// Frames with the features that the encoder returned.
#[derive(Debug)]
pub struct Encoded {
    first: usize,
    pictures: Vec<RgbImage>,
    values: Values,
}

/// Features (B, h*w, C) where the search runs.
#[derive(Debug)]
enum Values {
    Cpu { rows: Vec<f32>, channels: usize },
    Device(Tensor),
}

impl Values {
    /// Places the features of an encoder.
    fn of(values: &Tensor, [frames, cells, channels]: [usize; 3]) -> candle_core::Result<Self> {
        let values = values.to_dtype(DType::F32)?;
        Ok(if Backend::of(values.device()).propagates() {
            Self::Device(values.reshape((frames, cells, channels))?)
        } else {
            Self::Cpu {
                rows: values.flatten_all()?.to_vec1()?,
                channels,
            }
        })
    }

    /// Returns the features of each frame, or a message if it has a value that is not finite.
    fn prepare(
        self,
        grid: Grid,
        l2_normalize: bool,
    ) -> candle_core::Result<Vec<Result<FrameFeatures, String>>> {
        Ok(match self {
            Self::Cpu { rows, channels } => rows
                .chunks_exact(grid.cells() * channels)
                .map(|rows| PackedFeatures::new(rows, grid, channels, l2_normalize))
                .map(|packed| Ok(FrameFeatures::Packed(Arc::new(packed?))))
                .collect(),
            Self::Device(values) => DeviceFeatures::batch(&values, grid, l2_normalize)?
                .into_iter()
                .map(|features| features.map(FrameFeatures::Device))
                .collect(),
        })
    }
}

impl Video {
    /// Returns the positions of the frames that are encoded together.
    pub fn batches(&self) -> Vec<Range<usize>> {
        let (count, length) = (self.frames.len(), batch_len(self.grid.cells()));
        let starts = (0..count).step_by(length);
        starts
            .map(|start| start..count.min(start + length))
            .collect()
    }

    /// Decodes, resizes and normalizes frames, in parallel.
    ///
    /// # Errors
    /// Returns [`EvalError::Image`] with the path if a frame cannot be decoded, and [`EvalError::Size`] if a frame does
    /// not have the size of the first one.
    pub fn load(&self, batch: Range<usize>) -> Result<Batch, EvalError> {
        let load = |path: &PathBuf| {
            let picture = read_frame_of(path, self.original, &self.frames[0])?;
            let mut pixels = resize_frame(&picture, self.input);
            normalize(&mut pixels);
            Ok((picture, pixels))
        };
        let first = batch.start;
        let frames = self.frames[batch].par_iter().map(load);
        let (pictures, pixels): (Vec<_>, Vec<_>) = frames
            .collect::<Result<Vec<_>, EvalError>>()?
            .into_iter()
            .unzip();
        Ok(Batch {
            first,
            pictures,
            pixels: pixels.concat(),
        })
    }
}

impl<'a> Encoding<'a> {
    /// Returns the features of `encoder` with the options of the protocol.
    pub fn new(encoder: &'a dyn FeatureExtractor, protocol: &Protocol) -> Self {
        Self {
            encoder,
            block: protocol.feature_block,
            l2_normalize: protocol.l2_normalize,
        }
    }

    /// Encodes a batch of frames.
    ///
    /// # Errors
    /// Returns [`EvalError::Encoder`] if the encoder fails, and [`EvalError::Features`] if the shape of the features
    /// does not match the grid.
    pub fn encode(&self, video: &Video, batch: Batch) -> Result<Encoded, EvalError> {
        let Batch {
            first,
            pictures,
            pixels,
        } = batch;
        let path = || video.frames[first].clone();
        let failed = |error: ModelError| EvalError::Encoder {
            path: path(),
            message: error.to_string(),
        };
        let unusable = |message| EvalError::Features {
            path: path(),
            message,
        };
        let shape = (pictures.len(), 3, video.input.height, video.input.width);
        let images = Tensor::from_vec(pixels, shape, &Device::Cpu).map_err(|e| failed(e.into()))?;
        let features = self
            .encoder
            .block_features(&images, self.block)
            .map_err(failed)?;
        let (grid, channels) = (video.grid, self.encoder.dim());
        if features.grid != (grid.height, grid.width) {
            let (height, width) = features.grid;
            return Err(unusable(format!(
                "a grid of {height}x{width} cells, expected {}x{}",
                grid.height, grid.width
            )));
        }
        let expected = [pictures.len(), grid.cells(), channels];
        if features.values.elem_count() != expected.iter().product::<usize>() {
            return Err(unusable(format!(
                "shape {:?}, expected {expected:?}",
                features.values.dims(),
            )));
        }
        Ok(Encoded {
            first,
            values: Values::of(&features.values, expected).map_err(|e| failed(e.into()))?,
            pictures,
        })
    }

    /// Prepares the features of each frame of a batch for the search.
    ///
    /// # Errors
    /// Returns [`EvalError::Features`] if a value is not finite, and [`EvalError::Encoder`] if a device fails, which
    /// may still compute features when [`Self::encode`] returns.
    pub fn pack(&self, video: &Video, encoded: Encoded) -> Result<Vec<Frame>, EvalError> {
        let features = encoded.values.prepare(video.grid, self.l2_normalize);
        let features = features.map_err(|error| EvalError::Encoder {
            path: video.frames[encoded.first].clone(),
            message: error.to_string(),
        })?;
        let frames = encoded.pictures.into_iter().zip(features);
        frames
            .enumerate()
            .map(|(place, (picture, features))| {
                let index = encoded.first + place;
                let features = features.map_err(|message| EvalError::Features {
                    path: video.frames[index].clone(),
                    message,
                })?;
                Ok(Frame {
                    index,
                    picture,
                    features,
                })
            })
            .collect()
    }
}

/// An iterator over the frames of a video with their features, in order.
///
/// Decoding runs one batch ahead of the encoder, so the memory is limited to a few batches for any length of the video.
pub struct Frames<'a> {
    video: &'a Video,
    encoding: Encoding<'a>,
    batches: Ahead<Result<Batch, EvalError>>,
    ready: std::vec::IntoIter<Frame>,
}

impl<'a> Frames<'a> {
    /// Starts the decoding of `video`.
    pub fn of(video: &'a Video, encoding: Encoding<'a>) -> Self {
        let decoded = video.clone();
        Self {
            video,
            encoding,
            batches: Ahead::new(video.batches(), move |batch| decoded.load(batch)),
            ready: Vec::new().into_iter(),
        }
    }

    /// Encodes the next decoded batch, or returns `None` at the end of the video.
    fn next_batch(&mut self) -> Result<Option<Vec<Frame>>, EvalError> {
        let Some(batch) = self.batches.next() else {
            return Ok(None);
        };
        let encoded = self.encoding.encode(self.video, batch?)?;
        self.encoding.pack(self.video, encoded).map(Some)
    }
}

impl Iterator for Frames<'_> {
    type Item = Result<Frame, EvalError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ready.len() == 0 {
            match self.next_batch() {
                Ok(frames) => self.ready = frames?.into_iter(),
                Err(error) => return Some(Err(error)),
            }
        }
        self.ready.next().map(Ok)
    }
}
