//! Tests that bytes that are normalized on the training device give the same updates as normalized pixels.

use std::sync::Arc;

use candle_core::Device;
use cropmae_data::{Batch, Dataset, LoaderConfig, Patches, Pixels};
use cropmae_train::{BatchSource, DatasetSource, Step, Trainer};

use crate::support::{experiment, images, tensor_bits};

/// The weights by name, as bits.
type Weights = Vec<(String, Vec<u32>)>;

fn weights(trainer: &Trainer) -> Weights {
    let vars = trainer.weights().data().lock().unwrap();
    let bits = vars.iter();
    let mut bits: Weights = bits
        .map(|(name, var)| (name.clone(), tensor_bits(var.as_tensor())))
        .collect();
    bits.sort();
    bits
}

#[test]
fn an_update_on_bytes_is_the_one_on_normalized_pixels() {
    let images = images();
    // These rates change every weight within one update.
    let experiment = experiment(&["warmup_epochs=0", "blr=0.1"]);
    let dataset = Arc::new(Dataset::open(images.path(), &experiment.data).unwrap());
    let run = |pixels| {
        let config = LoaderConfig {
            pixels,
            ..LoaderConfig::of(&experiment, 1)
        };
        let source = DatasetSource::new(dataset.clone(), config).unwrap();
        let batches = source.batches_per_epoch();
        let mut trainer = Trainer::new(&experiment, batches, &Device::Cpu).unwrap();
        let before = weights(&trainer);
        let mut steps = Vec::new();
        for batch in source.epoch(0, 0).take(experiment.train.accum_iter) {
            let batch: Batch = batch.unwrap();
            let bytes = |view: &Patches| matches!(view, Patches::Bytes(_));
            assert!(
                batch
                    .views
                    .iter()
                    .all(|view| bytes(view) == (pixels == Pixels::Bytes))
            );
            let batch = trainer.tensors(batch).unwrap();
            steps.push(trainer.step(&batch, true).unwrap());
        }
        (before, steps, weights(&trainer))
    };
    let (before, steps, after) = run(Pixels::Normalized);
    let [
        Step::Accumulated { .. },
        Step::Updated {
            grad_norm: Some(grad_norm),
            ..
        },
    ] = steps[..]
    else {
        panic!("{steps:?}");
    };
    assert!(grad_norm > 0.0);
    let still = before
        .iter()
        .zip(&after)
        .filter(|(before, after)| before == after);
    let still: Vec<&String> = still.map(|((name, _), _)| name).collect();
    assert_eq!(still, ["decoder_pos_embed", "pos_embed"], "fixed");
    // The operations and their order are the same, so on the CPU all bits are the same.
    let on_bytes = run(Pixels::Bytes);
    assert_eq!(on_bytes.0, before);
    assert_eq!(on_bytes.1, steps);
    assert!(on_bytes.2 == after, "the weights differ");
}
