//! Tests image classification with frozen features, on plain colors and on real photos.

use std::fs;
use std::path::Path;

use cropmae_config::{ClassesProtocol, Pooling};
use cropmae_eval::{ClassesReport, EvalError, EvalOptions, Measures, evaluate_classes};
use cropmae_model::RawPixels;
use image::{Rgb, RgbImage};

/// Creates `count` images of a reddish and of a bluish class, with different sizes and brightness.
fn colors(root: &Path, part: &str, count: u32) {
    for (class, tint) in [("blue", [20, 40, 180]), ("red", [180, 40, 20])] {
        let folder = root.join(part).join(class);
        fs::create_dir_all(&folder).unwrap();
        for i in 0..count {
            let level = |v: u8| v.saturating_add((i * 13 % 60) as u8);
            RgbImage::from_pixel(40 + i, 32 + i % 7, Rgb(tint.map(level)))
                .save(folder.join(format!("{i}.png")))
                .unwrap();
        }
    }
}

fn small() -> ClassesProtocol {
    ClassesProtocol {
        image_size: 16,
        resize: 18,
        pooling: Pooling::MeanPatch,
        neighbors: vec![1, 5],
        ..ClassesProtocol::default()
    }
}

fn classify(
    data: &Path,
    protocol: &ClassesProtocol,
    options: &EvalOptions,
) -> Result<ClassesReport, EvalError> {
    let encoder = RawPixels::new(8, 2).unwrap();
    let both = Measures {
        neighbors: true,
        linear: true,
    };
    evaluate_classes(data, &encoder, protocol, both, options, &|_, _| ())
}

#[test]
fn colors_are_told_apart_and_written_down() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("out"));
    colors(&data, "train", 20);
    colors(&data, "val", 6);
    let options = EvalOptions {
        out: Some(out.clone()),
        ..EvalOptions::default()
    };
    let report = classify(&data, &small(), &options).unwrap();
    let names: Vec<String> = report
        .headline()
        .into_iter()
        .map(|measure| measure.name)
        .collect();
    assert_eq!(names, ["1-NN", "5-NN", "linear"]);
    assert!(
        report.headline().iter().all(|top1| top1.value == 1.0),
        "{report:?}"
    );
    assert_eq!((report.train_images, report.val_images), (40, 12));
    assert_eq!(report.classes, ["blue", "red"]);
    let json = fs::read_to_string(out.join("report.json")).unwrap();
    assert_eq!(
        serde_json::from_str::<ClassesReport>(&json).unwrap(),
        report
    );
    let table = fs::read_to_string(out.join("top1.csv")).unwrap();
    assert_eq!(
        table,
        "Measure,Top-1\n1-NN,1.0000\n5-NN,1.0000\nlinear,1.0000\n"
    );
    let table = fs::read_to_string(out.join("top1.json")).unwrap();
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&table).unwrap(),
        serde_json::json!([
            {"Measure": "1-NN", "Top-1": 1.0},
            {"Measure": "5-NN", "Top-1": 1.0},
            {"Measure": "linear", "Top-1": 1.0},
        ])
    );
}

#[test]
fn bad_images_are_named_and_the_others_kept() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    colors(data, "train", 5);
    colors(data, "val", 4);
    fs::write(data.join("val/red/1.png"), b"no picture").unwrap();
    let report = classify(data, &small(), &EvalOptions::default()).unwrap();
    assert_eq!(report.val_images, 7);
    assert_eq!(report.failures.len(), 1);
    assert!(report.failures[0].sequence.ends_with("val/red/1.png"));
}

#[test]
fn what_does_not_fit_is_one_clear_line() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let message = |protocol: &ClassesProtocol| {
        let error = classify(data, protocol, &EvalOptions::default()).unwrap_err();
        error.to_string()
    };
    assert!(message(&small()).contains("train: not found; expected folders of images"));
    colors(data, "train", 3);
    colors(data, "val", 3);
    fs::create_dir(data.join("val/green")).unwrap();
    assert!(message(&small()).contains("train/green: not found; expected images of the class"));
    fs::remove_dir(data.join("val/green")).unwrap();
    let class_token = ClassesProtocol {
        pooling: Pooling::ClassToken,
        ..small()
    };
    assert!(message(&class_token).contains("no class token"));
    let odd = ClassesProtocol {
        image_size: 15,
        ..small()
    };
    assert!(message(&odd).starts_with("image_size = 15: expected a multiple"));
}

#[test]
fn pixels_classify_photos_above_chance() {
    let Some(data) = cropmae_fixtures::shared("data/imagenette224") else {
        return;
    };
    // A part of the set is enough and takes only seconds.
    let folder = tempfile::tempdir().unwrap();
    for (part, count) in [("train", 30), ("val", 10)] {
        for class in fs::read_dir(data.join(part)).unwrap() {
            let class = class.unwrap();
            let to = folder.path().join(part).join(class.file_name());
            fs::create_dir_all(&to).unwrap();
            let mut images: Vec<_> = fs::read_dir(class.path())
                .unwrap()
                .map(|e| e.unwrap())
                .collect();
            images.sort_by_key(fs::DirEntry::file_name);
            for image in &images[..count] {
                fs::copy(image.path(), to.join(image.file_name())).unwrap();
            }
        }
    }
    let protocol = ClassesProtocol {
        image_size: 64,
        resize: 73,
        neighbors: vec![10],
        ..small()
    };
    let report = classify(folder.path(), &protocol, &EvalOptions::default()).unwrap();
    assert_eq!((report.train_images, report.val_images), (300, 100));
    // Chance is 0.1, and mean colors are slightly better.
    let scores: Vec<f64> = report
        .headline()
        .into_iter()
        .map(|top1| top1.value)
        .collect();
    assert!(
        scores.iter().all(|top1| (0.13..0.6).contains(top1)),
        "{scores:?}"
    );
}
