//! Whole runs of a tiny model on noise.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use candle_core::Tensor;
use common::{Noise, Recorder, experiment, options};
use cropmae_config::{Experiment, Method, Views};
use cropmae_data::{Dataset, LoaderConfig};
use cropmae_train::{
    DatasetSource, Outcome, RepeatFirstBatch, StepStats, TrainError, checkpoint, pretrain,
};

/// All tensors of the checkpoint in `dir`, weights and moments, as bits.
fn bits(dir: &Path) -> Vec<(String, Vec<u32>)> {
    let checkpoint = checkpoint::load(dir, &candle_core::Device::Cpu)
        .unwrap()
        .unwrap();
    let bits = |tensor: &Tensor| -> Vec<u32> {
        tensor
            .flatten_all()
            .unwrap()
            .to_vec1::<f32>()
            .unwrap()
            .iter()
            .map(|x| x.to_bits())
            .collect()
    };
    let weights = checkpoint.weights.data().lock().unwrap();
    let mut all: Vec<(String, Vec<u32>)> = weights
        .iter()
        .map(|(name, var)| (name.clone(), bits(var.as_tensor())))
        .chain(
            checkpoint
                .optimizer
                .iter()
                .map(|(name, tensor)| (name.clone(), bits(tensor))),
        )
        .collect();
    all.sort();
    all
}

/// `metrics.jsonl` without its clocks.
fn metrics(dir: &Path) -> Vec<(u64, u64, u64, u64, u64)> {
    std::fs::read_to_string(dir.join("metrics.jsonl"))
        .unwrap()
        .lines()
        .map(|line| {
            let line: StepStats = serde_json::from_str(line).unwrap();
            let [loss, lr, norm] = [line.loss, line.lr, line.grad_norm].map(f64::to_bits);
            (line.step, line.epoch, loss, lr, norm)
        })
        .collect()
}

fn finished(outcome: Outcome) -> cropmae_train::Cursor {
    match outcome {
        Outcome::Finished(at) => at,
        Outcome::Interrupted(at) => panic!("interrupted at {at:?}"),
    }
}

#[test]
fn one_batch_is_learnt_by_heart() {
    let dir = tempfile::tempdir().unwrap();
    // Random targets have full rank: a decoder narrower than a patch could not learn them.
    let settings = [
        "dropout=0",
        "decoder_width=64",
        "batch_size=2",
        "accum_iter=1",
        "epochs=50",
        "warmup_epochs=2",
        "blr=0.4",
        "norm_pix=false",
    ];
    let experiment = experiment(&settings);
    let source = Noise::new(&experiment, 10);
    let mut seen = Recorder::default();
    let source = RepeatFirstBatch(&source);
    pretrain(&experiment, &source, &options(dir.path()), &mut seen).unwrap();
    let (first, last) = (seen.steps[0].loss, seen.steps.last().unwrap().loss);
    assert!(first > 1.0 && last < 0.01, "from {first} to {last}");
}

#[test]
fn a_run_reports_and_records_itself() {
    let dir = tempfile::tempdir().unwrap();
    let experiment = experiment(&[]);
    let mut seen = Recorder::default();
    let source = Noise::new(&experiment, 7);
    let end = finished(pretrain(&experiment, &source, &options(dir.path()), &mut seen).unwrap());
    assert_eq!((end.step, end.epoch), (9, 3));
    assert_eq!(seen.epochs, [0, 1, 2]);
    assert_eq!(seen.checkpoints, 3);
    assert_eq!(seen.steps.len(), 9);
    assert_eq!(metrics(dir.path()).len(), 9);
    assert!(
        seen.steps
            .iter()
            .all(|step| step.images_per_s > 0.0 && step.data_wait_share <= 1.0)
    );
    let read = |name: &str| -> serde_json::Value {
        serde_json::from_str(&std::fs::read_to_string(dir.path().join(name)).unwrap()).unwrap()
    };
    assert_eq!(
        serde_json::from_value::<Experiment>(read("config.json")).unwrap(),
        experiment
    );
    assert_eq!(
        read("run.json")["experiment_fingerprint"],
        experiment.fingerprint()
    );
    let mut files: Vec<String> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    let expected = [
        ".lock",
        "config.json",
        "last.safetensors",
        "metrics.jsonl",
        "optim-epoch3-batch0.safetensors",
        "run.json",
    ];
    assert_eq!(files, expected);
    // The weights are those that the caller saw, and any reader of weights can read them.
    let part = cropmae_model::weights::Part::Encoder;
    let path = checkpoint::last_weights(dir.path());
    cropmae_model::weights::load(&path, part, &candle_core::Device::Cpu).unwrap();
}

#[test]
fn mae_trains_through_the_same_loop() {
    let dir = tempfile::tempdir().unwrap();
    let mut experiment = experiment(&["epochs=6"]);
    experiment.method = Method::Mae;
    experiment.data.views = Views::Single;
    experiment.validate().unwrap();
    let mut seen = Recorder::default();
    let source = Noise::new(&experiment, 8);
    let source = RepeatFirstBatch(&source);
    pretrain(&experiment, &source, &options(dir.path()), &mut seen).unwrap();
    let (first, last) = (seen.steps[0].loss, seen.steps.last().unwrap().loss);
    assert!(last < first, "from {first} to {last}");
}

/// Stops after each number of updates or in the middle of one, goes on, and compares with one go.
fn resume_is_exact(compat: &str) {
    let experiment = experiment(&[compat]);
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
    let images = tempfile::tempdir().unwrap();
    for i in 0..26u32 {
        let pixel = |x, y| image::Rgb([x * i, y * 7 + i, x * y].map(|value| value as u8));
        let picture = image::RgbImage::from_fn(30 + i, 50 - i, pixel);
        picture
            .save(images.path().join(format!("{i}.png")))
            .unwrap();
    }
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
    // One batch is half an update: its gradients are in the checkpoint.
    assert!(matches!(outcome, Outcome::Interrupted(at) if (at.step, at.batch) == (0, 1)));
    assert!(
        bits(dir.path())
            .iter()
            .any(|(name, _)| name.starts_with("grad."))
    );
}

#[test]
fn a_broken_batch_stops_the_run_and_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let experiment = experiment(&["accum_iter=1"]);
    let source = Noise {
        broken: Some((1, 2)),
        ..Noise::new(&experiment, 4)
    };
    let error = pretrain(&experiment, &source, &options(dir.path()), &mut ()).unwrap_err();
    let TrainError::NonFinite {
        step, epoch, saved, ..
    } = &error
    else {
        panic!("{error}")
    };
    assert_eq!((*step, *epoch), (7, 1));
    let message = error.to_string();
    assert!(
        message.starts_with("step 7, epoch 1: the loss is NaN"),
        "{message}"
    );
    let batch = candle_core::safetensors::load(saved, &candle_core::Device::Cpu).unwrap();
    let views = batch["view2"]
        .flatten_all()
        .unwrap()
        .to_vec1::<f32>()
        .unwrap();
    assert!(views[7].is_nan() && batch["ids_shuffle"].dims() == [4, 16]);
    let last = checkpoint::load(dir.path(), &candle_core::Device::Cpu)
        .unwrap()
        .unwrap();
    assert_eq!(last.progress.cursor.step, 4);
    assert!(
        bits(dir.path())
            .iter()
            .all(|(_, bits)| bits.iter().all(|&x| f32::from_bits(x).is_finite()))
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
fn a_damaged_checkpoint_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let experiment = experiment(&[]);
    let source = Noise::new(&experiment, 4);
    pretrain(&experiment, &source, &options(dir.path()), &mut ()).unwrap();
    let state = dir.path().join("optim-epoch3-batch0.safetensors");
    let bytes = std::fs::read(&state).unwrap();
    std::fs::write(&state, &bytes[..bytes.len() / 2]).unwrap();
    let error = pretrain(&experiment, &source, &options(dir.path()), &mut ()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("optim-epoch3-batch0.safetensors: not a whole"),
        "{error}"
    );
    std::fs::remove_file(&state).unwrap();
    let error = pretrain(&experiment, &source, &options(dir.path()), &mut ()).unwrap_err();
    assert!(matches!(error, TrainError::Io { .. }), "{error}");
}

#[test]
fn a_checkpoint_that_cannot_be_written_leaves_the_one_before() {
    let dir = tempfile::tempdir().unwrap();
    let first = experiment(&["max_steps=2"]);
    let source = Noise::new(&first, 4);
    pretrain(&first, &source, &options(dir.path()), &mut ()).unwrap();
    let before = bits(dir.path());
    // A folder in the way of the next optimizer file, as a full disk would be.
    std::fs::create_dir(dir.path().join("optim-epoch2-batch0.safetensors")).unwrap();
    let error = pretrain(&experiment(&[]), &source, &options(dir.path()), &mut ()).unwrap_err();
    assert!(matches!(error, TrainError::Io { .. }), "{error}");
    assert!(bits(dir.path()) == before);
    let stray = std::fs::read_dir(dir.path()).unwrap().filter(|entry| {
        entry
            .as_ref()
            .unwrap()
            .file_name()
            .to_string_lossy()
            .ends_with(".tmp")
    });
    assert_eq!(stray.count(), 0);
}

#[test]
fn two_batches_of_eight_equal_one_of_sixteen() {
    let run = |settings: &[&str], batches| {
        let dir = tempfile::tempdir().unwrap();
        let experiment = experiment(&[&["dropout=0", "epochs=2"], settings].concat());
        let mut seen = Recorder::default();
        let source = Noise::new(&experiment, batches);
        pretrain(&experiment, &source, &options(dir.path()), &mut seen).unwrap();
        seen.steps
    };
    let halves = run(&["batch_size=8", "accum_iter=2"], 8);
    let wholes = run(&["batch_size=16", "accum_iter=1"], 4);
    assert_eq!((halves.len(), wholes.len()), (8, 8));
    for (half, whole) in halves.iter().zip(&wholes) {
        assert!(
            (half.loss - whole.loss).abs() < 1e-5,
            "{half:?} against {whole:?}"
        );
        assert!(
            (half.grad_norm / whole.grad_norm - 1.0).abs() < 1e-3,
            "{half:?}, {whole:?}"
        );
        assert_eq!(half.lr, whole.lr);
    }
}

#[test]
fn clipping_limits_the_update_but_not_the_reported_norm() {
    let run = |settings: &[&str]| {
        let dir = tempfile::tempdir().unwrap();
        let experiment = experiment(&[&["max_steps=2", "warmup_epochs=0"], settings].concat());
        let mut seen = Recorder::default();
        let source = Noise::new(&experiment, 8);
        pretrain(&experiment, &source, &options(dir.path()), &mut seen).unwrap();
        let moments: f64 = bits(dir.path())
            .iter()
            .filter(|(name, _)| name.starts_with("exp_avg."))
            .flat_map(|(_, bits)| bits.iter().map(|&x| f64::from(f32::from_bits(x)).powi(2)))
            .sum();
        (seen.steps[0].grad_norm, moments.sqrt())
    };
    let (free_norm, free_moment) = run(&[]);
    let (norm, moment) = run(&["clip_grad_norm=0.001"]);
    assert_eq!(norm, free_norm);
    // Two updates of norm 0.001 with beta1 = 0.9 leave at most 0.9 * 0.0001 + 0.0001 in the moment.
    assert!(
        free_moment > 0.001 && moment < 1.91e-4,
        "{free_moment}, {moment}"
    );
}
