//! Single lines of text in a picture.
//!
//! The font is Noto Sans Mono, rasterized ahead of time: no font is needed on the system, and every machine draws
//! the same pixels. It covers Basic Latin and Latin-1.

use image::{Rgb, RgbImage};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

use crate::draw::blend;

const WEIGHT: FontWeight = FontWeight::Regular;
const SIZE: RasterHeight = RasterHeight::Size20;

/// The height of a line of text, in pixels.
pub(crate) const LINE_HEIGHT: u32 = SIZE.val() as u32;

/// Returns the width of `text`, in pixels.
pub(crate) fn text_width(text: &str) -> u32 {
    (text.chars().count() * get_raster_width(WEIGHT, SIZE)) as u32
}

/// Draws `text` with its upper left corner at (`left`, `top`), in pixels. The part outside of the picture is cut off.
pub(crate) fn draw_text(image: &mut RgbImage, text: &str, left: u32, top: u32, color: Rgb<u8>) {
    let advance = get_raster_width(WEIGHT, SIZE) as u32;
    for (i, c) in text.chars().enumerate() {
        // A character outside of Latin-1 is drawn as a question mark instead of a gap.
        let Some(glyph) = get_raster(c, WEIGHT, SIZE).or_else(|| get_raster('?', WEIGHT, SIZE))
        else {
            continue;
        };
        for (y, row) in (top..).zip(glyph.rows()) {
            for (x, &coverage) in (left + i as u32 * advance..).zip(row.iter()) {
                if let Some(pixel) = image.get_pixel_mut_checked(x, y) {
                    blend(pixel, color, f32::from(coverage) / 255.0);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::imageops::crop_imm;

    const WHITE: Rgb<u8> = Rgb([255; 3]);
    const BLACK: Rgb<u8> = Rgb([0; 3]);

    fn drawn(text: &str) -> RgbImage {
        let mut image = RgbImage::from_pixel(text_width(text), LINE_HEIGHT, WHITE);
        draw_text(&mut image, text, 0, 0, BLACK);
        image
    }

    #[test]
    fn letters_differ_and_unknown_characters_become_question_marks() {
        assert_ne!(drawn("a"), drawn("b"));
        let both = drawn("ab");
        let second = crop_imm(&both, text_width("a"), 0, text_width("b"), LINE_HEIGHT);
        assert_eq!(second.to_image(), drawn("b"), "letters follow one another");
        assert_eq!(drawn("\u{4e2d}"), drawn("?"));
        assert!(
            drawn("×").pixels().any(|p| p.0[0] < 64),
            "Latin-1 is covered"
        );
    }

    #[test]
    fn text_beyond_the_border_is_cut_off() {
        let mut image = RgbImage::from_pixel(5, 5, WHITE);
        draw_text(&mut image, "wide", 3, 3, BLACK);
        assert_eq!(image.dimensions(), (5, 5));
    }
}
