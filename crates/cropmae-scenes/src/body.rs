//! What the renderer paints: textured pieces in place, grouped into bodies that cast one shadow.

use glam::{Affine2, Vec2};

use crate::shape::Shape;
use crate::texture::Texture;

/// A textured shape in place. Lengths of `shape` and texture are in the piece's own units.
#[derive(Debug, Clone)]
pub(crate) struct Piece<'a> {
    pub shape: Shape,
    pub texture: &'a Texture,
    /// Own coordinates to the scene's; a rotation, a translation and one `scale` for both axes.
    pub place: Affine2,
    pub scale: f32,
    /// What it is called in the mask; 0 is background.
    pub id: u8,
    /// Strength of the highlight.
    pub gloss: f32,
}

impl<'a> Piece<'a> {
    /// A piece at `position` (scene units), turned by `angle` radians.
    pub fn new(
        shape: Shape,
        texture: &'a Texture,
        (position, angle, scale): (Vec2, f32, f32),
        id: u8,
        gloss: f32,
    ) -> Self {
        let place = Affine2::from_scale_angle_translation(Vec2::splat(scale), angle, position);
        Self {
            shape,
            texture,
            place,
            scale,
            id,
            gloss,
        }
    }

    /// Bounds in the scene: lower and upper corner.
    pub fn bounds(&self) -> (Vec2, Vec2) {
        let (low, high) = self.shape.bounds();
        let corners = [
            low,
            Vec2::new(low.x, high.y),
            high,
            Vec2::new(high.x, low.y),
        ]
        .map(|corner| self.place.transform_point2(corner));
        let fold = |pick: fn(Vec2, Vec2) -> Vec2| corners.into_iter().reduce(pick).unwrap_or(low);
        (fold(Vec2::min), fold(Vec2::max))
    }
}

/// How a body shades what is behind it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shadow {
    /// Its own outline, moved away from the light by this much times the light's slant.
    Drop(f32),
    /// A soft ellipse under its feet: center and half axes, scene units.
    Ground(Vec2, Vec2),
}

/// Pieces painted in order, the last on top.
#[derive(Debug, Clone)]
pub(crate) struct Body<'a> {
    pub pieces: Vec<Piece<'a>>,
    pub shadow: Shadow,
}

impl Body<'_> {
    /// Bounds in the scene: lower and upper corner.
    pub fn bounds(&self) -> (Vec2, Vec2) {
        let nothing = (Vec2::MAX, Vec2::MIN);
        self.pieces
            .iter()
            .map(Piece::bounds)
            .fold(nothing, |a, b| (a.0.min(b.0), a.1.max(b.1)))
    }

    /// The same body with one id for all pieces.
    pub fn labeled(mut self, id: u8) -> Self {
        for piece in &mut self.pieces {
            piece.id = id;
        }
        self
    }
}
