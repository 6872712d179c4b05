//! Pictures of masked views and of the decoder's predictions for the removed patches.
//!
//! The loss covers removed patches only, so the prediction of a visible patch has no meaning. As in the figures of the
//! MAE and CropMAE papers, visible patches are copied from the original.

use image::{Rgb, RgbImage};

use crate::error::{ReportError, same_size};
use crate::figure::Figure;

const REMOVED: Rgb<u8> = Rgb([0x8a, 0x8d, 0x91]);

/// One reconstructed sample. Its pictures have the same size, in pixels.
#[derive(Debug, Clone, Copy)]
pub struct Reconstruction<'a> {
    /// View 1, which the encoder sees whole. It is `None` for MAE, which has one view.
    pub reference: Option<&'a RgbImage>,
    /// The masked view before it was masked. Its sides are multiples of the patch size.
    pub target: &'a RgbImage,
    /// One flag for each patch of the masked view, in row-major order; `true` means that the patch is removed.
    pub removed: &'a [bool],
    /// The decoder's prediction of the masked view.
    pub predicted: &'a RgbImage,
}

/// Returns a figure with one row for each sample.
///
/// A row shows view 1 if there is one, view 2, view 2 with its removed patches in gray, and the prediction with the
/// visible patches of view 2 copied into it. `patch_size` is the side of a patch, in pixels.
///
/// # Errors
///
/// Returns an error if `samples` is empty, if the pictures of a sample differ in size, if their sides are not
/// multiples of `patch_size`, if `removed` does not have one flag for each patch, or if only some of the samples
/// have a view 1.
pub fn reconstructions(
    samples: &[Reconstruction<'_>],
    patch_size: u32,
) -> Result<RgbImage, ReportError> {
    let first = samples.first().ok_or_else(|| ReportError::Empty {
        what: "figure of reconstructions".into(),
        item: "sample",
    })?;
    let visible = first.removed.iter().filter(|&&removed| !removed).count();
    let masked = format!("{visible} of {} patches", first.removed.len());
    let mut figure = match first.reference {
        Some(_) => Figure::new(["View 1", "View 2", masked.as_str(), "Prediction"]),
        None => Figure::new(["View", masked.as_str(), "Prediction"]),
    };
    for sample in samples {
        let size = sample.target.dimensions();
        if let Some(reference) = sample.reference {
            same_size("view 1", reference.dimensions(), "masked view", size)?;
        }
        let mut panels: Vec<RgbImage> = sample.reference.into_iter().cloned().collect();
        panels.push(sample.target.clone());
        panels.push(mask_out(sample.target, sample.removed, patch_size)?);
        panels.push(paste_visible(
            sample.predicted,
            sample.target,
            sample.removed,
            patch_size,
        )?);
        figure = figure.row("", panels);
    }
    figure.render()
}

/// Returns the view with its removed patches in gray.
///
/// `removed` has one flag for each patch, in row-major order; `true` means that the patch is removed. `patch_size` is
/// the side of a patch, in pixels.
///
/// # Errors
///
/// Returns an error if the sides of the view are not multiples of `patch_size`, or if `removed` does not have one flag
/// for each patch.
pub fn mask_out(
    view: &RgbImage,
    removed: &[bool],
    patch_size: u32,
) -> Result<RgbImage, ReportError> {
    replace_removed(view, removed, patch_size, |_, _| REMOVED)
}

/// Returns the prediction with the visible patches copied from the original.
///
/// `predicted` and `original` have the same size, in pixels. `removed` has one flag for each patch, in row-major order;
/// `true` means that the patch is removed and its prediction is shown. `patch_size` is the side of a patch, in pixels.
///
/// # Errors
///
/// Returns an error if the two pictures differ in size, if their sides are not multiples of `patch_size`, or if
/// `removed` does not have one flag for each patch.
pub fn paste_visible(
    predicted: &RgbImage,
    original: &RgbImage,
    removed: &[bool],
    patch_size: u32,
) -> Result<RgbImage, ReportError> {
    same_size(
        "prediction",
        predicted.dimensions(),
        "masked view",
        original.dimensions(),
    )?;
    replace_removed(original, removed, patch_size, |x, y| {
        *predicted.get_pixel(x, y)
    })
}

/// Returns `view` with the pixels of removed patches taken from `filler(x, y)`.
fn replace_removed(
    view: &RgbImage,
    removed: &[bool],
    patch_size: u32,
    filler: impl Fn(u32, u32) -> Rgb<u8>,
) -> Result<RgbImage, ReportError> {
    let (width, height) = view.dimensions();
    let whole = |side: u32| side > 0 && side.checked_rem(patch_size) == Some(0);
    if !whole(width) || !whole(height) {
        let size = (width, height);
        return Err(ReportError::Patches {
            what: "masked view",
            size,
            patch: patch_size,
        });
    }
    let (columns, rows) = (
        (width / patch_size) as usize,
        (height / patch_size) as usize,
    );
    if removed.len() != rows * columns {
        return Err(ReportError::Count {
            what: "mask flags",
            found: removed.len(),
            expected: rows * columns,
            because: format!("{width} x {height} pixels in patches of {patch_size}"),
        });
    }
    let mut out = view.clone();
    for (x, y, pixel) in out.enumerate_pixels_mut() {
        if removed[(y / patch_size) as usize * columns + (x / patch_size) as usize] {
            *pixel = filler(x, y);
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a view of 4 x 6 pixels with distinct colors, which has 3 rows and 2 columns of patches of 2 x 2 pixels.
    fn view(blue: u8) -> RgbImage {
        RgbImage::from_fn(4, 6, |x, y| Rgb([10 * x as u8, 10 * y as u8, blue]))
    }

    const MASK: [bool; 6] = [true, false, false, true, true, true];

    fn is_removed(x: u32, y: u32) -> bool {
        MASK[(y / 2 * 2 + x / 2) as usize]
    }

    #[test]
    fn removed_patches_are_gray_and_visible_ones_the_original() -> Result<(), ReportError> {
        let masked = mask_out(&view(7), &MASK, 2)?;
        let pasted = paste_visible(&view(200), &view(7), &MASK, 2)?;
        for (x, y, &original) in view(7).enumerate_pixels() {
            let (m, p) = (*masked.get_pixel(x, y), *pasted.get_pixel(x, y));
            if is_removed(x, y) {
                assert_eq!((m, p), (REMOVED, *view(200).get_pixel(x, y)), "({x}, {y})");
            } else {
                assert_eq!((m, p), (original, original), "({x}, {y})");
            }
        }
        Ok(())
    }

    #[test]
    fn the_figure_has_one_row_per_sample_and_one_column_less_without_view_1()
    -> Result<(), ReportError> {
        let (one, two) = (view(7), view(90));
        let sample = Reconstruction {
            reference: Some(&one),
            target: &one,
            removed: &MASK,
            predicted: &two,
        };
        let pair = reconstructions(&[sample, sample], 2)?;
        let single = reconstructions(
            &[Reconstruction {
                reference: None,
                ..sample
            }],
            2,
        )?;
        assert!(pair.width() > single.width() && pair.height() > single.height());
        let mixed = [
            sample,
            Reconstruction {
                reference: None,
                ..sample
            },
        ];
        assert!(reconstructions(&mixed, 2).is_err());
        assert!(reconstructions(&[], 2).is_err());
        Ok(())
    }

    #[test]
    fn sizes_that_disagree_are_named() {
        let wide = RgbImage::new(8, 6);
        let error = |r: Result<RgbImage, ReportError>| r.err().map(|e| e.to_string());
        let found = error(paste_visible(&wide, &view(0), &MASK, 2));
        let message = "prediction is 8 x 6 pixels: expected 4 x 6, the size of the masked view";
        assert_eq!(found.as_deref(), Some(message));
        let found = error(mask_out(&view(0), &MASK[1..], 2));
        let message = "mask flags: found 5, expected 6 (4 x 6 pixels in patches of 2)";
        assert_eq!(found.as_deref(), Some(message));
        assert!(
            mask_out(&view(0), &MASK, 4).is_err(),
            "6 is not a multiple of 4"
        );
        assert!(mask_out(&view(0), &MASK, 0).is_err());
    }
}
