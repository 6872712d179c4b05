//! What lies behind everything: a wall, a room, hills under a sky, or a patchwork of surfaces.

use glam::{Vec2, Vec3};
use rand::Rng;

use crate::color::{ColorScheme, oklch};
use crate::noise::{cells, fractal, gradient, lerp, smoothstep};
use crate::texture::Texture;

/// A backdrop and its slow, large-scale variation of brightness.
#[derive(Debug, Clone)]
pub(crate) struct Backdrop {
    surface: Surface,
    /// Depth of the large-scale variation.
    unevenness: f32,
    seed: u32,
}

#[derive(Debug, Clone)]
enum Surface {
    Wall(Texture),
    Room {
        wall: Texture,
        floor: Texture,
        skirting: Vec3,
    },
    Hills {
        zenith: Vec3,
        haze: Vec3,
        ridges: Vec<Ridge>,
        ground: Texture,
    },
    Patches {
        textures: Vec<Texture>,
        size: f32,
    },
}

/// A line of hills, farther ones first.
#[derive(Debug, Clone)]
struct Ridge {
    base: f32,
    rise: f32,
    length: f32,
    texture: Texture,
    /// Share of haze in its color.
    haze: f32,
    seed: u32,
}

/// Where walls and hills meet the ground, scene units from the top.
pub(crate) const HORIZON: f32 = 0.6;

impl Backdrop {
    /// A random backdrop; with `ground`, one that people can stand on.
    pub fn draw(rng: &mut impl Rng, palette: &ColorScheme, ground: bool) -> Self {
        let texture = |rng: &mut _, low: f32, high: f32| {
            let palette = ColorScheme::draw(rng);
            let period = Rng::random_range(rng, low..high);
            Texture::draw(rng, &palette, period)
        };
        let choice = if ground {
            rng.random_range(1..3)
        } else {
            rng.random_range(0..4)
        };
        let surface = match choice {
            0 => {
                let period = rng.random_range(0.06..0.3);
                Surface::Wall(Texture::draw(rng, palette, period))
            }
            1 => Surface::Room {
                wall: texture(rng, 0.06, 0.2),
                floor: texture(rng, 0.1, 0.3),
                skirting: palette.colors[rng.random_range(0..3)],
            },
            2 => Self::hills(rng, palette),
            _ => Surface::Patches {
                textures: (0..4).map(|_| texture(rng, 0.04, 0.15)).collect(),
                size: rng.random_range(0.3..0.7),
            },
        };
        Self {
            surface,
            unevenness: rng.random_range(0.1..0.45),
            seed: rng.random(),
        }
    }

    fn hills(rng: &mut impl Rng, palette: &ColorScheme) -> Surface {
        let hue = rng.random_range(3.2..5.2);
        let haze = oklch(rng.random_range(0.7..0.93), 0.03, hue);
        let count = rng.random_range(1..=3);
        let ridges = (0..count)
            .map(|i| {
                let near = (i + 1) as f32 / (count + 1) as f32;
                let colors = ColorScheme::earthy(rng);
                let period = rng.random_range(0.03..0.12);
                Ridge {
                    base: lerp(HORIZON - 0.3, HORIZON - 0.02, near),
                    rise: rng.random_range(0.05..0.2) * (1.2 - near),
                    length: rng.random_range(0.15..0.5),
                    texture: Texture::natural(rng, &colors, period),
                    haze: 0.7 * (1.0 - near),
                    seed: rng.random(),
                }
            })
            .collect();
        let soil = if rng.random_bool(0.8) {
            ColorScheme::earthy(rng)
        } else {
            palette.clone()
        };
        let period = rng.random_range(0.04..0.2);
        Surface::Hills {
            zenith: oklch(
                rng.random_range(0.45..0.8),
                rng.random_range(0.05..0.13),
                hue,
            ),
            haze,
            ridges,
            ground: Texture::natural(rng, &soil, period),
        }
    }

    /// The color at `p` (scene units, `footprint` a pixel) when the camera has panned by `pan`, linear RGB.
    pub fn sample(&self, p: Vec2, pan: Vec2, footprint: f32) -> Vec3 {
        let moved = p + pan;
        let color = match &self.surface {
            Surface::Wall(texture) => texture.sample(moved, footprint),
            Surface::Room {
                wall,
                floor,
                skirting,
            } => {
                let below = p.y - HORIZON;
                if below > 0.0 {
                    plane(floor, p, pan, footprint)
                } else if below > -0.018 {
                    *skirting
                } else {
                    wall.sample(Vec2::new(moved.x, p.y), footprint)
                }
            }
            Surface::Hills {
                zenith,
                haze,
                ridges,
                ground,
            } => {
                if p.y > HORIZON {
                    plane(ground, p, pan, footprint)
                        .lerp(*haze, 0.3 * smoothstep(HORIZON + 0.1, HORIZON, p.y))
                } else {
                    self.sky(p, pan, footprint, *zenith, *haze, ridges)
                }
            }
            Surface::Patches { textures, size } => {
                let bent = moved
                    + 0.08
                        * Vec2::new(
                            gradient(moved * 4.0, self.seed ^ 11),
                            gradient(moved * 4.0, self.seed ^ 12),
                        );
                let cell = cells(bent / *size, self.seed);
                let seam = smoothstep(0.0, 2.0 * footprint / size, cell.border);
                let texture = &textures[cell.id as usize % textures.len()];
                texture.sample(moved, footprint) * (0.5 + 0.5 * seam)
            }
        };
        color * (1.0 + self.unevenness * 1.3 * gradient(moved * 1.4, self.seed ^ 13))
    }

    fn sky(
        &self,
        p: Vec2,
        pan: Vec2,
        footprint: f32,
        zenith: Vec3,
        haze: Vec3,
        ridges: &[Ridge],
    ) -> Vec3 {
        let count = ridges.len() as f32;
        let mut color = zenith.lerp(haze, smoothstep(0.0, HORIZON, p.y));
        let far = p + pan * 0.15;
        let cloud = fractal(
            Vec2::new(far.x * 2.2, far.y * 5.0),
            5,
            footprint * 3.0,
            self.seed ^ 14,
        );
        color = color.lerp(Vec3::splat(0.9), smoothstep(0.05, 0.6, cloud) * 0.8);
        for (i, ridge) in ridges.iter().enumerate() {
            // Nearer things move more when the camera pans.
            let parallax = 0.2 + 0.6 * (i + 1) as f32 / (count + 1.0);
            let at = p + pan * parallax;
            let line = fractal(
                Vec2::new(at.x / ridge.length, 0.5),
                4,
                footprint,
                ridge.seed,
            );
            let top = ridge.base - ridge.rise * line;
            if p.y > top {
                let inside = ((p.y - top) / footprint).min(1.0);
                let surface = ridge.texture.sample(at, footprint).lerp(haze, ridge.haze);
                color = color.lerp(surface, inside);
            }
        }
        color
    }
}

/// A level surface seen in perspective, from the horizon down.
fn plane(texture: &Texture, p: Vec2, pan: Vec2, footprint: f32) -> Vec3 {
    // The eye is 0.35 above the ground and looks at a picture plane at distance 0.5.
    let below = p.y - HORIZON + 0.03;
    let depth = 0.35 * 0.5 / below;
    let across = (p.x - 0.5) * depth / 0.5 + pan.x;
    // Seen from the eye a pixel is `depth / 0.5` wide and `depth / below` deep. Blurring for all of its depth
    // would leave little of the pattern, blurring for its width alone would alias.
    let size = footprint * depth * (0.6 / below).max(1.0 / 0.5);
    texture.sample(Vec2::new(across, depth), size)
}
