//! The patterns of textures.

use glam::{Vec2, Vec3};

use crate::noise::{cells, fractal, gradient, hash, unit};

/// What is laid over the plane. Lengths are in periods of the texture.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pattern {
    /// Fractal noise run through the three colors.
    Clouds,
    /// Veins: a sine bent by fractal noise.
    Marble,
    /// Bands of the given share of the period.
    Stripes { duty: f32 },
    /// A chessboard.
    Checks,
    /// Courses of bricks of the given length, each in its own shade.
    Bricks { length: f32 },
    /// Staggered dots.
    Dots { radius: f32 },
    /// Irregular cells with borders of the given width, each in its own shade.
    Cells { border: f32 },
    /// Two crossing sets of translucent bands.
    Tartan { duty: f32 },
    /// Bands that turn back and forth.
    Zigzag { duty: f32 },
    /// Distorted rings, like cut wood.
    Rings,
    /// Overlapping rows of round scales.
    Scales,
    /// Small irregular speckles on an even ground.
    Speckles,
    /// Plain, but for mottling and grain.
    Plain,
}

/// 1 where `x` is below `edge`, softened over `width`.
fn below(edge: f32, x: f32, width: f32) -> f32 {
    ((edge - x) / width.max(1e-4) + 0.5).clamp(0.0, 1.0)
}

/// Share of a band of `duty` per period at `x`, softened over `width`.
fn band(x: f32, duty: f32, width: f32) -> f32 {
    let distance = (x - x.floor() - 0.5).abs();
    below(duty * 0.5, distance, width)
}

/// The three colors in a row, for `t` from 0 to 1.
fn ramp(colors: &[Vec3; 3], t: f32) -> Vec3 {
    let t = t.clamp(0.0, 1.0) * 2.0;
    if t < 1.0 {
        colors[0].lerp(colors[1], t)
    } else {
        colors[1].lerp(colors[2], t - 1.0)
    }
}

/// A shade of its own for a tile: from the first color towards the second, lighter or darker.
fn shade(colors: &[Vec3; 3], id: u32) -> Vec3 {
    let (a, b) = ((id & 0xff) as f32 / 255.0, (id >> 8 & 0xff) as f32 / 255.0);
    colors[0].lerp(colors[1], a * 0.8) * (0.8 + 0.4 * b)
}

impl Pattern {
    /// The color at `q` (periods) for a pixel of `width` periods, of the ground, figure and accent in `colors`.
    pub fn color(self, q: Vec2, width: f32, colors: &[Vec3; 3], seed: u32) -> Vec3 {
        let [ground, figure, accent] = *colors;
        match self {
            Self::Clouds => ramp(colors, 0.5 + 0.75 * fractal(q, 4, width, seed)),
            Self::Marble => {
                let bend = fractal(q, 4, width, seed);
                ramp(
                    colors,
                    0.5 + 0.5 * (std::f32::consts::TAU * (q.x * 0.5 + bend)).sin(),
                )
            }
            Self::Stripes { duty } => {
                let thin = band(q.x + 0.5, duty * 0.2, width);
                ground
                    .lerp(figure, band(q.x, duty, width))
                    .lerp(accent, thin)
            }
            Self::Checks => {
                // The product of two square waves, each softened at its own edges.
                let wave = |x: f32| 2.0 * band(x * 0.5, 0.5, width * 0.5) - 1.0;
                ground.lerp(figure, 0.5 + 0.5 * wave(q.x) * wave(q.y))
            }
            Self::Bricks { length } => {
                let row = q.y.floor();
                let x = q.x / length + 0.5 * (row as i32).rem_euclid(2) as f32;
                let id = hash(x.floor() as i32, row as i32, seed);
                let joint =
                    band(x + 0.5, 0.12 / length, width / length).max(band(q.y + 0.5, 0.12, width));
                shade(colors, id).lerp(accent, joint)
            }
            Self::Dots { radius } => {
                let row = q.y.floor();
                let x = q.x + 0.5 * (row as i32).rem_euclid(2) as f32;
                let center = Vec2::new(x - x.floor() - 0.5, q.y - row - 0.5);
                let id = unit(x.floor() as i32, row as i32, seed);
                let dot = if id < 0.25 { accent } else { figure };
                ground.lerp(dot, below(radius, center.length(), width))
            }
            Self::Cells { border } => {
                let cell = cells(q, seed);
                shade(colors, cell.id).lerp(accent, below(border, cell.border, width * 2.0))
            }
            Self::Tartan { duty } => {
                let across = band(q.x, duty, width);
                let along = band(q.y, duty, width);
                let thread = band(q.x + 0.5, 0.06, width).max(band(q.y + 0.5, 0.06, width));
                ground
                    .lerp(figure, 0.5 * (across + along))
                    .lerp(accent, thread * 0.8)
            }
            Self::Zigzag { duty } => {
                let fold = (q.x - q.x.floor() - 0.5).abs();
                ground.lerp(figure, band(q.y + fold, duty, width * 1.4))
            }
            Self::Rings => {
                let bend = Vec2::new(q.x * 0.25, q.y) + gradient(q * 0.3, seed);
                ramp(colors, 0.5 + 0.5 * (8.0 * (bend.length() % 40.0)).sin())
            }
            Self::Scales => {
                // The row above hangs over this one: the first disc that covers the point wins.
                let mut color = ground;
                for step in [1i32, 0] {
                    let row = q.y.floor() as i32 - step;
                    let x = q.x + 0.5 * row.rem_euclid(2) as f32;
                    let center = Vec2::new(x - x.floor() - 0.5, q.y - row as f32 - 0.4);
                    let distance = center.length();
                    let id = hash(x.floor() as i32, row, seed);
                    let scale = shade(colors, id).lerp(accent, below(0.12, 0.72 - distance, width));
                    color = color.lerp(scale, below(0.72, distance, width));
                    if distance < 0.72 - width {
                        break;
                    }
                }
                color
            }
            Self::Speckles => {
                let cell = cells(q * 1.7, seed);
                let size = 0.1 + 0.3 * (cell.id & 0xff) as f32 / 255.0;
                let speck = if cell.id >> 8 & 3 == 0 {
                    accent
                } else {
                    figure
                };
                ground.lerp(speck, below(size, cell.center, width * 1.7))
            }
            Self::Plain => ground,
        }
    }
}
