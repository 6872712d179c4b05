//! Gaussian filters with reflected borders.

/// Filters `(H, W, C)` values with Gaussian weights along rows and then along columns.
///
/// The standard deviation `sigma` is in pixels. Both sides must be longer than `taps / 2`, and `taps` must be odd.
pub(super) fn blur<const C: usize>(
    values: &[f32],
    width: usize,
    taps: usize,
    sigma: f32,
) -> Vec<f32> {
    let weights = gaussian(taps, sigma);
    let height = values.len() / (width * C);
    let half = taps / 2;
    // Each row is copied with its reflected ends, so that the loop over taps needs no check for borders.
    let mut along = vec![0.0; values.len()];
    let mut padded = vec![0.0; (width + 2 * half) * C];
    for (row, out) in values
        .chunks_exact(width * C)
        .zip(along.chunks_exact_mut(width * C))
    {
        for (x, pixel) in padded.chunks_exact_mut(C).enumerate() {
            let from = reflected(x as isize - half as isize, width) * C;
            pixel.copy_from_slice(&row[from..from + C]);
        }
        for (tap, weight) in weights.iter().enumerate() {
            add_scaled(out, &padded[tap * C..], *weight);
        }
    }
    let mut out = vec![0.0; values.len()];
    for (y, out) in out.chunks_exact_mut(width * C).enumerate() {
        for (tap, weight) in weights.iter().enumerate() {
            let from = reflected((y + tap) as isize - half as isize, height);
            add_scaled(out, &along[from * width * C..], *weight);
        }
    }
    out
}

fn add_scaled(out: &mut [f32], values: &[f32], weight: f32) {
    for (out, value) in out.iter_mut().zip(values) {
        *out += value * weight;
    }
}

fn gaussian(taps: usize, sigma: f32) -> Vec<f32> {
    let center = (taps / 2) as f64;
    let weight = |tap: usize| {
        let distance = (tap as f64 - center) / f64::from(sigma);
        (-0.5 * distance * distance).exp()
    };
    let sum: f64 = (0..taps).map(weight).sum();
    (0..taps).map(|tap| (weight(tap) / sum) as f32).collect()
}

/// Returns the position inside `0..len` that mirrors a position outside.
///
/// The border itself is not repeated.
fn reflected(place: isize, len: usize) -> usize {
    let place = place.unsigned_abs();
    if place < len {
        place
    } else {
        2 * (len - 1) - place
    }
}
