//! The views of a sample: which crop of an image each view shows, and which views are flipped.
//!
//! The model sees all of view 1. View 2 is masked and reconstructed (CropMAE, section 3). A local crop is cut from the
//! global *view*, after that was resized and rounded to 8 bits and before it is flipped: local views are crops of what
//! the encoder sees, not of the photo. The random choices ([`Plan`]) are separate from the work on pixels, so that
//! recorded choices can be replayed.

use std::borrow::Borrow;

use cropmae_config::{AugmentConfig, DataConfig, Interpolation, Views};
use image::{RgbImage, imageops};
use rand_chacha::rand_core::RngCore;

use crate::augment::augment;
use crate::boxes::{BoxSampler, CropBox};
use crate::random::uniform;
use crate::resize::resize_crop;

/// The random choices of one sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// The first box, drawn with the global parameters inside the image.
    pub global: CropBox,
    /// The second box, if the strategy has one. For random views it is drawn with the global parameters inside the
    /// image, otherwise with the local parameters inside the resized global view.
    pub second: Option<CropBox>,
    /// Whether the view of the first and that of the second box are flipped.
    pub flips: [bool; 2],
}

/// A view of `size` x `size` pixels that is not flipped yet.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// The pixels in 8-bit RGB.
    pub pixels: RgbImage,
    /// Whether the model sees the view mirrored left to right.
    pub flip: bool,
}

impl View {
    /// Returns the view as the model sees it.
    pub fn into_rgb(mut self) -> RgbImage {
        if self.flip {
            imageops::flip_horizontal_in_place(&mut self.pixels);
        }
        self.pixels
    }
}

/// A sampler that cuts the views of samples according to one strategy.
#[derive(Debug, Clone, PartialEq)]
pub struct ViewSampler {
    views: Views,
    global: BoxSampler,
    local: BoxSampler,
    interpolation: Interpolation,
    flip_prob: f32,
    augment: AugmentConfig,
    size: u32,
}

impl ViewSampler {
    /// Creates a sampler with the strategy of `config`, for views of `size` x `size` pixels.
    pub fn new(config: &DataConfig, size: u32) -> Self {
        let boxes = |scale| BoxSampler::new(config.sampler, scale, config.aspect_ratio);
        Self {
            views: config.views,
            global: boxes(config.global_scale),
            local: boxes(config.local_scale),
            interpolation: config.interpolation,
            flip_prob: config.flip_prob as f32,
            augment: config.augment,
            size,
        }
    }

    /// Draws the random choices for an image of `width` x `height` pixels: the boxes, then the flips.
    pub fn plan(&self, width: u32, height: u32, rng: &mut impl RngCore) -> Plan {
        let global = self.global.sample(width, height, rng);
        let second = match self.views {
            Views::GlobalToLocal | Views::LocalToGlobal => {
                Some(self.local.sample(self.size, self.size, rng))
            }
            Views::RandomViews => Some(self.global.sample(width, height, rng)),
            Views::SameViews | Views::FramePair | Views::Single => None,
        };
        let flip = uniform(rng) < self.flip_prob;
        let second_flip = if second.is_some() {
            uniform(rng) < self.flip_prob
        } else {
            flip
        };
        Plan {
            global,
            second,
            flips: [flip, second_flip],
        }
    }

    /// Returns the box of the image that the views of `plan` are cut from.
    pub fn area(&self, plan: &Plan) -> CropBox {
        match (self.views, plan.second) {
            (Views::RandomViews, Some(other)) => plan.global.union(other),
            _ => plan.global,
        }
    }

    /// Converts `plan` for an image of which only `area` was decoded.
    pub fn within(&self, plan: &Plan, area: CropBox) -> Plan {
        let second = match self.views {
            Views::RandomViews => plan.second.map(|other| other.within(area)),
            _ => plan.second,
        };
        Plan {
            global: plan.global.within(area),
            second,
            ..*plan
        }
    }

    /// Cuts the views that `plan` describes, in the order in which the model takes them.
    ///
    /// `frames` holds the image or, for [`Views::FramePair`], the earlier and the later frame, which must have the same
    /// size.
    pub fn cut(&self, plan: &Plan, frames: &[impl Borrow<RgbImage>]) -> Vec<View> {
        let crop = |image, crop, flip| View {
            pixels: resize_crop(image, crop, self.size, self.size, self.interpolation),
            flip,
        };
        let first = crop(frames[0].borrow(), plan.global, plan.flips[0]);
        match (self.views, plan.second) {
            (Views::GlobalToLocal, Some(local)) => {
                let second = crop(&first.pixels, local, plan.flips[1]);
                vec![first, second]
            }
            (Views::LocalToGlobal, Some(local)) => {
                vec![crop(&first.pixels, local, plan.flips[1]), first]
            }
            (Views::RandomViews, Some(other)) => {
                let second = crop(frames[0].borrow(), other, plan.flips[1]);
                vec![first, second]
            }
            (Views::FramePair, _) => {
                let second = crop(frames[1].borrow(), plan.global, plan.flips[0]);
                vec![first, second]
            }
            (Views::Single, _) => vec![first],
            _ => vec![first.clone(), first],
        }
    }

    /// Augments the view that was cut first, according to the recipe.
    ///
    /// A local crop of it was cut before and is not augmented.
    pub(crate) fn augment(&self, views: &mut [View], rng: &mut impl RngCore) {
        let first = usize::from(self.views == Views::LocalToGlobal);
        if let Some(view) = views.get_mut(first) {
            augment(&mut view.pixels, self.augment, rng);
        }
    }
}

#[cfg(test)]
mod tests;
