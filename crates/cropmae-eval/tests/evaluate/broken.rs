//! Tests the messages about broken data, and that the other sequences are still evaluated.

use std::fs;
use std::path::Path;

use cropmae_eval::{Davis, DavisScores, EvalError, EvalOptions, Jhmdb, Vip};

use super::dataset::{self, davis, jhmdb, vip};
use super::run;

/// Breaks sequence `bad` of a DAVIS set and returns what the report says about it.
fn broken(frames: usize, damage: impl Fn(&Path)) -> String {
    let folder = tempfile::tempdir().unwrap();
    davis(folder.path(), &["good", "bad"], frames);
    damage(folder.path());
    let report = run(&Davis, folder.path(), &EvalOptions::default()).unwrap();
    let scores: &DavisScores = report.scores.downcast_ref().unwrap();
    assert_eq!(scores.sequences.len(), 1, "the good one is kept");
    assert_eq!(report.failures.len(), 1);
    assert_eq!(report.failures[0].sequence, "bad");
    let message = report.failures[0].message.clone();
    assert!(!message.contains('\n'), "{message}");
    message.replace(folder.path().to_str().unwrap(), "DAVIS")
}

#[test]
fn broken_sequences_are_named_and_the_others_kept() {
    let mask = "Annotations/480p/bad/00001.png";
    let frame = "JPEGImages/480p/bad/00002.jpg";
    let message = broken(4, |data| fs::remove_file(data.join(frame)).unwrap());
    assert!(
        message.starts_with("DAVIS/JPEGImages/480p/bad/00002.jpg: not found"),
        "{message}"
    );

    let message = broken(4, |data| {
        fs::remove_dir_all(data.join("Annotations/480p/bad")).unwrap()
    });
    assert!(
        message.starts_with("DAVIS/Annotations/480p/bad: not found; expected the palette PNGs")
    );

    let message = broken(4, |data| {
        fs::write(data.join(frame), b"not a JPEG").unwrap()
    });
    assert!(
        message.starts_with("DAVIS/JPEGImages/480p/bad/00002.jpg: not a usable image"),
        "{message}"
    );

    let message = broken(4, |data| {
        dataset::write_mask(&data.join(mask), 61, 90, |_, _| 0)
    });
    assert!(message.contains("00001.png: 61x90 pixels"), "{message}");
    assert!(message.contains("expected 60x90 as in"), "{message}");

    let message = broken(4, |data| {
        image::RgbImage::from_pixel(90, 60, image::Rgb([1, 2, 3]))
            .save(data.join(mask))
            .unwrap();
    });
    assert!(
        message.contains("00001.png: color (r, g, b) = (1, 2, 3) is not"),
        "{message}"
    );

    let message = broken(4, |data| {
        let first = data.join("Annotations/480p/bad/00000.png");
        dataset::write_mask(&first, 60, 90, |_, x| if x < 30 { 255 } else { 0 });
    });
    assert!(
        message.contains("00000.png") && message.contains("no object"),
        "{message}"
    );

    let message = broken(4, |data| {
        let frame = data.join(frame);
        let bytes = fs::read(&frame).unwrap();
        fs::write(frame, &bytes[..bytes.len() * 2 / 3]).unwrap();
    });
    assert!(
        message.contains("00002.jpg: not a usable image: truncated JPEG"),
        "{message}"
    );

    let message = broken(4, |data| {
        for file in ["00002", "00003", "00001"] {
            fs::remove_file(data.join(format!("JPEGImages/480p/bad/{file}.jpg"))).unwrap();
            fs::remove_file(data.join(format!("Annotations/480p/bad/{file}.png"))).unwrap();
        }
    });
    assert!(
        message.contains("bad: 1 frame(s), expected at least 3"),
        "{message}"
    );
}

#[test]
fn a_data_set_that_is_not_there_is_one_clear_line() {
    let folder = tempfile::tempdir().unwrap();
    let error = run(&Davis, folder.path(), &EvalOptions::default()).unwrap_err();
    assert!(matches!(error, EvalError::Layout { .. }), "{error}");
    davis(folder.path(), &["one"], 3);
    fs::remove_dir_all(folder.path().join("Annotations")).unwrap();
    let error = run(&Davis, folder.path(), &EvalOptions::default())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("Annotations/480p: not found; expected DAVIS-2017's annotations"),
        "{error}"
    );
    fs::write(folder.path().join("ImageSets/2017/val.txt"), "../../etc\n").unwrap();
    let error = run(&Davis, folder.path(), &EvalOptions::default())
        .unwrap_err()
        .to_string();
    assert!(error.contains("plain sequence name"), "{error}");
}

#[test]
fn when_nothing_works_the_first_reason_is_the_error() {
    let folder = tempfile::tempdir().unwrap();
    jhmdb(folder.path(), &["wave/cut", "wave/short"], 3);
    let mat = |clip: &str| {
        folder
            .path()
            .join("joint_positions/wave")
            .join(clip)
            .join("joint_positions.mat")
    };
    let whole = fs::read(mat("cut")).unwrap();
    fs::write(mat("cut"), &whole[..whole.len() / 2]).unwrap();
    fs::remove_file(folder.path().join("Rename_Images/wave/short/00003.png")).unwrap();
    let error = run(&Jhmdb, folder.path(), &EvalOptions::default())
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("none of 2 sequence(s) could be evaluated; wave/cut: "),
        "{error}"
    );
    assert!(
        error.contains("joint_positions.mat: not a usable MATLAB 5 file: cut short"),
        "{error}"
    );
    fs::write(mat("cut"), &whole).unwrap();
    let report = run(&Jhmdb, folder.path(), &EvalOptions::default()).unwrap();
    assert!(
        report.failures[0]
            .message
            .contains("joints of 3 frames, expected 2"),
        "{report:?}"
    );
}

#[test]
fn void_in_frame_0_of_vip_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    vip(folder.path(), &["videos1", "videos2"], 3);
    let first = folder
        .path()
        .join("Annotations/Category_ids/videos2/000000000001.png");
    dataset::write_grey(&first, 60, 90, |_, x| if x < 9 { 255 } else { 3 });
    let report = run(&Vip, folder.path(), &EvalOptions::default()).unwrap();
    assert!(
        report.failures[0]
            .message
            .contains("id 255: expected part ids 0 to 19"),
        "{report:?}"
    );
}
