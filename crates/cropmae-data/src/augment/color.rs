//! Brightness, contrast, saturation and hue of `(H, W, 3)` pixels in `[0, 1]`.

/// The weights of red, green and blue of ITU-R 601, as torchvision rounds them.
const GRAY: [f32; 3] = [0.2989, 0.587, 0.114];

fn gray(pixel: &[f32; 3]) -> f32 {
    pixel
        .iter()
        .zip(GRAY)
        .map(|(value, weight)| value * weight)
        .sum()
}

fn pixels_of(pixels: &mut [f32]) -> &mut [[f32; 3]] {
    pixels.as_chunks_mut().0
}

/// Scales the distance of `value` from `other` by `factor`, and clamps the result to `[0, 1]`.
fn blend(value: &mut f32, other: f32, factor: f32) {
    *value = (*value * factor + other * (1.0 - factor)).clamp(0.0, 1.0);
}

/// Scales all values.
pub(super) fn brightness(pixels: &mut [f32], factor: f32) {
    pixels
        .iter_mut()
        .for_each(|value| blend(value, 0.0, factor));
}

/// Scales the distances from the mean gray of the image.
pub(super) fn contrast(pixels: &mut [f32], factor: f32) {
    let pixels = pixels_of(pixels);
    let sum: f64 = pixels.iter().map(|pixel| f64::from(gray(pixel))).sum();
    let mean = (sum / pixels.len() as f64) as f32;
    let values = pixels.iter_mut().flatten();
    values.for_each(|value| blend(value, mean, factor));
}

/// Scales the distances from the gray value of each pixel.
pub(super) fn saturation(pixels: &mut [f32], factor: f32) {
    for pixel in pixels_of(pixels) {
        let gray = gray(pixel);
        pixel
            .iter_mut()
            .for_each(|value| blend(value, gray, factor));
    }
}

/// Rotates hues by a fraction of the color circle.
pub(super) fn hue(pixels: &mut [f32], turn: f32) {
    for pixel in pixels_of(pixels) {
        let [hue, saturation, value] = to_hsv(*pixel);
        *pixel = to_rgb([(hue + turn).rem_euclid(1.0), saturation, value]);
    }
}

fn to_hsv(rgb: [f32; 3]) -> [f32; 3] {
    let max = rgb.into_iter().fold(f32::MIN, f32::max);
    let min = rgb.into_iter().fold(f32::MAX, f32::min);
    let range = max - min;
    if range == 0.0 {
        return [0.0, 0.0, max];
    }
    let [r, g, b] = rgb.map(|value| (max - value) / range);
    let sixths = if max == rgb[0] {
        b - g
    } else if max == rgb[1] {
        2.0 + r - b
    } else {
        4.0 + g - r
    };
    [(sixths / 6.0).rem_euclid(1.0), range / max, max]
}

fn to_rgb([hue, saturation, value]: [f32; 3]) -> [f32; 3] {
    let sixths = hue * 6.0;
    let part = sixths - sixths.floor();
    let low = (1.0 - saturation) * value;
    let falling = (1.0 - saturation * part) * value;
    let rising = (1.0 - saturation * (1.0 - part)) * value;
    match sixths as usize % 6 {
        0 => [value, rising, low],
        1 => [falling, value, low],
        2 => [low, value, rising],
        3 => [low, falling, value],
        4 => [rising, low, value],
        _ => [value, low, falling],
    }
}
