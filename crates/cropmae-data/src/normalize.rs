//! Normalizes 8-bit values for the model, with the mean and standard deviation of ImageNet per channel.

use cropmae_config::imagenet;

/// The mean of ImageNet's pixels per channel (red, green, blue), on a scale from 0 to 1.
pub const MEAN: [f32; 3] = narrow(imagenet::MEAN);
/// The standard deviation of ImageNet's pixels per channel (red, green, blue), on a scale from 0 to 1.
pub const STD: [f32; 3] = narrow(imagenet::STD);

const fn narrow([red, green, blue]: [f64; 3]) -> [f32; 3] {
    [red as f32, green as f32, blue as f32]
}

/// The normalized value of each 8-bit value, by channel.
pub static TABLE: [[f32; 256]; 3] = table();

/// Returns the normalized value of a byte.
///
/// The order of operations is that of the reference, so that every bit agrees: a product with the reciprocal, a
/// difference, and a true division.
#[inline(always)]
pub(crate) const fn normalize(byte: u8, mean: f32, std: f32) -> f32 {
    (byte as f32 * (1.0 / 255.0) - mean) / std
}

const fn table() -> [[f32; 256]; 3] {
    let mut table = [[0.0; 256]; 3];
    let mut channel = 0;
    while channel < 3 {
        let mut value = 0;
        while value < 256 {
            table[channel][value] = normalize(value as u8, MEAN[channel], STD[channel]);
            value += 1;
        }
        channel += 1;
    }
    table
}

/// Returns the normalized values of interleaved RGB bytes.
pub(crate) fn normalized(rgb: &[u8]) -> impl Iterator<Item = f32> {
    let channels = TABLE.iter().cycle();
    rgb.iter()
        .zip(channels)
        .map(|(&byte, table)| table[usize::from(byte)])
}

/// Returns the 8-bit value nearest to a normalized one. Values outside the range of pixels are clamped.
pub fn to_byte(value: f32, channel: usize) -> u8 {
    // The cast saturates, and it converts NaN to 0.
    ((value * STD[channel] + MEAN[channel]) * 255.0).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::Golden;

    #[test]
    fn golden_table_is_exact() {
        for golden in Golden::all() {
            let bytes = golden.bytes("normalize_table.safetensors");
            let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
            let table = tensors.tensor("table").unwrap();
            assert_eq!(table.shape(), [3, 256]);
            let (words, _) = table.data().as_chunks::<4>();
            for (index, word) in words.iter().enumerate() {
                let ours = TABLE[index / 256][index % 256];
                assert_eq!(ours.to_bits(), u32::from_le_bytes(*word), "entry {index}");
            }
        }
    }

    #[test]
    fn bytes_survive_the_round_trip() {
        for (channel, table) in TABLE.iter().enumerate() {
            for (byte, &value) in (0..=255u8).zip(table) {
                assert_eq!(to_byte(value, channel), byte);
            }
            assert_eq!(to_byte(1e9, channel), 255);
            assert_eq!(to_byte(-1e9, channel), 0);
        }
    }
}
