//! The fifteen human joints of JHMDB, and the limbs between them, drawn on video frames.

use image::{Rgb, RgbImage, imageops};

use crate::draw::{disc, line, ring};

/// The number of joints that JHMDB annotates.
pub const JOINTS: usize = 15;

/// The position (x, y) of every joint, in pixels of the frame.
///
/// The order is JHMDB's: neck, belly, face, then the right and the left shoulder, hip, elbow, knee, wrist and ankle.
/// A joint is not drawn if a coordinate is infinite or not a number, or if both coordinates are negative, which means
/// that the joint was not found.
pub type Joints = [[f32; 2]; JOINTS];

const TRUNK: Rgb<u8> = Rgb([0x34, 0xd3, 0x6b]);
const RIGHT: Rgb<u8> = Rgb([0xff, 0x9f, 0x1c]);
const LEFT: Rgb<u8> = Rgb([0x3d, 0xa9, 0xfc]);
const TRUTH: Rgb<u8> = Rgb([255; 3]);
const SHADE: Rgb<u8> = Rgb([0; 3]);

/// The two joints of each limb, and the color of the limb.
const LIMBS: [(usize, usize, Rgb<u8>); 14] = [
    (2, 0, TRUNK),
    (0, 1, TRUNK),
    (0, 3, RIGHT),
    (3, 7, RIGHT),
    (7, 11, RIGHT),
    (1, 5, RIGHT),
    (5, 9, RIGHT),
    (9, 13, RIGHT),
    (0, 4, LEFT),
    (4, 8, LEFT),
    (8, 12, LEFT),
    (1, 6, LEFT),
    (6, 10, LEFT),
    (10, 14, LEFT),
];

/// Frames narrower than this, in pixels, are enlarged by a whole factor so that the marks do not hide the person.
const MIN_WIDTH: u32 = 480;

/// Returns the frame with predicted joints and, where given, the true ones.
///
/// Predicted joints are filled discs on colored limbs: orange on the right side of the body, blue on the left side
/// and green on the trunk. True joints are white rings on thin white limbs. A frame narrower than 480 pixels is
/// enlarged by a whole factor, at most 8. The positions in `predicted` and `truth` are always in pixels of `frame`.
pub fn draw_joints(frame: &RgbImage, predicted: &Joints, truth: Option<&Joints>) -> RgbImage {
    let factor = MIN_WIDTH.div_ceil(frame.width().max(1)).min(8);
    let (width, height) = (frame.width() * factor, frame.height() * factor);
    let mut out = imageops::resize(frame, width, height, imageops::FilterType::CatmullRom);
    let unit = (out.height() as f32 / 240.0).max(1.0);
    // Enlarging the frame moves the centers of its pixels.
    let place = |joint: [f32; 2]| joint.map(|v| (v + 0.5) * factor as f32 - 0.5);
    let seen =
        |joint: &[f32; 2]| joint.iter().all(|v| v.is_finite()) && joint.iter().any(|&v| v >= 0.0);
    let limbs = |joints: &Joints| {
        let joints = *joints;
        LIMBS
            .into_iter()
            .map(move |(a, b, color)| (joints[a], joints[b], color))
            .filter(move |(a, b, _)| seen(a) && seen(b))
            .map(move |(a, b, color)| (place(a), place(b), color))
    };
    for (a, b, color) in limbs(predicted) {
        line(&mut out, a, b, 2.5 * unit, SHADE);
        line(&mut out, a, b, 1.5 * unit, color);
    }
    if let Some(truth) = truth {
        for (a, b, _) in limbs(truth) {
            line(&mut out, a, b, 0.6 * unit, TRUTH);
        }
    }
    for (joint, at) in predicted.iter().enumerate().filter(|(_, at)| seen(at)) {
        disc(&mut out, place(*at), 2.8 * unit, SHADE);
        disc(&mut out, place(*at), 2.2 * unit, side(joint));
    }
    for at in truth.into_iter().flatten().filter(|at| seen(at)) {
        ring(&mut out, place(*at), 4.0 * unit, 1.6 * unit, SHADE);
        ring(&mut out, place(*at), 4.0 * unit, 0.9 * unit, TRUTH);
    }
    out
}

/// Returns the color of a joint. From the shoulders on, right and left alternate.
fn side(joint: usize) -> Rgb<u8> {
    match joint {
        0..3 => TRUNK,
        odd if odd % 2 == 1 => RIGHT,
        _ => LEFT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Joints on a loose grid, far enough apart that marks do not touch.
    fn grid() -> Joints {
        std::array::from_fn(|i| [60.0 + 80.0 * (i % 5) as f32, 60.0 + 80.0 * (i / 5) as f32])
    }

    #[test]
    fn predictions_are_discs_and_ground_truth_is_rings() {
        let frame = RgbImage::from_pixel(480, 480, Rgb([90; 3]));
        let predicted = draw_joints(&frame, &grid(), None);
        for (i, [x, y]) in grid().into_iter().enumerate() {
            assert_eq!(
                *predicted.get_pixel(x as u32, y as u32),
                side(i),
                "joint {i}"
            );
        }
        // All predictions were lost: only rings remain, and their middles show the frame or a thin limb.
        let lost = [[-1.0, -1.0]; JOINTS];
        let truth = draw_joints(&frame, &lost, Some(&grid()));
        let radius = 4.0 * 480.0 / 240.0;
        for [x, y] in grid() {
            let on_ring = truth.get_pixel(x as u32, (y + radius) as u32);
            assert!(on_ring.0[0] > 200, "ring of ({x}, {y}): {on_ring:?}");
        }
        assert_ne!(*truth.get_pixel(60, 60), side(0));
    }

    #[test]
    fn small_frames_grow_and_joints_move_along() {
        let frame = RgbImage::new(120, 90);
        let mut joints = [[f32::NAN; 2]; JOINTS];
        joints[9] = [30.0, 40.0];
        let out = draw_joints(&frame, &joints, None);
        assert_eq!(out.dimensions(), (480, 360));
        assert_eq!(*out.get_pixel(30 * 4 + 2, 40 * 4 + 2), RIGHT);
        let bright = out.enumerate_pixels().filter(|(_, _, p)| p.0 != [0; 3]);
        assert!(
            bright
                .into_iter()
                .all(|(x, y, _)| x.abs_diff(122) < 8 && y.abs_diff(162) < 8)
        );
    }

    #[test]
    fn missing_joints_leave_the_frame_alone() {
        let frame = RgbImage::from_pixel(480, 360, Rgb([90; 3]));
        assert_eq!(draw_joints(&frame, &[[-1.0, -1.0]; JOINTS], None), frame);
        assert_eq!(
            draw_joints(&frame, &[[f32::INFINITY; 2]; JOINTS], None),
            frame
        );
    }
}
