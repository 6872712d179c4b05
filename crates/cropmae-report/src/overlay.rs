//! Label maps drawn on video frames: the objects of DAVIS and the human parts of VIP.

use image::{GrayImage, Rgb, RgbImage};

use crate::draw::blend;
use crate::error::{ReportError, same_size};

/// The share of the label's color inside of a region, from 0 to 1.
const ALPHA: f32 = 0.45;

/// Returns the frame tinted with the color of each label, with a contour along the inner edge of each region.
///
/// `labels` has the same size as `frame`, in pixels. A label is an index into the palette of [`label_color`]; 0 is
/// the background, where the frame is left as it is.
///
/// # Errors
///
/// Returns an error if `labels` and `frame` differ in size.
pub fn overlay(frame: &RgbImage, labels: &GrayImage) -> Result<RgbImage, ReportError> {
    same_size(
        "label map",
        labels.dimensions(),
        "frame",
        frame.dimensions(),
    )?;
    let thickness = (frame.height() / 160).max(1);
    let mut out = frame.clone();
    for (x, y, pixel) in out.enumerate_pixels_mut() {
        let label = labels.get_pixel(x, y).0[0];
        if label == 0 {
            continue;
        }
        let color = label_color(label);
        if on_contour(labels, x, y, thickness) {
            // Most colors of the palette are dark, so a lighter contour is visible on any frame.
            *pixel = color;
            blend(pixel, Rgb([255; 3]), 0.4);
        } else {
            blend(pixel, color, ALPHA);
        }
    }
    Ok(out)
}

/// Returns whether another label lies within `thickness` pixels. The border of the picture does not count.
fn on_contour(labels: &GrayImage, x: u32, y: u32, thickness: u32) -> bool {
    let label = labels.get_pixel(x, y);
    (1..=thickness).any(|d| {
        [
            (x.wrapping_sub(d), y),
            (x + d, y),
            (x, y.wrapping_sub(d)),
            (x, y + d),
        ]
        .into_iter()
        .any(|(x, y)| {
            labels
                .get_pixel_checked(x, y)
                .is_some_and(|other| other != label)
        })
    })
}

/// Returns the color of a label in the PASCAL VOC palette, which DAVIS stores in its annotation PNGs.
///
/// The bits of the label, three at a time, set the bits of the red, green and blue channels from the highest bit
/// down.
pub fn label_color(label: u8) -> Rgb<u8> {
    let mut rgb = [0u8; 3];
    for level in 0..3 {
        for (channel, value) in rgb.iter_mut().enumerate() {
            let bit = u32::from(label) >> (3 * level + channel) & 1;
            *value |= (bit << (7 - level)) as u8;
        }
    }
    Rgb(rgb)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Luma;

    #[test]
    fn the_palette_is_the_one_of_davis() {
        // These colors were read from an annotation PNG of DAVIS-2017.
        let known = [
            (0, [0, 0, 0]),
            (1, [128, 0, 0]),
            (2, [0, 128, 0]),
            (3, [128, 128, 0]),
            (8, [64, 0, 0]),
            (21, [128, 64, 128]),
            (255, [224, 224, 192]),
        ];
        for (label, color) in known {
            assert_eq!(label_color(label).0, color, "label {label}");
        }
    }

    #[test]
    fn regions_are_tinted_and_outlined_and_background_is_left() -> Result<(), ReportError> {
        let frame = RgbImage::from_pixel(12, 12, Rgb([100, 100, 100]));
        // Label 2 is a bar that touches the lower border of the picture.
        let labels = GrayImage::from_fn(12, 12, |x, y| {
            Luma([if (4..9).contains(&x) && y >= 4 { 2 } else { 0 }])
        });
        let out = overlay(&frame, &labels)?;
        for (x, y, pixel) in out.enumerate_pixels() {
            let expected = match (x, y) {
                (0..4 | 9.., _) | (_, 0..4) => [100, 100, 100],
                // The contour has color + 0.4 * (255 - color).
                (4 | 8, _) | (_, 4) => [102, 179, 102],
                // The inside, down to the border, has 100 + 0.45 * (color - 100).
                _ => [55, 113, 55],
            };
            assert_eq!(pixel.0, expected, "({x}, {y})");
        }
        Ok(())
    }

    #[test]
    fn sizes_that_disagree_are_named() {
        let found = overlay(&RgbImage::new(4, 3), &GrayImage::new(3, 4)).err();
        let message = "label map is 3 x 4 pixels: expected 4 x 3, the size of the frame";
        assert_eq!(found.map(|e| e.to_string()).as_deref(), Some(message));
    }
}
