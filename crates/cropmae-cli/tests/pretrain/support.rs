//! A model so small that a whole run takes a second, and images for it.

use std::path::Path;
use std::process::{Command, Stdio};

use image::{Rgb, RgbImage};

const MODEL: [&str; 11] = [
    "model.image_size=32",
    "model.patch_size=8",
    "model.embed_dim=32",
    "model.depth=2",
    "model.num_heads=2",
    "model.decoder_embed_dim=16",
    "model.decoder_depth=1",
    "model.decoder_num_heads=2",
    "model.decoder_dropout=0.1",
    "mask.ratio=0.75",
    "train.batch_size=4",
];

/// Makes a temporary folder of 29 images.
pub fn images() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for i in 0..29u32 {
        let pixel = |x, y| Rgb([x * i, y * 7 + i, x * y].map(|value| value as u8));
        let picture = RgbImage::from_fn(40 + i, 60 - i, pixel);
        picture
            .save(folder.path().join(format!("{i}.png")))
            .unwrap();
    }
    folder
}

/// Returns the command `cropmae pretrain` for the small model, with `settings` for `--set`.
pub fn pretrain(images: &Path, out: &Path, settings: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cropmae"));
    command.arg("pretrain").arg("--data").arg(images);
    command.arg("--out").arg(out).stdin(Stdio::null());
    for setting in MODEL.iter().chain(settings) {
        command.args(["--set", setting]);
    }
    command
}
