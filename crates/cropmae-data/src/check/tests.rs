use std::fs;
use std::path::Path;

use cropmae_config::Experiment;
use image::{GrayImage, ImageFormat, Rgb, RgbImage, RgbaImage};

use super::*;

fn report(dir: &Path, max_bad_fraction: f64) -> DataReport {
    let mut recipe = Experiment::demo(&[]).unwrap().data;
    recipe.max_bad_fraction = max_bad_fraction;
    check(&Dataset::open(dir, &recipe).unwrap(), 32, &|_| ())
}

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for id in 0..6 {
        let picture = RgbImage::from_pixel(100, 70, Rgb([id, 3, 7]));
        picture.save(at(&format!("plain{id}.png"))).unwrap();
    }
    fs::copy(at("plain2.png"), at("copy.png")).unwrap();
    RgbImage::new(31, 400).save(at("narrow.png")).unwrap();
    GrayImage::new(64, 300).save(at("gray.jpg")).unwrap();
    RgbaImage::new(65, 300).save(at("clear.png")).unwrap();
    let picture = RgbImage::from_pixel(2000, 1200, Rgb([1, 2, 3]));
    picture
        .save_with_format(at("mislabeled.jpg"), ImageFormat::Png)
        .unwrap();
    fs::write(at("empty.jpg"), "").unwrap();
    fs::write(at("text.jpg"), "hello").unwrap();
    dir
}

fn names(findings: &[Finding]) -> Vec<&str> {
    findings
        .iter()
        .map(|finding| finding.path.file_name().unwrap().to_str().unwrap())
        .collect()
}

#[test]
fn everything_odd_is_found() {
    let dir = folder();
    let report = report(dir.path(), 0.2);
    assert_eq!(report.images, 13);
    assert_eq!(names(&report.broken), ["empty.jpg", "text.jpg"]);
    assert_eq!(report.broken[0].what, "empty file");
    assert_eq!(names(&report.tiny), ["narrow.png"]);
    assert_eq!(report.tiny[0].what, "31 x 400 pixels");
    assert_eq!(names(&report.duplicates), ["plain2.png"]);
    assert_eq!(report.duplicates[0].what, "the same as copy.png");
    let odd: Vec<(&str, &Path)> = report
        .odd
        .iter()
        .map(|(what, files)| (what.as_str(), files[0].as_path()))
        .collect();
    let expected = [
        ("called .jpg but Png", Path::new("mislabeled.jpg")),
        ("grayscale", Path::new("gray.jpg")),
        ("with transparency", Path::new("clear.png")),
    ];
    assert_eq!(odd, expected);
    // The shorter sides are 31 (narrow) and 64 (gray), 65 (clear) and 70 (plain), and 1200 (mislabeled).
    let counts: Vec<usize> = report.shorter_sides.iter().map(|(_, n)| *n).collect();
    assert_eq!(counts, [2, 8, 0, 0, 0, 0, 0, 1]);
    let pixels = 7 * 7000 + 31 * 400 + 64 * 300 + 65 * 300 + 2000 * 1200;
    assert_eq!(report.pixels, pixels);
    assert!(report.images_per_core_second > 0.0);
    assert_eq!(report.refusal, None);
}

#[test]
fn the_verdict_is_that_of_a_run() {
    let dir = folder();
    let refusal = report(dir.path(), 0.1).refusal.unwrap();
    assert!(refusal.contains("2 of 13 files"), "{refusal}");
    let data = Experiment::demo(&[]).unwrap().data;
    let recorded = Dataset::open(dir.path(), &data).unwrap().fingerprint();
    assert_eq!(report(dir.path(), 0.1).fingerprint, recorded);
}

#[test]
fn a_shard_that_is_cut_off_is_found() {
    let images = folder();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.tar");
    let mut shard = tar::Builder::new(Vec::new());
    for name in ["plain0.png", "plain1.png"] {
        shard
            .append_path_with_name(images.path().join(name), name)
            .unwrap();
    }
    let bytes = shard.into_inner().unwrap();
    fs::write(&path, &bytes[..1024 + 512 + 10]).unwrap();
    let report = report(dir.path(), 1.0);
    assert_eq!(names(&report.broken), ["x.tar"]);
    assert_eq!(report.broken[0].what, "truncated after 1 images");
    assert_eq!(report.images, 1);
}
