//! Where tests find the golden cases of group `e_crops` and the real photos, which are not part of the
//! repository: under `CROPMAE_SHARED`, by default `../shared` beside the workspace.

use std::path::PathBuf;

use image::RgbImage;
use serde_json::Value;

/// A path under the shared folder, or `None` (said aloud) where there is none.
pub(crate) fn shared(relative: &str) -> Option<PathBuf> {
    let root = std::env::var_os("CROPMAE_SHARED").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
        PathBuf::from,
    );
    let path = root.join(relative);
    if path.exists() {
        return Some(path);
    }
    say_skipped(&path);
    None
}

#[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
fn say_skipped(path: &std::path::Path) {
    eprintln!("skipped: CROPMAE_SHARED not found ({})", path.display());
}

/// A JSON file of `e_crops`.
pub(crate) fn golden_json(name: &str) -> Option<Value> {
    let path = shared("fixtures/e_crops")?.join(name);
    Some(serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
}

/// A lossless picture of `e_crops`.
pub(crate) fn golden_png(name: &Value) -> RgbImage {
    let path = shared("fixtures/e_crops")
        .unwrap()
        .join(name.as_str().unwrap());
    image::open(path).unwrap().into_rgb8()
}

/// A JSON number as u32.
pub(crate) fn int(value: &Value) -> u32 {
    u32::try_from(value.as_u64().unwrap()).unwrap()
}

/// A JSON pair of numbers.
pub(crate) fn pair(value: &Value) -> [f64; 2] {
    [value[0].as_f64().unwrap(), value[1].as_f64().unwrap()]
}
