//! Tests that a run that is stopped and continued has the results of an uninterrupted one.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use cropmae_data::{Dataset, LoaderConfig};
use cropmae_train::{DatasetSource, Outcome, TrainError, pretrain};

use crate::support::{Noise, Recorder, bits, experiment, finished, images, metrics, options};

/// Stops and continues a run, after updates and in the middle of them, and compares it with an uninterrupted one.
fn resume_is_exact(setting: &str) {
    let experiment = experiment(&[setting]);
    let source = Noise::new(&experiment, 5);
    let whole = tempfile::tempdir().unwrap();
    finished(pretrain(&experiment, &source, &options(whole.path()), &mut ()).unwrap());
    for stop_after in [1, 2, 3, 5] {
        let dir = tempfile::tempdir().unwrap();
        let mut sessions = 0;
        loop {
            let options = options(dir.path());
            let mut seen = Recorder {
                stop_after: Some((sessions * stop_after + 1, options.stop.clone())),
                ..Recorder::default()
            };
            sessions += 1;
            if let Outcome::Finished(_) =
                pretrain(&experiment, &source, &options, &mut seen).unwrap()
            {
                break;
            }
        }
        assert!(sessions > 1);
        assert_eq!(
            metrics(dir.path()),
            metrics(whole.path()),
            "stopped after {stop_after}"
        );
        assert!(
            bits(dir.path()) == bits(whole.path()),
            "stopped after {stop_after}"
        );
    }
}

#[test]
fn a_stopped_run_continues_bit_for_bit() {
    resume_is_exact("compat=false");
}

#[test]
fn gradients_carried_into_the_next_epoch_survive_a_stop() {
    resume_is_exact("compat=true");
}

#[test]
fn images_on_the_disk_continue_exactly_with_other_worker_counts() {
    let images = images();
    let experiment = experiment(&[]);
    let dataset = Arc::new(Dataset::open(images.path(), &experiment.data).unwrap());
    let source = |workers| {
        DatasetSource::new(dataset.clone(), LoaderConfig::of(&experiment, workers)).unwrap()
    };
    let whole = tempfile::tempdir().unwrap();
    pretrain(&experiment, &source(1), &options(whole.path()), &mut ()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let stopped = options(dir.path());
    let mut seen = Recorder {
        stop_after: Some((5, stopped.stop.clone())),
        ..Recorder::default()
    };
    let outcome = pretrain(&experiment, &source(2), &stopped, &mut seen).unwrap();
    assert!(matches!(outcome, Outcome::Interrupted(at) if at.step == 5));
    finished(pretrain(&experiment, &source(3), &options(dir.path()), &mut ()).unwrap());
    assert_eq!(metrics(dir.path()), metrics(whole.path()));
    assert!(bits(dir.path()) == bits(whole.path()));
}

#[test]
fn a_longer_limit_continues_and_a_finished_run_does_nothing() {
    let whole = tempfile::tempdir().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let all = experiment(&[]);
    let source = Noise::new(&all, 5);
    pretrain(&all, &source, &options(whole.path()), &mut ()).unwrap();
    for (limit, step) in [("max_steps=1", 1), ("max_steps=4", 4)] {
        let outcome = pretrain(
            &experiment(&[limit]),
            &source,
            &options(dir.path()),
            &mut (),
        );
        assert_eq!(finished(outcome.unwrap()).step, step);
    }
    pretrain(&all, &source, &options(dir.path()), &mut ()).unwrap();
    assert!(bits(dir.path()) == bits(whole.path()));
    let mut seen = Recorder::default();
    pretrain(&all, &source, &options(dir.path()), &mut seen).unwrap();
    assert_eq!(
        (seen.steps.len(), seen.epochs.len(), seen.checkpoints),
        (0, 0, 0)
    );
}

#[test]
fn a_raised_flag_stops_after_one_batch_with_a_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let experiment = experiment(&[]);
    let options = options(dir.path());
    options.stop.store(true, Ordering::Relaxed);
    let source = Noise::new(&experiment, 5);
    let outcome = pretrain(&experiment, &source, &options, &mut ()).unwrap();
    // One batch is half an update, so its gradients are in the checkpoint.
    assert!(matches!(outcome, Outcome::Interrupted(at) if (at.step, at.batch) == (0, 1)));
    assert!(
        bits(dir.path())
            .iter()
            .any(|(name, _)| name.starts_with("grad."))
    );
}

#[test]
fn other_data_and_short_epochs_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let tiny = experiment(&["max_steps=1"]);
    pretrain(&tiny, &Noise::new(&tiny, 5), &options(dir.path()), &mut ()).unwrap();
    let other = Noise::new(&tiny, 6);
    let error = pretrain(&tiny, &other, &options(dir.path()), &mut ()).unwrap_err();
    assert!(matches!(error, TrainError::OtherData { .. }), "{error}");
    let long = experiment(&["accum_iter=8"]);
    let fresh = tempfile::tempdir().unwrap();
    let error = pretrain(&long, &other, &options(&fresh.path().join("run")), &mut ()).unwrap_err();
    assert!(matches!(error, TrainError::EpochTooShort { .. }), "{error}");
    assert!(!fresh.path().join("run").exists());
}

#[test]
fn moving_averages_continue_bit_for_bit() {
    resume_is_exact("ema_decay=0.99");
}

#[test]
fn a_run_of_an_older_program_goes_on_with_the_defaults_of_newer_keys() {
    let dir = tempfile::tempdir().unwrap();
    let experiment = experiment(&["max_steps=1"]);
    let source = Noise::new(&experiment, 5);
    pretrain(&experiment, &source, &options(dir.path()), &mut ()).unwrap();
    let path = dir.path().join("config.json");
    let mut config: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let removed = config["train"].as_object_mut().unwrap().remove("compute");
    assert!(removed.is_some());
    std::fs::write(&path, config.to_string()).unwrap();
    pretrain(&experiment, &source, &options(dir.path()), &mut ()).unwrap();
}
