//! Tests of the scores during training.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// Runs `cropmae pretrain` for two epochs on a small procedural data set.
fn pretrain(folder: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cropmae"));
    command.env("CROPMAE_RUNS", folder.join("runs"));
    command.args(["pretrain", "--out"]).arg(folder.join("run"));
    for setting in [
        "data.scenes.images=8",
        "data.scenes.image_px=64",
        "data.scenes.videos=2",
        "data.scenes.video_frames=3",
        "model.embed_dim=32",
        "model.depth=1",
        "model.num_heads=2",
        "model.decoder_embed_dim=16",
        "model.decoder_depth=1",
        "train.epochs=2",
        "train.batch_size=4",
        "train.ema_decay=0.9",
        "train.log_every_steps=1",
    ] {
        command.args(["--set", setting]);
    }
    command.args(more).output().unwrap()
}

fn scores(folder: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join("run/evals.jsonl")).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn curves_start_at_the_initial_weights_and_survive_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let settings = [
        "--set",
        "eval.every_epochs=1",
        "--set",
        "eval.max_sequences=1",
    ];
    let output = pretrain(folder.path(), &settings);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let whole = scores(folder.path());
    // There are scores of two kinds of weights on three tasks at each of three points.
    let key = |score: &Value| {
        let text = |key: &str| score[key].as_str().unwrap().to_owned();
        (
            score["epoch"].as_u64().unwrap(),
            text("weights"),
            text("task"),
        )
    };
    let mut expected = Vec::new();
    for epoch in 0..=2 {
        for weights in ["weights", "ema"] {
            for task in ["davis", "vip", "jhmdb"] {
                expected.push((epoch, weights.to_owned(), task.to_owned()));
            }
        }
    }
    assert_eq!(whole.iter().map(key).collect::<Vec<_>>(), expected);
    assert!(
        whole
            .iter()
            .all(|score| score["value"].is_f64() && score["failures"] == 0)
    );
    // The moving average starts with the values of the weights.
    assert_eq!(whole[0]["value"], whole[3]["value"]);
    let page = std::fs::read_to_string(folder.path().join("run/report.html")).unwrap();
    assert!(page.contains("Evaluation during training") && page.contains("peak memory"));

    // If a run is killed between its last checkpoint and the scores, the same command adds the scores.
    let path = folder.path().join("run/evals.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let kept: Vec<&str> = text.lines().take(12).collect();
    std::fs::write(&path, format!("{}\n", kept.join("\n"))).unwrap();
    assert!(pretrain(folder.path(), &settings).status.success());
    assert_eq!(scores(folder.path()), whole);
}

#[test]
fn videos_that_are_missing_are_asked_for_before_training() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let given = ["--eval-data", empty.to_str().unwrap()];
    for (more, expected) in [
        (
            &given[..],
            "set how often to evaluate, with --set eval.every_epochs=N",
        ),
        (
            &[&given[..], &["--set", "eval.every_epochs=1"]].concat(),
            "contains at least one of DAVIS, VIP and JHMDB",
        ),
    ] {
        let output = pretrain(folder.path(), more);
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(expected), "{said}");
        assert!(!folder.path().join("run").exists());
    }
}

#[test]
fn scores_of_a_run_without_an_update_go_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let images = crate::support::images();
    let evaluated = [
        "--set",
        "eval.every_epochs=1",
        "--set",
        "eval.max_sequences=1",
    ];
    let made = pretrain(folder.path(), &[&evaluated[..], &["--dry-run"]].concat());
    assert!(made.status.success());
    let scenes = std::fs::read_dir(folder.path().join("runs")).unwrap();
    let scenes = scenes.map(|entry| entry.unwrap().path()).next().unwrap();
    // All batches of an epoch make one update, and the last one cannot be read.
    let mut command = crate::support::pretrain(
        images.path(),
        &folder.path().join("run"),
        &["train.accum_iter=7", "data.max_bad_fraction=0"],
    );
    command.args(evaluated).arg("--eval-data").arg(scenes);
    std::fs::write(images.path().join("3.png"), "no image").unwrap();
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("eval     0  davis"), "{said}");
    assert_eq!(output.status.code(), Some(1));
    assert!(!folder.path().join("run").exists());
}
