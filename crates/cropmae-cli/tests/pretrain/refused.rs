//! Tests of a run that unusable images stop: what it leaves, and whether it runs once the images are repaired.

use std::path::Path;
use std::process::Output;

use crate::support::{images, pretrain};

/// The file that the tests truncate. It is not in the first batch.
const BROKEN: &str = "3.png";

fn break_one(images: &Path) -> Vec<u8> {
    let path = images.join(BROKEN);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    whole
}

fn is_refused(output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let errors: Vec<&str> = said
        .lines()
        .filter(|it| it.starts_with("error: "))
        .collect();
    let [error] = errors[..] else {
        panic!("{said}");
    };
    assert!(
        error.contains("1 of 29 files") && error.contains(BROKEN),
        "{error}"
    );
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("groups  "),
        "refused before it started: {said}"
    );
}

#[test]
fn before_the_first_update_nothing_is_left() {
    let (images, folder) = (images(), tempfile::tempdir().unwrap());
    let whole = break_one(images.path());
    let run = folder.path().join("new/run");
    // All batches of an epoch make one update.
    let settings = [
        "data.max_bad_fraction=0",
        "train.epochs=1",
        "train.accum_iter=7",
    ];
    let mut command = pretrain(images.path(), &run, &settings);
    is_refused(&command.output().unwrap());
    assert!(!folder.path().join("new").exists());
    std::fs::write(images.path().join(BROKEN), whole).unwrap();
    assert!(command.output().unwrap().status.success());
}

#[test]
fn after_an_update_the_same_command_works_on_repaired_images_or_with_more_tolerance() {
    let folder = tempfile::tempdir().unwrap();
    for repair in [true, false] {
        let images = images();
        let whole = break_one(images.path());
        let run = folder.path().join(format!("run-{repair}"));
        let settings = [
            "data.max_bad_fraction=0",
            "train.epochs=1",
            "train.log_every_steps=1",
        ];
        let mut command = pretrain(images.path(), &run, &settings);
        is_refused(&command.output().unwrap());
        let updates = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
        assert!(updates.lines().count() > 0);
        if repair {
            std::fs::write(images.path().join(BROKEN), whole).unwrap();
        } else {
            command.args(["--set", "data.max_bad_fraction=0.1"]);
        }
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(
            said.contains("1 unusable, replaced by others"),
            !repair,
            "{said}"
        );
    }
}
