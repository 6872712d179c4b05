//! Tests of the moving average of the weights.

use std::collections::BTreeMap;

use candle_core::Device;
use cropmae_model::weights::{self, Part};
use cropmae_train::{HookError, Observer, Trainer, pretrain};

use crate::support::{Noise, experiment, options, tensor_bits};

/// Averages the weights after each epoch, which is one update, without the code under test.
struct ByHand {
    decay: f64,
    averages: BTreeMap<String, Vec<f32>>,
    updates: u64,
}

impl ByHand {
    fn take_in(&mut self, trainer: &Trainer) {
        let step = trainer.state().cursor.step;
        let t = step as f64;
        let decay = self.decay.min((1.0 + t) / (10.0 + t)) as f32;
        for (name, var) in cropmae_model::named_parameters(trainer.weights()) {
            let values = var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let average = self.averages.get_mut(&name).unwrap();
            for (average, value) in average.iter_mut().zip(values) {
                *average += (1.0 - decay) * (value - *average);
            }
        }
        self.updates = step;
    }
}

impl Observer for ByHand {
    fn on_start(&mut self, _: &cropmae_train::Plan, trainer: &Trainer) -> Result<(), HookError> {
        self.averages = cropmae_model::named_parameters(trainer.weights())
            .into_iter()
            .map(|(name, var)| (name, var.flatten_all().unwrap().to_vec1().unwrap()))
            .collect();
        Ok(())
    }

    fn on_epoch_end(&mut self, trainer: &Trainer) -> Result<(), HookError> {
        self.take_in(trainer);
        for (name, var) in cropmae_model::named_parameters(trainer.ema().unwrap()) {
            let found = var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            for (found, expected) in found.iter().zip(&self.averages[&name]) {
                assert!(
                    (found - expected).abs() < 1e-6,
                    "{name}: {found}, {expected}"
                );
            }
        }
        Ok(())
    }
}

#[test]
fn averages_follow_the_weights_by_the_documented_rule() {
    let dir = tempfile::tempdir().unwrap();
    let settings = ["ema_decay=0.5", "epochs=12", "blr=0.1", "warmup_epochs=0"];
    let experiment = experiment(&settings);
    let mut by_hand = ByHand {
        decay: 0.5,
        averages: BTreeMap::new(),
        updates: 0,
    };
    let source = Noise::new(&experiment, 2);
    pretrain(&experiment, &source, &options(dir.path()), &mut by_hand).unwrap();
    assert_eq!(by_hand.updates, 12);
    // The averages are in a separate weight file and differ from the weights.
    let load = |name: &str| {
        let file = weights::load(&dir.path().join(name), Part::Whole, &Device::Cpu).unwrap();
        let vars = file.into_vars().unwrap();
        let vars = vars.data().lock().unwrap();
        (
            tensor_bits(vars["blocks.0.mlp.fc1.weight"].as_tensor()),
            tensor_bits(vars["pos_embed"].as_tensor()),
        )
    };
    let (weights, averages) = (load("last.safetensors"), load("last-ema.safetensors"));
    assert_ne!(weights.0, averages.0);
    assert_eq!(weights.1, averages.1);
}
