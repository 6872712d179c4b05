//! The rasterizer: backdrop, then bodies from back to front, into colors and exact masks.
//!
//! Color is anti-aliased by the signed distance of the pixel's center; the mask takes the pixel's center
//! alone, so each pixel has one id. Surfaces are bevelled towards their outline and lit as if they were
//! cushions.

use glam::{Affine2, Vec2, Vec3};
use image::RgbImage;

use super::backdrop::Backdrop;
use super::body::{Body, Piece, Shadow};
use super::color::display;
use super::light::Light;
use super::noise::{hash, smoothstep};

/// A scene at one moment. Scene units: the picture is 1 high, (0, 0) is its upper left corner.
#[derive(Debug)]
pub(super) struct Posed<'a> {
    pub backdrop: &'a Backdrop,
    /// How far the camera has panned.
    pub pan: Vec2,
    /// The part of the scene that fills the picture.
    pub view: View,
    /// Back to front.
    pub bodies: Vec<Body<'a>>,
    pub light: Light,
    /// Deviation of the sensor's noise, in 8-bit levels, and its seed.
    pub noise: (f32, u32),
}

/// A window on the scene, scene units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct View {
    /// Its upper left corner.
    pub corner: Vec2,
    pub height: f32,
}

impl View {
    /// The scene as it was composed.
    pub const WHOLE: Self = Self {
        corner: Vec2::ZERO,
        height: 1.0,
    };
}

/// A rendered picture and the id of each pixel, row-major.
#[derive(Debug, Clone)]
pub(super) struct Picture {
    pub rgb: RgbImage,
    pub ids: Vec<u8>,
}

/// Depth of a shadow's core.
const SHADOW: f32 = 0.55;

struct Canvas {
    width: usize,
    height: usize,
    corner: Vec2,
    /// Size of a pixel, scene units.
    pixel: f32,
    colors: Vec<Vec3>,
    ids: Vec<u8>,
}

/// Renders a scene at `width` x `height` pixels.
pub(super) fn render(posed: &Posed<'_>, width: u32, height: u32) -> Picture {
    let (width, height) = (width as usize, height as usize);
    let mut canvas = Canvas {
        width,
        height,
        corner: posed.view.corner,
        pixel: posed.view.height / height as f32,
        colors: vec![Vec3::ZERO; width * height],
        ids: vec![0; width * height],
    };
    let pixel = canvas.pixel;
    canvas.paint((0, 0, width, height), |p, color, _| {
        *color = posed.backdrop.sample(p, posed.pan, pixel);
    });
    for body in &posed.bodies {
        canvas.shade(body, &posed.light);
        for piece in &body.pieces {
            canvas.piece(piece, &posed.light);
        }
    }
    canvas.develop(posed)
}

impl Canvas {
    /// Pixels whose centers may lie within the bounds: first column and row, one past the last.
    fn window(&self, (low, high): (Vec2, Vec2), margin: f32) -> (usize, usize, usize, usize) {
        // The cast saturates, so that bounds outside the picture give an empty window.
        let clip = |x: f32, most: usize| (x.max(0.0) as usize).min(most);
        let low = (low - margin - self.corner) / self.pixel;
        let high = (high + margin - self.corner) / self.pixel + 1.0;
        (
            clip(low.x, self.width),
            clip(low.y, self.height),
            clip(high.x, self.width),
            clip(high.y, self.height),
        )
    }

    /// The center of a pixel, scene units.
    fn center(&self, x: usize, y: usize) -> Vec2 {
        self.corner + Vec2::new(x as f32 + 0.5, y as f32 + 0.5) * self.pixel
    }

    /// Calls `ink(center, color, id)` for the pixels of a window.
    fn paint(
        &mut self,
        (left, top, right, bottom): (usize, usize, usize, usize),
        mut ink: impl FnMut(Vec2, &mut Vec3, &mut u8),
    ) {
        for y in top..bottom {
            for x in left..right {
                let at = y * self.width + x;
                let center = self.center(x, y);
                ink(center, &mut self.colors[at], &mut self.ids[at]);
            }
        }
    }

    fn shade(&mut self, body: &Body<'_>, light: &Light) {
        match body.shadow {
            Shadow::Ground(center, half) => {
                let window = self.window((center - half * 1.6, center + half * 1.6), 0.0);
                let lean = -light.direction.x * half.x * 0.5;
                self.paint(window, |p, color, _| {
                    let q = (p - center - Vec2::new(lean, 0.0)) / half;
                    *color *= 1.0 - SHADOW * smoothstep(1.3, 0.2, q.length());
                });
            }
            Shadow::Drop(height) => {
                let offset = -light.direction.truncate() / light.direction.z * height;
                let soft = height * 0.4 + self.pixel;
                let (low, high) = body.bounds();
                let window = self.window((low + offset, high + offset), soft);
                let parts: Vec<_> = body
                    .pieces
                    .iter()
                    .map(|piece| (piece, piece.place.inverse()))
                    .collect();
                self.paint(window, |p, color, _| {
                    let distance = |(piece, back): &(&Piece<'_>, Affine2)| {
                        piece.shape.distance(back.transform_point2(p - offset)) * piece.scale
                    };
                    let outside = parts.iter().map(distance).fold(soft, f32::min);
                    *color *= 1.0 - SHADOW * smoothstep(soft, -soft, outside);
                });
            }
        }
    }

    fn piece(&mut self, piece: &Piece<'_>, light: &Light) {
        let pixel = self.pixel;
        let window = self.window(piece.bounds(), pixel);
        let back = piece.place.inverse();
        let footprint = pixel / piece.scale;
        let bevel = piece.shape.thickness() * 0.9;
        self.paint(window, |p, color, id| {
            let local = back.transform_point2(p);
            let distance = piece.shape.distance(local);
            let coverage = 0.5 - distance / footprint;
            if coverage <= 0.0 {
                return;
            }
            let mut surface = piece.texture.sample(local, footprint);
            let normal = piece.normal(local, distance, bevel, footprint);
            surface = surface * light.diffuse(normal) + piece.gloss * light.highlight(normal);
            *color = color.lerp(surface, coverage.min(1.0));
            if distance <= 0.0 {
                *id = piece.id;
            }
        });
    }

    /// Light, exposure, the display's transfer curve and the sensor's noise.
    fn develop(self, posed: &Posed<'_>) -> Picture {
        let size = Vec2::new(self.width as f32, self.height as f32);
        let (deviation, seed) = posed.noise;
        let mut rgb = RgbImage::new(self.width as u32, self.height as u32);
        for (i, (out, color)) in rgb.pixels_mut().zip(&self.colors).enumerate() {
            let (x, y) = (i % self.width, i / self.width);
            let lit = *color
                * posed.light.gain_at(self.center(x, y))
                * posed.light.vignette(Vec2::new(x as f32, y as f32) / size);
            for (channel, linear) in lit.to_array().into_iter().enumerate() {
                // The sum of two uniform numbers is close enough to a bell.
                let h = hash(i as i32, channel as i32, seed);
                let bell = ((h & 0xffff) + (h >> 16)) as f32 / 65536.0 - 1.0;
                let level = display(linear) + bell * deviation * 2.45;
                out.0[channel] = (level + 0.5).clamp(0.0, 255.0) as u8;
            }
        }
        Picture { rgb, ids: self.ids }
    }
}

impl Piece<'_> {
    /// Unit normal of the cushion at `local`, `distance` from the outline.
    fn normal(&self, local: Vec2, distance: f32, bevel: f32, step: f32) -> Vec3 {
        let depth = (-distance / bevel).clamp(0.0, 1.0);
        if depth >= 1.0 {
            return Vec3::Z;
        }
        let slope = Vec2::new(
            self.shape.distance(local + Vec2::new(step, 0.0)) - distance,
            self.shape.distance(local + Vec2::new(0.0, step)) - distance,
        ) / step;
        let outward = self.place.transform_vector2(slope).normalize_or_zero();
        let steep = (1.0 - depth) * (1.0 - depth);
        (outward * steep * 1.2).extend(1.0).normalize()
    }
}

#[cfg(test)]
mod tests {
    use super::super::color::Palette;
    use super::super::light::Lighting;
    use super::super::shape::Shape;
    use super::super::texture::Texture;
    use super::*;
    use cropmae_config::{Seed, Stream};

    /// A disc of radius 0.25 in the middle of a picture, under `id`.
    fn disc(id: u8, covered_by: Option<u8>, view: View) -> Picture {
        let rng = &mut Seed(5).rng(Stream::Scenes, 5, 0);
        let palette = Palette::draw(rng);
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
        let count = |picture: &Picture, id| picture.ids.iter().filter(|&&i| i == id).count() as f32;
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
        let count = |picture: &Picture| picture.ids.iter().filter(|&&id| id == 3).count() as f32;
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
        let palette = Palette::draw(rng);
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
}
