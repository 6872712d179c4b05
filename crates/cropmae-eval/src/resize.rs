//! Bilinear and nearest-neighbor resampling without antialiasing, with the conventions of OpenCV and Pillow.

/// Two input positions of an output position, and the weight of the second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Tap {
    pub low: usize,
    pub high: usize,
    pub weight: f32,
}

impl Tap {
    /// Returns `low * (1 - weight) + high * weight`, in OpenCV's order of operations.
    #[inline(always)]
    pub fn blend(self, low: f32, high: f32) -> f32 {
        low * (1.0 - self.weight) + high * self.weight
    }
}

/// Returns the taps of a bilinear resize with half-pixel centers and clamped edges.
///
/// The source of position `i` is `(i + 0.5) * input / output - 0.5`.
pub(crate) fn bilinear(input: usize, output: usize) -> Vec<Tap> {
    let scale = input as f64 / output as f64;
    (0..output)
        .map(|i| {
            let s = ((i as f64 + 0.5) * scale - 0.5).clamp(0.0, (input - 1) as f64);
            let low = s.floor();
            Tap {
                low: low as usize,
                high: (low as usize + 1).min(input - 1),
                weight: (s - low) as f32,
            }
        })
        .collect()
}

/// Returns the nearest input positions without half-pixel centers, as in OpenCV: `floor(i * input / output)`.
pub(crate) fn nearest_corner(input: usize, output: usize) -> Vec<usize> {
    (0..output).map(|i| i * input / output).collect()
}

/// Returns the nearest input positions with half-pixel centers, as in Pillow: `floor((i + 0.5) * input / output)`.
///
/// Pillow adds up steps in f64. If the exact position is a whole number, the rounding of this sum decides, so it is
/// reproduced here.
pub(crate) fn nearest_center(input: usize, output: usize) -> Vec<usize> {
    let step = input as f64 / output as f64;
    let positions = std::iter::successors(Some(step * 0.5), |position| Some(position + step));
    positions
        .take(output)
        .map(|position| (position as usize).min(input - 1))
        .collect()
}

/// Does the horizontal part of a bilinear resize: `row` (w, C) interleaved -> `wide` (C, W) planar.
pub(crate) fn widen(row: &[f32], channels: usize, taps: &[Tap], wide: &mut [f32]) {
    for (channel, plane) in wide.chunks_exact_mut(taps.len()).enumerate() {
        for (value, tap) in plane.iter_mut().zip(taps) {
            *value = tap.blend(
                row[tap.low * channels + channel],
                row[tap.high * channels + channel],
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nearest_conventions_differ_by_half_a_pixel() {
        assert_eq!(nearest_corner(4, 2), [0, 2]);
        assert_eq!(nearest_center(4, 2), [1, 3]);
        assert_eq!(nearest_corner(2, 4), [0, 0, 1, 1]);
        assert_eq!(nearest_center(2, 4), [0, 0, 1, 1]);
    }

    proptest! {
        #[test]
        fn taps_stay_inside_and_the_same_size_is_the_identity(input in 1usize..900, output in 1usize..900) {
            for tap in bilinear(input, output) {
                prop_assert!(tap.low <= tap.high && tap.high < input);
                prop_assert!((0.0..=1.0).contains(&tap.weight));
            }
            prop_assert!(nearest_corner(input, output).into_iter().all(|i| i < input));
            prop_assert!(nearest_center(input, output).into_iter().all(|i| i < input));
            for (i, tap) in bilinear(input, input).into_iter().enumerate() {
                prop_assert_eq!((tap.low, tap.weight), (i, 0.0));
            }
        }
    }
}
