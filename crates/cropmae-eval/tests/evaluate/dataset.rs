//! Creates tiny data sets in the official layouts, with 60x90 frames of two plain squares that move over a background.

use std::fs;
use std::path::Path;

use cropmae_eval::benchmarks::jhmdb::joint_positions;
use cropmae_eval::joints;
use image::{Rgb, RgbImage};

const HEIGHT: u32 = 60;
const WIDTH: u32 = 90;

/// Returns 0 for the background, and 1 or 2 for the squares.
fn shape_at(frame: usize, y: u32, x: u32) -> u8 {
    let shift = frame as u32 * 2;
    let inside =
        |top: u32, left: u32| (top..top + 24).contains(&y) && (left..left + 24).contains(&x);
    if inside(8, 10 + shift) {
        1
    } else if inside(30, 50 - shift) {
        2
    } else {
        0
    }
}

fn write_frame(path: &Path, frame: usize) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let colors = [Rgb([40, 90, 160]), Rgb([220, 30, 30]), Rgb([30, 220, 60])];
    RgbImage::from_fn(WIDTH, HEIGHT, |x, y| {
        colors[usize::from(shape_at(frame, y, x))]
    })
    .save(path)
    .unwrap();
}

fn write_png(path: &Path, height: u32, width: u32, palette: bool, id: impl Fn(u32, u32) -> u8) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let ids: Vec<u8> = (0..height * width)
        .map(|i| id(i / width, i % width))
        .collect();
    let mut encoder = png::Encoder::new(fs::File::create(path).unwrap(), width, height);
    encoder.set_depth(png::BitDepth::Eight);
    if palette {
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_palette(cropmae_eval::Palette::davis().0.concat());
    } else {
        encoder.set_color(png::ColorType::Grayscale);
    }
    encoder
        .write_header()
        .unwrap()
        .write_image_data(&ids)
        .unwrap();
}

/// Writes a palette PNG.
pub fn write_mask(path: &Path, height: u32, width: u32, id: impl Fn(u32, u32) -> u8) {
    write_png(path, height, width, true, id);
}

/// Writes a gray PNG.
pub fn write_grey(path: &Path, height: u32, width: u32, id: impl Fn(u32, u32) -> u8) {
    write_png(path, height, width, false, id);
}

pub fn davis(root: &Path, sequences: &[&str], frames: usize) {
    fs::create_dir_all(root.join("ImageSets/2017")).unwrap();
    fs::write(
        root.join("ImageSets/2017/val.txt"),
        sequences.join("\n") + "\n",
    )
    .unwrap();
    for name in sequences {
        for frame in 0..frames {
            let file =
                |kind: &str, ext: &str| root.join(format!("{kind}/480p/{name}/{frame:05}.{ext}"));
            write_frame(&file("JPEGImages", "jpg"), frame);
            write_mask(&file("Annotations", "png"), HEIGHT, WIDTH, |y, x| {
                shape_at(frame, y, x)
            });
        }
    }
}

pub fn vip(root: &Path, videos: &[&str], frames: usize) {
    fs::create_dir_all(root.join("lists")).unwrap();
    fs::write(root.join("lists/val_videos.txt"), videos.join("\n")).unwrap();
    for name in videos {
        for frame in 0..frames {
            let number = frame * 25 + 1;
            write_frame(&root.join(format!("Images/{name}/{number:012}.jpg")), frame);
            let mask = root.join(format!("Annotations/Category_ids/{name}/{number:012}.png"));
            write_grey(&mask, HEIGHT, WIDTH, |y, x| {
                [0, 5, 13][usize::from(shape_at(frame, y, x))]
            });
        }
    }
}

/// Creates clips `<action>/<clip>` without motion.
pub fn jhmdb(root: &Path, clips: &[&str], frames: usize) {
    for name in clips {
        for frame in 0..frames {
            write_frame(
                &root.join(format!("Rename_Images/{name}/{:05}.png", frame + 1)),
                0,
            );
        }
        // The joints are on and around the squares.
        let pose =
            std::array::from_fn(|joint| [11.0 + 4.0 * joint as f64, 9.0 + 3.0 * joint as f64]);
        joints::write(&joint_positions(root, name), &vec![pose; frames]).unwrap();
    }
}
