//! Runs whose numbers are read from the device only now and then.

use cropmae_kernels::Backend;
use cropmae_train::{TrainError, pretrain};

use crate::support::{Noise, Recorder, bits, experiment, metrics, options};

const SETTINGS: [&str; 4] = [
    "accum_iter=1",
    "batch_size=2",
    "epochs=1",
    "warmup_epochs=0",
];

#[test]
fn a_run_that_reads_every_third_update_computes_the_same() {
    let run = |every| {
        let dir = tempfile::tempdir().unwrap();
        let settings = ["accum_iter=2", "clip_grad_norm=0.5", "ema_decay=0.9", every];
        let experiment = experiment(&[&SETTINGS[..], &settings].concat());
        let mut seen = Recorder::default();
        let source = Noise::new(&experiment, 8);
        let run = || pretrain(&experiment, &source, &options(dir.path()), &mut seen);
        Backend::Gpu.with(run).unwrap();
        (bits(dir.path()), metrics(dir.path()))
    };
    let (bits, metrics) = run("log_every_steps=1");
    let (bits_of_third, metrics_of_third) = run("log_every_steps=3");
    assert_eq!(bits_of_third, bits);
    assert_eq!(metrics.len(), 4);
    assert_eq!(metrics_of_third, [metrics[2]]);
}

#[test]
fn a_fault_that_was_not_read_stops_the_run_with_its_batch() {
    let dir = tempfile::tempdir().unwrap();
    let experiment = experiment(&[&SETTINGS[..], &["log_every_steps=5"]].concat());
    let source = Noise {
        broken: Some((0, 2)),
        ..Noise::new(&experiment, 6)
    };
    let run = || pretrain(&experiment, &source, &options(dir.path()), &mut ());
    let error = Backend::Gpu.with(run).unwrap_err();
    let TrainError::NonFinite {
        step, epoch, saved, ..
    } = &error
    else {
        panic!("{error}")
    };
    assert_eq!((*step, *epoch), (3, 0));
    assert!(error.to_string().contains("the loss is NaN"), "{error}");
    let batch = candle_core::safetensors::load(saved, &candle_core::Device::Cpu).unwrap();
    let view = batch["view2"].flatten_all().unwrap();
    let values: Vec<f32> = view.to_vec1().unwrap();
    assert_eq!(values.iter().filter(|value| value.is_nan()).count(), 1);
}
