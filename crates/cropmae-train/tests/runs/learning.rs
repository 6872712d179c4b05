//! Tests of what a run computes and records.

use cropmae_config::{Experiment, Method, Views};
use cropmae_train::{RepeatFirstBatch, TrainError, checkpoint, pretrain};

use crate::support::{Noise, Recorder, bits, experiment, finished, metrics, options};

#[test]
fn one_batch_is_memorized() {
    let dir = tempfile::tempdir().unwrap();
    // Random targets have full rank, so a decoder narrower than a patch could not learn them.
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
    let end = &read("run.json")["sessions"][0]["end"];
    assert_eq!(end["step"], 9);
    assert!(
        end["peak_rss_bytes"]
            .as_u64()
            .is_none_or(|bytes| bytes > 1 << 20)
    );
    let mut files: Vec<String> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    let expected = [
        ".lock",
        "checkpoints",
        "config.json",
        "last.safetensors",
        "metrics.jsonl",
        "run.json",
    ];
    assert_eq!(files, expected);
    // Any reader of weight files can read the weights.
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
    assert_eq!(last.progress.state.cursor.step, 4);
    assert!(
        bits(dir.path())
            .iter()
            .all(|(_, bits)| bits.iter().all(|&x| f32::from_bits(x).is_finite()))
    );
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
