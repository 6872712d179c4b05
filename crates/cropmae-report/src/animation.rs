//! Animated previews of videos.

use std::io::Cursor;

use image::codecs::gif::{GifEncoder, Repeat};
use image::{Delay, DynamicImage, Frame, RgbImage};

use crate::draw::shrink_to_width;
use crate::error::{ReportError, same_size};

/// Frames wider than this, in pixels, are shrunk, so that a preview of 50 frames stays at a few megabytes.
const MAX_WIDTH: u32 = 480;

/// Returns a GIF file that shows the frames in an endless loop.
///
/// Frames wider than 480 pixels are shrunk to that width. `frames_per_second` is from 1 to 50, because browsers slow
/// down faster animations. GIF stores times in hundredths of a second, so the rate is approximate.
///
/// # Errors
///
/// Returns an error if there are no frames, if frames differ in size, if `frames_per_second` is out of range, or if
/// the animation cannot be encoded.
pub fn gif<'a>(
    frames: impl IntoIterator<Item = &'a RgbImage>,
    frames_per_second: u32,
) -> Result<Vec<u8>, ReportError> {
    if !(1..=50).contains(&frames_per_second) {
        return Err(ReportError::Value {
            what: "frames_per_second".into(),
            found: f64::from(frames_per_second),
            expected: "a number from 1 to 50".into(),
        });
    }
    let encode = |source| ReportError::Encode {
        what: "animation",
        source,
    };
    let mut bytes = Vec::new();
    let mut encoder = GifEncoder::new_with_speed(Cursor::new(&mut bytes), 10);
    encoder.set_repeat(Repeat::Infinite).map_err(encode)?;
    let mut first = None;
    for frame in frames {
        let size = frame.dimensions();
        same_size(
            "frame of the animation",
            size,
            "first frame",
            *first.get_or_insert(size),
        )?;
        let frame = DynamicImage::ImageRgb8(shrink_to_width(frame, MAX_WIDTH)).into_rgba8();
        let delay = Delay::from_numer_denom_ms(1000, frames_per_second);
        encoder
            .encode_frame(Frame::from_parts(frame, 0, 0, delay))
            .map_err(encode)?;
    }
    drop(encoder);
    match first {
        Some(_) => Ok(bytes),
        None => Err(ReportError::Empty {
            what: "animation".into(),
            item: "frame",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::codecs::gif::GifDecoder;
    use image::{AnimationDecoder, ImageError, Rgb};

    #[test]
    fn frames_come_back_in_order_and_in_time() -> Result<(), Box<dyn std::error::Error>> {
        let frames: Vec<RgbImage> = (0..3)
            .map(|i| RgbImage::from_pixel(960, 8, Rgb([100 * i, 0, 50])))
            .collect();
        let bytes = gif(&frames, 10)?;
        let decoded = GifDecoder::new(Cursor::new(bytes))?.into_frames();
        let decoded = decoded.collect::<Result<Vec<Frame>, ImageError>>()?;
        assert_eq!(decoded.len(), 3);
        for (i, frame) in decoded.iter().enumerate() {
            assert_eq!(frame.delay().numer_denom_ms(), (100, 1));
            assert_eq!(frame.buffer().dimensions(), (480, 4));
            assert!(frame.buffer().get_pixel(7, 2).0[0].abs_diff(100 * i as u8) < 4);
        }
        Ok(())
    }

    #[test]
    fn nothing_to_show_and_frames_that_differ_are_errors() {
        assert!(gif([], 10).is_err());
        let (a, b) = (RgbImage::new(4, 4), RgbImage::new(4, 5));
        let found = gif([&a, &b], 10).err().map(|e| e.to_string());
        let message =
            "frame of the animation is 4 x 5 pixels: expected 4 x 4, the size of the first frame";
        assert_eq!(found.as_deref(), Some(message));
        assert!(gif([&a], 0).is_err() && gif([&a], 51).is_err());
    }
}
