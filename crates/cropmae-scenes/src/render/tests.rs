//! Checks pictures of a few shapes.

use super::*;
use crate::color::ColorScheme;
use crate::light::Lighting;
use crate::shape::Shape;
use crate::texture::Texture;
use cropmae_config::{Seed, Stream};

/// A disc of radius 0.25 in the middle of a picture, under `id`.
fn disc(id: u8, covered_by: Option<u8>, view: View) -> Rendered {
    let rng = &mut Seed(5).rng(Stream::Scenes, 5, 0);
    let palette = ColorScheme::draw(rng);
    let backdrop = Backdrop::draw(rng, &palette, false);
    let texture = Texture::draw(rng, &palette, 0.1);
    let circle = |radius: f32, id| {
        let shape = Shape::Ellipse(Vec2::splat(radius));
        Piece::new(shape, &texture, (Vec2::splat(0.5), 0.3, 1.0), id, 0.2)
    };
    let mut pieces = vec![circle(0.25, id)];
    pieces.extend(covered_by.map(|id| circle(0.1, id)));
    let posed = Posed {
        backdrop: &backdrop,
        pan: Vec2::ZERO,
        view,
        bodies: vec![Body {
            pieces,
            shadow: Shadow::Drop(0.05),
        }],
        light: Lighting::draw(rng, 1.0).at(0.0),
        noise: (0.0, 1),
    };
    render(&posed, 200, 200)
}

#[test]
fn masks_have_the_area_of_their_shape() {
    let count = |picture: &Rendered, id| picture.ids.iter().filter(|&&i| i == id).count() as f32;
    let picture = disc(3, None, View::WHOLE);
    let area = std::f32::consts::PI * 50.0f32.powi(2);
    assert!((count(&picture, 3) - area).abs() < area * 0.005);
    assert_eq!(count(&picture, 0) + count(&picture, 3), 40_000.0);
    let covered = disc(3, Some(4), View::WHOLE);
    assert!((count(&covered, 4) - area * 0.16).abs() < area * 0.005);
    assert_eq!(count(&covered, 3) + count(&covered, 4), count(&picture, 3));
}

#[test]
fn views_magnify_their_window() {
    let count = |picture: &Rendered| picture.ids.iter().filter(|&&id| id == 3).count() as f32;
    let whole = count(&disc(3, None, View::WHOLE));
    let centered = View {
        corner: Vec2::splat(0.2),
        height: 0.6,
    };
    let ratio = count(&disc(3, None, centered)) / whole;
    assert!((ratio - 1.0 / 0.36).abs() < 0.02, "{ratio}");
    // The quarter of the scene that holds the lower right quarter of the disc.
    let quarter = disc(
        3,
        None,
        View {
            corner: Vec2::splat(0.5),
            height: 0.5,
        },
    );
    assert!((count(&quarter) / whole - 1.0).abs() < 0.02);
    assert_eq!((quarter.ids[0], quarter.ids[199 * 200 + 199]), (3, 0));
}

#[test]
fn bodies_darken_what_lies_in_their_shadow_only() {
    let picture = disc(3, None, View::WHOLE);
    let far = picture.rgb.get_pixel(2, 197);
    let rng = &mut Seed(5).rng(Stream::Scenes, 5, 0);
    let palette = ColorScheme::draw(rng);
    let backdrop = Backdrop::draw(rng, &palette, false);
    let _ = Texture::draw(rng, &palette, 0.1);
    let posed = Posed {
        backdrop: &backdrop,
        pan: Vec2::ZERO,
        view: View::WHOLE,
        bodies: Vec::new(),
        light: Lighting::draw(rng, 1.0).at(0.0),
        noise: (0.0, 1),
    };
    let bare = render(&posed, 200, 200);
    assert_eq!(far, bare.rgb.get_pixel(2, 197));
    let darker = picture
        .rgb
        .pixels()
        .zip(bare.rgb.pixels())
        .zip(&picture.ids)
        .filter(|((a, b), id)| **id == 0 && a.0.iter().zip(b.0).any(|(&a, b)| a + 8 < b))
        .count();
    assert!(darker > 200, "{darker} background pixels lie in shadow");
}
