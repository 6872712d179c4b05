//! Encodes images as vectors. Decoding runs ahead of the encoder.

use candle_core::{DType, Device, Tensor};
use cropmae_config::{ClassesProtocol, Interpolation};
use cropmae_data::boxes::CropBox;
use cropmae_data::{normalize, resize};
use cropmae_model::{FeatureExtractor, ModelError};
use image::RgbImage;
use rayon::prelude::*;

use super::dataset::Image;
use crate::ahead::Ahead;
use crate::error::EvalError;
use crate::frames::read_frame;
use crate::report::Failure;

/// The number of images that are encoded together.
const BATCH: usize = 16;

/// The feature vectors of images, in the order of the images.
pub(super) struct Vectors {
    /// (n, C)
    pub values: Vec<f32>,
    pub channels: usize,
    /// The class of each image.
    pub labels: Vec<usize>,
}

impl Vectors {
    /// Encodes `images`. Images that cannot be read are left out and added to `failures`.
    pub fn of(
        images: &[Image],
        encoder: &dyn FeatureExtractor,
        protocol: &ClassesProtocol,
        failures: &mut Vec<Failure>,
        progress: &dyn Fn(usize),
    ) -> Result<Self, EvalError> {
        let mut vectors = Self {
            values: Vec::new(),
            channels: 0,
            labels: Vec::new(),
        };
        let batches = images.chunks(BATCH).map(<[Image]>::to_vec).collect();
        let wanted = protocol.clone();
        let decoded = Ahead::new(batches, move |batch: Vec<Image>| {
            let pixels = batch.par_iter().map(|image| encoder_input(image, &wanted));
            let pixels: Vec<_> = pixels.collect();
            (batch, pixels)
        });
        let mut done = 0;
        for (batch, pixels) in decoded {
            let mut readable = Vec::with_capacity(batch.len() * 3 * protocol.image_size.pow(2));
            for (image, pixels) in batch.iter().zip(pixels) {
                match pixels {
                    Ok(pixels) => {
                        readable.extend(pixels);
                        vectors.labels.push(image.class);
                    }
                    Err(error) => failures.push(Failure {
                        sequence: image.path.display().to_string(),
                        message: error.to_string(),
                    }),
                }
            }
            vectors.encode(readable, encoder, protocol, &batch[0])?;
            done += batch.len();
            progress(done);
        }
        Ok(vectors)
    }

    /// Appends the vectors of `pixels` (B, 3, H, W).
    fn encode(
        &mut self,
        pixels: Vec<f32>,
        encoder: &dyn FeatureExtractor,
        protocol: &ClassesProtocol,
        first: &Image,
    ) -> Result<(), EvalError> {
        let side = protocol.image_size;
        let count = pixels.len() / (3 * side * side);
        if count == 0 {
            return Ok(());
        }
        let run = || -> Result<(), ModelError> {
            let images = Tensor::from_vec(pixels, (count, 3, side, side), &Device::Cpu)?;
            let found = encoder.image_features(&images, protocol.pooling)?; // (B, C)
            self.channels = found.dim(1)?;
            let rows: Vec<f32> = found.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
            self.values.extend(rows);
            Ok(())
        };
        run().map_err(|error| EvalError::Encoder {
            path: first.path.clone(),
            message: error.to_string(),
        })?;
        match self.values.iter().all(|value| value.is_finite()) {
            true => Ok(()),
            false => Err(EvalError::Features {
                path: first.path.clone(),
                message: "a value that is not finite in the batch that starts with this image"
                    .into(),
            }),
        }
    }
}

/// Decodes an image, resizes it, crops the center and normalizes it: (3, H, W).
fn encoder_input(image: &Image, protocol: &ClassesProtocol) -> Result<Vec<f32>, EvalError> {
    let square = center(&read_frame(&image.path)?, protocol);
    let mut pixels = Vec::with_capacity(square.as_raw().len());
    for (channel, table) in normalize::TABLE.iter().enumerate() {
        let levels = square.as_raw().iter().skip(channel).step_by(3);
        pixels.extend(levels.map(|&level| table[usize::from(level)]));
    }
    Ok(pixels)
}

/// Resizes and crops like `Resize` and `CenterCrop` of torchvision.
fn center(photo: &RgbImage, protocol: &ClassesProtocol) -> RgbImage {
    let (width, height) = photo.dimensions();
    let (shorter, target) = (width.min(height), protocol.resize as u32);
    let scaled = |side: u32| (u64::from(side) * u64::from(target) / u64::from(shorter)) as u32;
    let (new_width, new_height) = (scaled(width), scaled(height));
    let filter = Interpolation::Bicubic;
    let resized = resize::resize_crop(
        photo,
        CropBox::full(width, height),
        new_width,
        new_height,
        filter,
    );
    let side = protocol.image_size as u32;
    // Python rounds halves to even.
    let offset = |length: u32| (f64::from(length - side) / 2.0).round_ties_even() as u32;
    let square = CropBox {
        top: offset(new_height),
        left: offset(new_width),
        ..CropBox::full(side, side)
    };
    resize::resize_crop(&resized, square, side, side, filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_square_is_the_middle() {
        // Each column has its own gray level, and the image is twice as wide as high.
        let photo = RgbImage::from_fn(64, 32, |x, _| image::Rgb([x as u8 * 3; 3]));
        let protocol = ClassesProtocol {
            image_size: 16,
            resize: 32,
            ..ClassesProtocol::default()
        };
        let square = center(&photo, &protocol);
        assert_eq!(square.dimensions(), (16, 16));
        for (x, _, pixel) in square.enumerate_pixels() {
            assert_eq!(u32::from(pixel.0[0]), (x + 24) * 3);
        }
    }
}
