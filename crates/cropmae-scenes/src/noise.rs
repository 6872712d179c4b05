//! Counter-based noise of the plane: gradient noise, its fractal sum, and cells.
//!
//! Every value is a pure function of position and seed, so neighboring pixels can be rendered by any
//! thread in any order. Gradient noise after Perlin (SIGGRAPH 2002), cells after Worley (SIGGRAPH 1996).

use glam::Vec2;

/// Odd factors that spread coordinates and seed over the word.
const KEY_X: u32 = 0x8da6_b343;
const KEY_Y: u32 = 0xd816_3841;
const KEY_SEED: u32 = 0xcb1a_b31f;

/// A well-mixed 32-bit word for a lattice point (the finalizer of MurmurHash3 on a linear key).
pub(crate) fn hash(x: i32, y: i32, seed: u32) -> u32 {
    let mut h = (x as u32).wrapping_mul(KEY_X)
        ^ (y as u32).wrapping_mul(KEY_Y)
        ^ seed.wrapping_mul(KEY_SEED);
    h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
    h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
    h ^ (h >> 16)
}

/// `hash` as a number in `[0, 1)`.
pub(crate) fn unit(x: i32, y: i32, seed: u32) -> f32 {
    (hash(x, y, seed) >> 8) as f32 / (1 << 24) as f32
}

/// Eight directions: enough once octaves are summed.
const DIRECTIONS: [[f32; 2]; 8] = [
    [1.0, 0.4],
    [0.4, 1.0],
    [-0.4, 1.0],
    [-1.0, 0.4],
    [-1.0, -0.4],
    [-0.4, -1.0],
    [0.4, -1.0],
    [1.0, -0.4],
];

/// Gradient noise with features of size 1: smooth, zero on the lattice, within about ±0.8.
pub(crate) fn gradient(p: Vec2, seed: u32) -> f32 {
    let (x, y) = (floor(p.x), floor(p.y));
    let (fx, fy) = (p.x - x as f32, p.y - y as f32);
    let ease = |f: f32| f * f * f * (f * (f * 6.0 - 15.0) + 10.0);
    // Half of all rendering time is spent here: the keys are shared between corners, and one round of
    // mixing does for the three bits that pick a direction.
    let (left, top) = (
        (x as u32).wrapping_mul(KEY_X),
        (y as u32).wrapping_mul(KEY_Y),
    );
    let (right, bottom) = (left.wrapping_add(KEY_X), top.wrapping_add(KEY_Y));
    let seed = seed.wrapping_mul(KEY_SEED);
    let corner = |key_x: u32, key_y: u32, dx: f32, dy: f32| {
        let key = key_x ^ key_y ^ seed;
        let h = (key ^ (key >> 15)).wrapping_mul(0x2c1b_3c6d);
        let [a, b] = DIRECTIONS[(h >> 29) as usize];
        a * dx + b * dy
    };
    let ease_x = ease(fx);
    let upper = lerp(
        corner(left, top, fx, fy),
        corner(right, top, fx - 1.0, fy),
        ease_x,
    );
    let lower = lerp(
        corner(left, bottom, fx, fy - 1.0),
        corner(right, bottom, fx - 1.0, fy - 1.0),
        ease_x,
    );
    lerp(upper, lower, ease(fy))
}

/// `x.floor()` as an integer. Without SSE 4.1 in the build's target, `f32::floor` is a call.
fn floor(x: f32) -> i32 {
    let truncated = x as i32;
    truncated - i32::from(x < truncated as f32)
}

/// Fractal noise: octaves of halving size and strength, about `[-1, 1]`.
///
/// Octaves finer than `footprint` (the size of a pixel) would only alias; they are left out.
pub(crate) fn fractal(p: Vec2, octaves: u32, footprint: f32, seed: u32) -> f32 {
    let (mut sum, mut amplitude, mut frequency) = (0.0, 1.0, 1.0);
    for octave in 0..octaves {
        if octave > 0 && frequency * footprint > 0.5 {
            break;
        }
        sum += amplitude * gradient(p * frequency, seed.wrapping_add(octave));
        amplitude *= 0.5;
        frequency *= 2.0;
    }
    sum
}

/// The cell a point lies in.
pub(crate) struct Cell {
    /// Random word of the cell.
    pub id: u32,
    /// Distance to the cell's center.
    pub center: f32,
    /// Distance to the second nearest center, minus `center`: 0 on borders.
    pub border: f32,
}

/// Cells of size 1 around jittered lattice points.
pub(crate) fn cells(p: Vec2, seed: u32) -> Cell {
    let (x, y) = (floor(p.x), floor(p.y));
    let base = Vec2::new(x as f32, y as f32);
    let (mut first, mut second, mut id) = (f32::MAX, f32::MAX, 0);
    for dy in -1..=1 {
        for dx in -1..=1 {
            let h = hash(x + dx, y + dy, seed);
            let jitter = Vec2::new((h & 0xffff) as f32, (h >> 16) as f32) / 65536.0 * 0.8 + 0.1;
            let d = (base + Vec2::new(dx as f32, dy as f32) + jitter).distance_squared(p);
            if d < first {
                (second, first, id) = (first, d, h);
            } else if d < second {
                second = d;
            }
        }
    }
    let (first, second) = (first.sqrt(), second.sqrt());
    Cell {
        id,
        center: first,
        border: second - first,
    }
}

/// `a` at 0, `b` at 1.
pub(crate) fn lerp(a: f32, b: f32, t: f32) -> f32 {
    a + (b - a) * t
}

/// 0 below `low`, 1 above `high`, smooth between.
pub(crate) fn smoothstep(low: f32, high: f32, x: f32) -> f32 {
    let t = ((x - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractal_noise_is_centered_varied_and_bounded() {
        let samples: Vec<f32> = (0..10_000)
            .map(|i| {
                fractal(
                    Vec2::new(i as f32 * 0.137, (i % 97) as f32 * 0.31),
                    4,
                    0.01,
                    5,
                )
            })
            .collect();
        let mean = samples.iter().sum::<f32>() / samples.len() as f32;
        let variance = samples.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / 10_000.0;
        assert!(mean.abs() < 0.05, "mean {mean}");
        assert!(variance.sqrt() > 0.15, "deviation {}", variance.sqrt());
        assert!(samples.iter().all(|v| v.abs() < 1.6));
    }

    #[test]
    fn noise_is_continuous_across_lattice_lines() {
        for i in -20..20 {
            let x = i as f32;
            let (left, right) = (Vec2::new(x - 1e-4, 0.37), Vec2::new(x + 1e-4, 0.37));
            assert!((gradient(left, 3) - gradient(right, 3)).abs() < 1e-3);
            let (left, right) = (cells(left, 3), cells(right, 3));
            assert!((left.center - right.center).abs() < 1e-3);
        }
    }

    #[test]
    fn octaves_below_the_footprint_are_left_out() {
        let p = Vec2::new(3.3, 1.7);
        assert_eq!(fractal(p, 6, 1.0, 9), gradient(p, 9));
        assert_ne!(fractal(p, 6, 0.01, 9), gradient(p, 9));
    }
}
