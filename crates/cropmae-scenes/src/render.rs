//! The rasterizer: backdrop, then bodies from back to front, into colors and exact masks.
//!
//! Color is anti-aliased by the signed distance of the pixel's center; the mask takes the pixel's center
//! alone, so each pixel has one id. Surfaces are beveled towards their outline and lit as if they were
//! cushions.

use glam::{Affine2, Vec2, Vec3};
use image::RgbImage;

use crate::backdrop::Backdrop;
use crate::body::{Body, Piece, Shadow};
use crate::color::display;
use crate::light::Light;
use crate::noise::{hash, smoothstep};

/// A scene at one moment. Scene units: the picture is 1 high, (0, 0) is its upper left corner.
#[derive(Debug)]
pub(crate) struct Posed<'a> {
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
pub(crate) struct View {
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
pub(crate) struct Rendered {
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
pub(crate) fn render(posed: &Posed<'_>, width: u32, height: u32) -> Rendered {
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
    fn develop(self, posed: &Posed<'_>) -> Rendered {
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
        Rendered { rgb, ids: self.ids }
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
mod tests;
