//! A preview of a sample with the random choices that were drawn for it.

use cropmae_config::{Seed, Stream, Views};
use image::RgbImage;

use super::Dataset;
use crate::views::{Plan, View, ViewSampler};
use crate::{DataError, masks};

/// A sample of an epoch: the whole images, the views that are cut from them, and the mask.
#[derive(Debug, Clone, PartialEq)]
pub struct Preview {
    /// The image, or the earlier and the later frame.
    pub frames: Vec<RgbImage>,
    /// The crop boxes in pixels of the image, `[left, top, width, height]`, one per view in the model's order.
    pub boxes: Vec<[f32; 4]>,
    /// The views that the model sees, each of `size` x `size` pixels.
    pub views: Vec<RgbImage>,
    /// The patch indices of the last view in order of increasing mask noise, `(N)`.
    pub ids_shuffle: Vec<u32>,
}

impl Dataset {
    /// Returns the sample `index` of an epoch as the loader draws it.
    ///
    /// Views have `size` x `size` pixels, and masks have `num_patches` patches.
    ///
    /// # Errors
    /// Returns [`DataError::BadFile`] if a file cannot be read.
    ///
    /// # Panics
    /// Panics if `index` is not less than [`Self::len`].
    pub fn preview(
        &self,
        seed: Seed,
        epoch: u64,
        index: usize,
        (size, num_patches): (usize, usize),
    ) -> Result<Preview, DataError> {
        let sampler = ViewSampler::new(&self.recipe, size as u32);
        let mut rng = seed.rng(Stream::Views, epoch, index as u64);
        let drawn = self
            .source
            .draw(index, self.pick(), std::slice::from_mut(&mut rng))?;
        let pictures = drawn
            .pictures
            .iter()
            .map(|picture| self.decode(picture))
            .collect::<Result<Vec<_>, _>>()?;
        let [first, second] = drawn.shown[0].map(|picture| &pictures[picture]);
        let plan = sampler.plan(first.width(), first.height(), &mut rng);
        let mut views = sampler.cut(&plan, &[first, second]);
        sampler.augment(&mut views, &mut rng);
        let noise = masks::noise(seed, epoch, index as u64, num_patches);
        let frames = match self.recipe.views {
            Views::FramePair => vec![first.clone(), second.clone()],
            _ => vec![first.clone()],
        };
        Ok(Preview {
            frames,
            boxes: boxes(self.recipe.views, &plan, size as f32),
            views: views.into_iter().map(View::into_rgb).collect(),
            ids_shuffle: masks::ids_shuffle(&noise),
        })
    }
}

/// Returns the box of each view in the image.
fn boxes(views: Views, plan: &Plan, size: f32) -> Vec<[f32; 4]> {
    let of = |b: crate::boxes::CropBox| [b.left, b.top, b.width, b.height].map(|side| side as f32);
    let global = of(plan.global);
    let second = plan.second.map_or(global, of);
    // A local box is relative to the resized global view.
    let [left, top, width, height] = second;
    let (across, down) = (global[2] / size, global[3] / size);
    let local = [
        global[0] + left * across,
        global[1] + top * down,
        width * across,
        height * down,
    ];
    match views {
        Views::GlobalToLocal => vec![global, local],
        Views::LocalToGlobal => vec![local, global],
        Views::RandomViews => vec![global, second],
        Views::SameViews | Views::FramePair => vec![global, global],
        Views::Single => vec![global],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::StageClock;
    use cropmae_config::Experiment;
    use image::imageops;

    #[test]
    fn a_preview_is_what_the_loader_draws() {
        let dir = tempfile::tempdir().unwrap();
        let photo = RgbImage::from_fn(90, 60, |x, y| image::Rgb([(x * 2) as u8, y as u8, 7]));
        photo.save(dir.path().join("photo.png")).unwrap();
        for views in [
            Views::GlobalToLocal,
            Views::LocalToGlobal,
            Views::RandomViews,
            Views::SameViews,
            Views::Single,
        ] {
            let mut recipe = Experiment::demo(&[]).unwrap().data;
            recipe.views = views;
            let dataset = Dataset::open(dir.path(), &recipe).unwrap();
            for epoch in 0..6 {
                let preview = dataset.preview(Seed(3), epoch, 0, (64, 16)).unwrap();
                assert!(preview.frames == [photo.clone()]);
                let sampler = ViewSampler::new(&recipe, 64);
                let mut rngs = [Seed(3).rng(Stream::Views, epoch, 0)];
                let draws = dataset.draw(0, &sampler, &mut rngs, &StageClock::default());
                let drawn = draws.unwrap().remove(0).into_iter();
                assert!(preview.views == drawn.map(View::into_rgb).collect::<Vec<_>>());
                assert_eq!(preview.boxes.len(), preview.views.len());
                assert_eq!(preview.ids_shuffle.len(), 16);
                // The red value is the column of the photo, so the middle of a view shows the middle of its box.
                for (view, [left, _, width, _]) in preview.views.iter().zip(&preview.boxes) {
                    let middle = imageops::crop_imm(view, 31, 0, 2, 64).to_image();
                    let sum: f32 = middle.pixels().map(|p| f32::from(p.0[0]) / 2.0).sum();
                    let found = sum / 128.0 + 0.5;
                    let expected = left + width / 2.0;
                    assert!(
                        (found - expected).abs() < 1.0,
                        "{views:?}: {found} {expected}"
                    );
                }
            }
        }
    }
}
