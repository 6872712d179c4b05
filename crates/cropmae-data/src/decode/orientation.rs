//! The EXIF orientation, which says how a stored image is turned to be shown (Exif 2.32, tag 0x0112).

use image::metadata::Orientation;
use image::{DynamicImage, RgbImage};

use crate::boxes::CropBox;

/// Returns the orientation in the Exif segment, or no change if there is none.
pub(super) fn of_exif(tiff: Option<&[u8]>) -> Orientation {
    tiff.and_then(Orientation::from_exif_chunk)
        .unwrap_or(Orientation::NoTransforms)
}

/// How the positions of shown pixels map to stored ones.
struct Turn {
    /// Whether shown columns are stored rows.
    swapped: bool,
    /// Whether stored columns and stored rows run backwards.
    mirrored: [bool; 2],
}

impl Turn {
    fn of(orientation: Orientation) -> Self {
        let (swapped, mirrored) = match orientation {
            Orientation::NoTransforms => (false, [false, false]),
            Orientation::FlipHorizontal => (false, [true, false]),
            Orientation::Rotate180 => (false, [true, true]),
            Orientation::FlipVertical => (false, [false, true]),
            Orientation::Rotate90FlipH => (true, [false, false]),
            Orientation::Rotate90 => (true, [false, true]),
            Orientation::Rotate270FlipH => (true, [true, true]),
            Orientation::Rotate270 => (true, [true, false]),
        };
        Self { swapped, mirrored }
    }
}

/// Returns the width and height as shown of an image stored as `size`.
pub(super) fn shown_size(orientation: Orientation, size: (u32, u32)) -> (u32, u32) {
    match Turn::of(orientation).swapped {
        true => (size.1, size.0),
        false => size,
    }
}

/// Returns where the shown pixels of `area` lie in an image stored as `size`.
pub(super) fn stored_area(orientation: Orientation, size: (u32, u32), area: CropBox) -> CropBox {
    let Turn { swapped, mirrored } = Turn::of(orientation);
    let mut stored = match swapped {
        true => CropBox {
            top: area.left,
            left: area.top,
            height: area.width,
            width: area.height,
        },
        false => area,
    };
    if mirrored[0] {
        stored.left = size.0 - stored.left - stored.width;
    }
    if mirrored[1] {
        stored.top = size.1 - stored.top - stored.height;
    }
    stored
}

/// Turns the stored `pixels` to be shown.
pub(super) fn turned(orientation: Orientation, pixels: RgbImage) -> RgbImage {
    if orientation == Orientation::NoTransforms {
        return pixels;
    }
    let mut picture = DynamicImage::ImageRgb8(pixels);
    picture.apply_orientation(orientation);
    picture.into_rgb8()
}
