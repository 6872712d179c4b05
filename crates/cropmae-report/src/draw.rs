//! Blending, anti-aliased strokes and shrinking: what several pictures need.
//!
//! A coordinate (x, y) names the centre of pixel (x, y). A pixel's share of a stroke follows from its
//! distance to the stroke's middle line, which is exact enough for one pixel of soft edge.

use image::{Rgb, RgbImage, imageops};

/// Moves `pixel` towards `color`; `alpha` 0 leaves it, 1 replaces it.
pub(crate) fn blend(pixel: &mut Rgb<u8>, color: Rgb<u8>, alpha: f32) {
    for (p, c) in pixel.0.iter_mut().zip(color.0) {
        *p = (f32::from(*p) + (f32::from(c) - f32::from(*p)) * alpha).round() as u8;
    }
}

/// A line of `width` pixels with round ends.
pub(crate) fn line(image: &mut RgbImage, from: [f32; 2], to: [f32; 2], width: f32, color: Rgb<u8>) {
    let half = width / 2.0;
    stroke(image, from, to, half, color, |d| half - d);
}

/// A filled circle.
pub(crate) fn disc(image: &mut RgbImage, centre: [f32; 2], radius: f32, color: Rgb<u8>) {
    stroke(image, centre, centre, radius, color, |d| radius - d);
}

/// A circle line of `width` pixels around `radius`.
pub(crate) fn ring(
    image: &mut RgbImage,
    centre: [f32; 2],
    radius: f32,
    width: f32,
    color: Rgb<u8>,
) {
    let half = width / 2.0;
    stroke(image, centre, centre, radius + half, color, |d| {
        half - (d - radius).abs()
    });
}

/// Paints every pixel near the segment; `depth` turns a distance from it into the distance inside the
/// shape's edge.
fn stroke(
    image: &mut RgbImage,
    from: [f32; 2],
    to: [f32; 2],
    reach: f32,
    color: Rgb<u8>,
    depth: impl Fn(f32) -> f32,
) {
    let size = [image.width(), image.height()];
    // Float to integer casts saturate, so a segment far outside gives an empty range.
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

/// The picture at most `max_width` wide, its proportions kept.
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
