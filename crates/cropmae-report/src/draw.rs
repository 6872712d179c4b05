//! Drawing operations that several pictures share: blending, antialiased strokes and shrinking.
//!
//! The coordinate (x, y) is the center of pixel (x, y). How much of a pixel a stroke covers is computed from the
//! distance to the stroke's middle line, which is accurate enough for a soft edge one pixel wide.

use image::{Rgb, RgbImage, imageops};

/// Moves `pixel` toward `color`. An `alpha` of 0 leaves it unchanged; 1 replaces it.
pub(crate) fn blend(pixel: &mut Rgb<u8>, color: Rgb<u8>, alpha: f32) {
    for (p, c) in pixel.0.iter_mut().zip(color.0) {
        *p = (f32::from(*p) + (f32::from(c) - f32::from(*p)) * alpha).round() as u8;
    }
}

/// Draws a line with round ends; `width` is in pixels.
pub(crate) fn line(image: &mut RgbImage, from: [f32; 2], to: [f32; 2], width: f32, color: Rgb<u8>) {
    let half = width / 2.0;
    stroke(image, from, to, half, color, |d| half - d);
}

/// Draws a filled circle; `radius` is in pixels.
pub(crate) fn disc(image: &mut RgbImage, center: [f32; 2], radius: f32, color: Rgb<u8>) {
    stroke(image, center, center, radius, color, |d| radius - d);
}

/// Draws the outline of a circle, a line of `width` pixels whose middle is at `radius` pixels from the center.
pub(crate) fn ring(
    image: &mut RgbImage,
    center: [f32; 2],
    radius: f32,
    width: f32,
    color: Rgb<u8>,
) {
    let half = width / 2.0;
    stroke(image, center, center, radius + half, color, |d| {
        half - (d - radius).abs()
    });
}

/// Paints the pixels within `reach` of a segment.
///
/// `depth` converts a pixel's distance from the segment to its distance from the edge of the shape, which is
/// positive inside of the shape.
fn stroke(
    image: &mut RgbImage,
    from: [f32; 2],
    to: [f32; 2],
    reach: f32,
    color: Rgb<u8>,
    depth: impl Fn(f32) -> f32,
) {
    let size = [image.width(), image.height()];
    // Casts from floats to integers saturate, so a segment far outside of the picture gives an empty range.
    let first = [0, 1].map(|i| (from[i].min(to[i]) - reach - 1.0).floor() as u32);
    let end = [0, 1].map(|i| ((from[i].max(to[i]) + reach + 2.0).ceil() as u32).min(size[i]));
    let along = [to[0] - from[0], to[1] - from[1]];
    let length2 = along[0] * along[0] + along[1] * along[1];
    for y in first[1]..end[1] {
        for x in first[0]..end[0] {
            let offset = [x as f32 - from[0], y as f32 - from[1]];
            let t = if length2 > 0.0 {
                ((offset[0] * along[0] + offset[1] * along[1]) / length2).clamp(0.0, 1.0)
            } else {
                0.0
            };
            let distance = (offset[0] - t * along[0]).hypot(offset[1] - t * along[1]);
            let coverage = (depth(distance) + 0.5).clamp(0.0, 1.0);
            blend(image.get_pixel_mut(x, y), color, coverage);
        }
    }
}

/// Returns the picture at a width of at most `max_width` pixels, with its proportions kept.
pub(crate) fn shrink_to_width(image: &RgbImage, max_width: u32) -> RgbImage {
    let (width, height) = image.dimensions();
    if width <= max_width {
        return image.clone();
    }
    let height = (u64::from(height) * u64::from(max_width)).div_ceil(u64::from(width)) as u32;
    imageops::resize(image, max_width, height, imageops::FilterType::Triangle)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INK: Rgb<u8> = Rgb([255; 3]);

    fn value(image: &RgbImage, x: u32, y: u32) -> u8 {
        image.get_pixel(x, y).0[0]
    }

    #[test]
    fn shapes_cover_what_they_should() {
        let mut image = RgbImage::new(21, 21);
        line(&mut image, [4.0, 10.0], [16.0, 10.0], 3.0, INK);
        assert_eq!([value(&image, 10, 9), value(&image, 10, 11)], [255, 255]);
        assert_eq!([value(&image, 10, 7), value(&image, 1, 10)], [0, 0]);

        let mut image = RgbImage::new(21, 21);
        ring(&mut image, [10.0, 10.0], 6.0, 2.0, INK);
        assert_eq!([value(&image, 10, 10), value(&image, 16, 10)], [0, 255]);
        disc(&mut image, [10.0, 10.0], 2.0, INK);
        assert_eq!([value(&image, 11, 11), value(&image, 13, 10)], [255, 0]);
    }

    #[test]
    fn strokes_far_outside_leave_the_picture_alone() {
        let mut image = RgbImage::new(4, 4);
        line(&mut image, [-1e9, -50.0], [1e9, -50.0], 3.0, INK);
        disc(&mut image, [1e9, 1e9], 3.0, INK);
        assert!(image.pixels().all(|p| *p == Rgb([0; 3])));
    }
}
