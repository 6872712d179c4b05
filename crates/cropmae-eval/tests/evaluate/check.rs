//! Tests the messages of a check of a download.

use std::fs;
use std::path::Path;

use cropmae_eval::benchmarks::VIDEO;
use cropmae_eval::{Benchmark, DataCheck, Davis, EvalOptions, Jhmdb, Vip, check};

use super::dataset::{self, davis, jhmdb, vip};
use super::run;

fn checked(task: &dyn Benchmark, data: &Path) -> DataCheck {
    check(task, data, &EvalOptions::default(), &|_, _| ()).unwrap()
}

/// Returns problems and remarks with their sequences, and with paths relative to the data set.
fn said(check: &DataCheck, data: &Path) -> (Vec<String>, Vec<String>) {
    let lines = |items: &[cropmae_eval::Failure]| {
        let line = |item: &cropmae_eval::Failure| {
            format!("{}: {}", item.sequence, item.message).replace(data.to_str().unwrap(), "DATA")
        };
        items.iter().map(line).collect::<Vec<_>>()
    };
    (lines(&check.problems), lines(&check.remarks))
}

#[test]
fn sound_data_sets_have_no_problems_and_the_fingerprint_of_their_reports() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    davis(&data.join("DAVIS"), &["one", "two"], 4);
    vip(&data.join("VIP"), &["videos1"], 3);
    jhmdb(&data.join("JHMDB"), &["wave/still"], 3);
    for (task, (sequences, frames)) in VIDEO.into_iter().zip([(2, 8), (1, 3), (1, 3)]) {
        let data = data.join(task.name().to_uppercase());
        let found = checked(task, &data);
        assert_eq!(found.problems, [], "{}", task.name());
        assert_eq!((found.sequences, found.frames), (sequences, frames));
        assert_eq!(found.sizes["60x90"], sequences);
        let report = run(task, &data, &EvalOptions::default()).unwrap();
        assert_eq!(found.fingerprint, report.data_fingerprint);
        // The remark says that the list is not the official one.
        assert!(
            found
                .remarks
                .iter()
                .any(|r| r.message.contains("published")),
            "{found:?}"
        );
    }
}

#[test]
fn everything_wrong_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    davis(data, &["good", "bad", "gone", "blackswan"], 5);
    fs::remove_dir_all(data.join("JPEGImages/480p/gone")).unwrap();
    let bad = |kind: &str, file: &str| data.join(kind).join("480p/bad").join(file);
    fs::remove_file(bad("JPEGImages", "00001.jpg")).unwrap();
    fs::write(bad("JPEGImages", "00002.jpg"), b"nothing").unwrap();
    dataset::write_mask(&bad("Annotations", "00003.png"), 60, 91, |_, _| 0);
    dataset::write_mask(&bad("Annotations", "00004.png"), 60, 90, |_, x| match x {
        0..9 => 255,
        9..18 => 7,
        _ => 0,
    });
    let (problems, remarks) = said(&checked(&Davis, data), data);
    for expected in [
        "bad: DATA/JPEGImages/480p/bad: missing frame(s) number 1",
        "bad: DATA/JPEGImages/480p/bad/00002.jpg: not a usable image",
        "bad: DATA/JPEGImages/480p/bad/00001.jpg: not found; expected the frame that belongs to",
        "bad: DATA/Annotations/480p/bad/00003.png: 60x91 pixels",
        "gone: DATA/JPEGImages/480p/gone: not found",
        "blackswan: 5 frames, expected 50",
    ] {
        assert!(
            problems.iter().any(|p| p.starts_with(expected)),
            "{expected}: {problems:#?}"
        );
    }
    assert!(
        problems.iter().all(|problem| !problem.starts_with("good")),
        "{problems:#?}"
    );
    for expected in ["bad: ids {7} are not in frame 0", "bad: void pixels"] {
        assert!(
            remarks.iter().any(|r| r.starts_with(expected)),
            "{expected}: {remarks:#?}"
        );
    }
}

#[test]
fn parts_and_joints_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let (data, poses) = (folder.path().join("VIP"), folder.path().join("JHMDB"));
    vip(&data, &["videos1"], 3);
    let mask = |number: &str| data.join(format!("Annotations/Category_ids/videos1/{number}.png"));
    dataset::write_grey(&mask("000000000001"), 60, 90, |_, _| 33);
    dataset::write_grey(&mask("000000000026"), 60, 90, |_, _| 40);
    let (problems, remarks) = said(&checked(&Vip, &data), &data);
    assert!(
        problems[0].contains("000000000001.png: id 33: expected part ids"),
        "{problems:?}"
    );
    assert!(
        remarks[0].contains("ids {33, 40} are no parts"),
        "{remarks:?}"
    );

    jhmdb(&poses, &["wave/a", "wave/b"], 3);
    fs::remove_file(poses.join("Rename_Images/wave/b/00002.png")).unwrap();
    let mat = poses.join("joint_positions/wave/a/joint_positions.mat");
    let bytes = fs::read(&mat).unwrap();
    fs::write(mat, &bytes[..200]).unwrap();
    let (problems, _) = said(&checked(&Jhmdb, &poses), &poses);
    assert!(
        problems[0].starts_with("wave/a: ") && problems[0].contains("cut short"),
        "{problems:?}"
    );
    assert!(
        problems[1].contains("missing frame(s) number 2"),
        "{problems:?}"
    );
    assert!(
        problems[2].contains("joints of 3 frames, expected 2"),
        "{problems:?}"
    );
}

#[test]
fn frames_taken_from_the_videos_are_found_in_the_order_of_their_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    jhmdb(data, &["wave/still"], 11);
    let renamed = run(&Jhmdb, data, &EvalOptions::default()).unwrap();
    fs::rename(data.join("Rename_Images"), data.join("Frames")).unwrap();
    for number in 1..=11 {
        let folder = data.join("Frames/wave/still");
        let (from, to) = (format!("{number:05}.png"), format!("{number}.png"));
        fs::rename(folder.join(from), folder.join(to)).unwrap();
    }
    assert_eq!(checked(&Jhmdb, data).problems, []);
    let original = run(&Jhmdb, data, &EvalOptions::default()).unwrap();
    assert_eq!(original.scores, renamed.scores);
}
