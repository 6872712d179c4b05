//! A contact sheet of crops, which shows each picture with its crop boxes, the views cut from it, and the mask.

use image::{Rgb, RgbImage, imageops};

use crate::draw::line;
use crate::error::ReportError;
use crate::figure::Figure;
use crate::overlay::label_color;
use crate::reconstruction::mask_out;

/// The height of a picture on the sheet, in pixels. It is the height of a published view.
const HEIGHT: u32 = 224;
/// The largest width of a picture on the sheet, in pixels. Wider pictures are shrunk further.
const MAX_WIDTH: u32 = 400;
const HALO: Rgb<u8> = Rgb([255; 3]);

/// One sample of a [`crop_sheet`].
#[derive(Debug, Clone, Copy)]
pub struct CropSample<'a> {
    /// The picture that all views are cut from, or one frame for each of two views.
    pub frames: &'a [RgbImage],
    /// The crop box of each view as `[left, top, width, height]`, in pixels of its picture or frame.
    pub boxes: &'a [[f32; 4]],
    /// The views, of which the last one is masked. Its sides are multiples of the patch size.
    pub views: &'a [RgbImage],
    /// One flag for each patch of the last view, in row-major order; `true` means that the patch is removed.
    pub removed: &'a [bool],
}

/// Returns a figure with one numbered row for each sample.
///
/// A row shows the sample's pictures with the crop boxes in color, the views in frames of the same colors, and
/// the last view with its removed patches in gray. `patch_size` is the side of a patch, in pixels.
///
/// # Errors
///
/// Returns an error if `samples` is empty, if the sides of a last view are not multiples of `patch_size`, if
/// `removed` does not have one flag for each patch, or if samples differ in their number of frames or views.
pub fn crop_sheet(samples: &[CropSample<'_>], patch_size: u32) -> Result<RgbImage, ReportError> {
    let first = samples.first().ok_or_else(|| ReportError::Empty {
        what: "sheet of crops".into(),
        item: "sample",
    })?;
    let visible = first.removed.iter().filter(|&&removed| !removed).count();
    let mut columns: Vec<String> = match first.frames.len() {
        1 => vec!["Picture".into()],
        _ => vec!["Earlier frame".into(), "Later frame".into()],
    };
    match first.views.len() {
        1 => columns.push("View".into()),
        n => columns.extend((1..=n).map(|view| format!("View {view}"))),
    }
    columns.push(format!("{visible} of {} patches", first.removed.len()));
    let mut figure = Figure::new(columns);
    for (number, sample) in (1..).zip(samples) {
        let mut panels: Vec<RgbImage> = sample
            .frames
            .iter()
            .enumerate()
            .map(|(frame, picture)| boxed(picture, sample, frame))
            .collect();
        let views = sample.views.iter().enumerate();
        panels.extend(views.map(|(view, pixels)| framed(pixels.clone(), color(view))));
        if let Some(last) = sample.views.last() {
            let masked = mask_out(last, sample.removed, patch_size)?;
            panels.push(framed(masked, color(sample.views.len() - 1)));
        }
        figure = figure.row(number.to_string(), panels);
    }
    figure.render()
}

/// Returns the color of the boxes and frames of a view, which is counted from 0.
fn color(view: usize) -> Rgb<u8> {
    // View 1, which the encoder sees whole, is orange; view 2 is blue.
    [Rgb([0xff, 0x8c, 0x1a]), Rgb([0x1f, 0x7a, 0xff])]
        .get(view)
        .copied()
        .unwrap_or_else(|| label_color(view as u8))
}

/// Returns the picture at its size on the sheet, with the crop boxes of its views.
fn boxed(picture: &RgbImage, sample: &CropSample<'_>, frame: usize) -> RgbImage {
    let (width, height) = picture.dimensions();
    let scale = (HEIGHT as f32 / height as f32).min(MAX_WIDTH as f32 / width as f32);
    let side = |pixels: u32| ((pixels as f32 * scale).round() as u32).max(1);
    let (w, h) = (side(width), side(height));
    let mut out = imageops::resize(picture, w, h, imageops::FilterType::Triangle);
    let one_each = sample.frames.len() > 1;
    for (view, &[left, top, across, down]) in sample.boxes.iter().enumerate() {
        if one_each && view != frame {
            continue;
        }
        // A box equal to one before it is drawn inside of that one, so that both can be seen.
        let same = !one_each && sample.boxes[..view].contains(&sample.boxes[view]);
        let inset = if same { 5.0 } else { 1.5 };
        let from = [left * scale + inset, top * scale + inset];
        let to = [
            (left + across) * scale - 1.0 - inset,
            (top + down) * scale - 1.0 - inset,
        ];
        for (thickness, ink) in [(5.0, HALO), (3.0, color(view))] {
            rectangle(&mut out, from, to, thickness, ink);
        }
    }
    out
}

/// Returns the view in a frame of the given color.
fn framed(view: RgbImage, color: Rgb<u8>) -> RgbImage {
    const BORDER: u32 = 3;
    let (width, height) = view.dimensions();
    let mut out = RgbImage::from_pixel(width + 2 * BORDER, height + 2 * BORDER, color);
    imageops::replace(&mut out, &view, BORDER.into(), BORDER.into());
    out
}

/// Draws the outline of a rectangle; `width` is the width of the line, in pixels.
fn rectangle(image: &mut RgbImage, from: [f32; 2], to: [f32; 2], width: f32, color: Rgb<u8>) {
    let corners = [from, [to[0], from[1]], to, [from[0], to[1]], from];
    for ends in corners.windows(2) {
        line(image, ends[0], ends[1], width, color);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sheet_has_a_row_per_sample_and_boxes_where_the_views_are() -> Result<(), ReportError> {
        let picture = RgbImage::from_pixel(300, 224, Rgb([9; 3]));
        let views = [RgbImage::new(32, 32), RgbImage::new(32, 32)];
        let boxes = [[20.0, 10.0, 200.0, 180.0], [60.0, 50.0, 90.0, 80.0]];
        let sample = CropSample {
            frames: std::slice::from_ref(&picture),
            boxes: &boxes,
            views: &views,
            removed: &[true, false, true, true],
        };
        let out = boxed(&picture, &sample, 0);
        for (view, [left, top, width, height]) in boxes.into_iter().enumerate() {
            let on_edge = out.get_pixel((left + width / 2.0) as u32, top as u32 + 2);
            assert_eq!(*on_edge, color(view));
            let below = out.get_pixel(left as u32 + 10, (top + height) as u32 + 4);
            assert_eq!(*below, Rgb([9; 3]));
        }
        let one = crop_sheet(&[sample], 16)?;
        let two = crop_sheet(&[sample, sample], 16)?;
        assert!(two.height() > one.height() && two.width() == one.width());
        let single = CropSample {
            boxes: &boxes[..1],
            views: &views[..1],
            ..sample
        };
        assert!(crop_sheet(&[single], 16)?.width() < one.width());
        assert!(crop_sheet(&[sample, single], 16).is_err());
        assert!(crop_sheet(&[], 16).is_err());
        Ok(())
    }
}
