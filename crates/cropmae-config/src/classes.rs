//! The image-level protocol: k nearest neighbours and a linear probe on frozen features.

use serde::{Deserialize, Serialize};

/// Which vector stands for an image, after the encoder's final norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pooling {
    /// The class token.
    ClassToken,
    /// The mean of the patch tokens, the class token left out.
    MeanPatch,
}

/// Settings of k-NN classification and of the linear probe.
///
/// k-NN is that of Wu et al. (CVPR 2018) as DINO (Caron et al., ICCV 2021) runs it: cosine similarity, each
/// neighbour votes for its class with weight `exp(similarity / temperature)`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassesProtocol {
    /// Side of the square that the encoder sees, in pixels.
    pub image_size: usize,
    /// The shorter side becomes this (bicubic, antialiased) before the square is cut from the centre.
    pub resize: usize,
    /// What stands for an image.
    pub pooling: Pooling,
    /// Numbers of neighbours to vote.
    pub neighbours: Vec<usize>,
    /// Divides similarities before they are exponentiated.
    pub temperature: f64,
    /// Factor of half the squared norm of the linear probe's weights, in a loss that is a mean over images.
    /// Features are standardised first, so that one value suits every encoder.
    pub weight_decay: f64,
    /// Most iterations of the linear probe's solver.
    pub max_iterations: usize,
}

impl Default for ClassesProtocol {
    fn default() -> Self {
        Self {
            image_size: 224,
            resize: 256,
            pooling: Pooling::ClassToken,
            neighbours: vec![10, 20, 100, 200],
            temperature: 0.07,
            weight_decay: 1e-3,
            max_iterations: 300,
        }
    }
}
