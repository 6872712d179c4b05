//! The propagation through one video on an accelerator: features and labels stay in its memory.

use candle_core::{Result, Tensor};
use cropmae_config::Protocol;
use cropmae_kernels::{LabelSource, Propagation, Ties, propagate};

use super::affinity::{PANEL, QUERIES};
use super::memory::Memory;
use super::video::stretched;
use super::{Grid, TASK_BLOCKS};

/// The features of one frame in the memory of an accelerator.
#[derive(Debug, Clone)]
pub struct DeviceFeatures {
    grid: Grid,
    /// (h*w, C)
    values: Tensor,
}

impl DeviceFeatures {
    /// Prepares the features (B, h*w, C) of several frames, each cell scaled to unit length if `l2_normalize` is true.
    ///
    /// Like [`super::PackedFeatures::new`], it returns a message for a frame if a cell (row-major index) has a value that
    /// is not finite. One number per cell is read from the device.
    ///
    /// # Errors
    /// Returns an error if `values` does not have three dimensions or an operation of the device fails.
    pub fn batch(
        values: &Tensor,
        grid: Grid,
        l2_normalize: bool,
    ) -> Result<Vec<std::result::Result<Self, String>>> {
        let lengths = values.sqr()?.sum_keepdim(2)?.sqrt()?; // (B, h*w, 1)
        let scaled = if l2_normalize {
            values.broadcast_div(&lengths.maximum(1e-12)?)?
        } else {
            values.contiguous()?
        };
        let lengths = lengths.squeeze(2)?.to_vec2::<f32>()?;
        lengths
            .iter()
            .enumerate()
            .map(|(frame, lengths)| {
                Ok(match lengths.iter().position(|it| !it.is_finite()) {
                    Some(cell) => Err(format!("cell {cell} has a value that is not finite")),
                    None => Ok(Self {
                        grid,
                        values: scaled.get(frame)?,
                    }),
                })
            })
            .collect()
    }
}

/// A frame with its soft labels (h*w, L).
#[derive(Debug)]
struct KeyFrame {
    features: Tensor,
    labels: Tensor,
}

/// The propagation of labels through a video, frame by frame, with the kernels of an accelerator.
///
/// The sources are those of [`super::VideoPropagation`], also in the order of equal affinities, so that the labels are
/// the same up to rounding.
#[derive(Debug)]
pub struct DevicePropagation {
    propagation: Propagation,
    classes: usize,
    memory: Memory<KeyFrame>,
    /// Whether labels are stretched to 0..1 for the caller.
    stretch: bool,
    first: Vec<f32>,
    newest: Vec<f32>,
}

impl DevicePropagation {
    /// Starts with the features and the soft labels (h*w, L) of frame 0, where L is `classes`.
    ///
    /// # Errors
    /// Returns an error if the device has no memory for the labels.
    pub fn new(
        protocol: &Protocol,
        features: &DeviceFeatures,
        labels: Vec<f32>,
        classes: usize,
    ) -> Result<Self> {
        let DeviceFeatures { grid, values } = features;
        let frame = |labels: &[f32]| -> Result<KeyFrame> {
            Ok(KeyFrame {
                features: values.clone(),
                labels: Tensor::from_slice(labels, (grid.cells(), classes), values.device())?,
            })
        };
        let stretch = protocol.normalize_labels;
        let kept = frame(&labels)?;
        let first = if stretch {
            stretched(&labels, classes)
        } else {
            labels
        };
        let long_term = stretch.then(|| frame(&first)).transpose()?;
        Ok(Self {
            propagation: Propagation {
                grid: (grid.height, grid.width),
                radius: protocol.radius,
                top_k: protocol.top_k,
                temperature: protocol.temperature as f32,
                ties: Ties {
                    run: TASK_BLOCKS * QUERIES,
                    panel: PANEL,
                },
            },
            classes,
            memory: Memory::new(protocol, kept, long_term),
            stretch,
            first,
            newest: Vec::new(),
        })
    }

    /// Returns the soft labels (h*w, L) of frame 0, which are its prediction.
    pub fn first_labels(&self) -> &[f32] {
        &self.first
    }

    /// Returns the soft labels (h*w, L) of the next frame, which becomes a source for later frames.
    ///
    /// Only these labels are read from the device.
    ///
    /// # Errors
    /// Returns an error if an operation of the device fails.
    pub fn advance(&mut self, features: &DeviceFeatures) -> Result<&[f32]> {
        let sources = self.memory.sources();
        let sources: Vec<LabelSource> = sources
            .iter()
            .map(|listed| LabelSource {
                features: &listed.frame.features,
                labels: &listed.frame.labels,
                unrestricted: listed.unrestricted,
                restricted: listed.restricted,
            })
            .collect();
        let labels = propagate(&features.values, &sources, &self.propagation)?;
        self.newest = labels.flatten_all()?.to_vec1()?;
        if self.stretch {
            self.newest = stretched(&self.newest, self.classes);
        }
        self.memory.push(KeyFrame {
            features: features.values.clone(),
            labels,
        });
        Ok(&self.newest)
    }
}
