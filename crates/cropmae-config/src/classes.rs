//! The image-level protocol: k nearest neighbors and a linear probe on frozen features.

use serde::{Deserialize, Serialize};

/// The vector that represents an image, after the encoder's final norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pooling {
    /// The class token.
    ClassToken,
    /// The mean of the patch tokens, without the class token.
    MeanPatch,
}

/// The settings of k-NN classification and of the linear probe.
///
/// The k-NN classifier is that of Wu et al. (CVPR 2018) as DINO (Caron et al., ICCV 2021) uses it: similarities are
/// cosines, and each neighbor votes for its class with the weight `exp(similarity / temperature)`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassesProtocol {
    /// The side in pixels of the square that the encoder sees.
    pub image_size: usize,
    /// The shorter side in pixels to which an image is resized (bicubic, antialiased) before the square is cut from its
    /// center.
    pub resize: usize,
    /// The vector that represents an image.
    pub pooling: Pooling,
    /// The numbers of neighbors that vote. Each number gives one score.
    #[serde(alias = "neighbours")]
    pub neighbors: Vec<usize>,
    /// The divisor of similarities in the weight of a vote.
    pub temperature: f64,
    /// The factor of half the squared norm of the linear probe's weights in its loss, which is a mean over images.
    /// Features are standardized first, so the same value works for every encoder.
    pub weight_decay: f64,
    /// The maximum number of iterations of the linear probe's solver.
    pub max_iterations: usize,
}

impl Default for ClassesProtocol {
    fn default() -> Self {
        Self {
            image_size: 224,
            resize: 256,
            pooling: Pooling::ClassToken,
            neighbors: vec![10, 20, 100, 200],
            temperature: 0.07,
            weight_decay: 1e-3,
            max_iterations: 300,
        }
    }
}
