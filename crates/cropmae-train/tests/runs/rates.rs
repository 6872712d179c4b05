//! Tests that the reported learning rate is the one that changed the weights.

use candle_core::Device;
use cropmae_train::{Cursor, checkpoint, pretrain};

use crate::support::{Noise, Recorder, bits, experiment, metrics, options};

/// Returns the largest change of any weight between the checkpoints after `steps` and after `steps + 1` updates, and
/// the reported rate of the last update.
fn largest_change(settings: &[&str], steps: u64) -> (f64, f64) {
    let weights_after = |steps: u64| {
        let dir = tempfile::tempdir().unwrap();
        let limit = format!("max_steps={steps}");
        let experiment = experiment(&[settings, &[&*limit]].concat());
        let mut seen = Recorder::default();
        let source = Noise::new(&experiment, 6);
        pretrain(&experiment, &source, &options(dir.path()), &mut seen).unwrap();
        let told = seen.steps.last().unwrap().lr;
        assert_eq!(f64::from_bits(metrics(dir.path()).last().unwrap().3), told);
        let loaded = checkpoint::load(dir.path(), &Device::Cpu).unwrap().unwrap();
        assert!(matches!(loaded.progress.state.cursor, Cursor { step, .. } if step == steps));
        let is_weight = |name: &str| !name.starts_with("exp_avg") && !name.starts_with("grad.");
        let all = bits(dir.path()).into_iter();
        let weights: Vec<f32> = all
            .filter(|(name, _)| is_weight(name))
            .flat_map(|(_, bits)| bits.into_iter().map(f32::from_bits))
            .collect();
        (weights, told)
    };
    let (before, _) = weights_after(steps);
    let (after, told) = weights_after(steps + 1);
    let change = before
        .iter()
        .zip(&after)
        .map(|(a, b)| f64::from((a - b).abs()));
    (change.fold(0.0, f64::max), told)
}

#[test]
fn a_rate_of_zero_moves_nothing() {
    // In the order of the reference, the second update has the first rate of the warm-up, which is zero.
    let (change, told) = largest_change(&["compat=true", "accum_iter=1"], 1);
    assert_eq!((change, told), (0.0, 0.0));
}

#[test]
fn an_update_moves_the_weights_by_its_rate() {
    // Updates with nearly the same gradient change a weight by the rate, because m / sqrt(v) is then 1. With betas
    // of 0 it is exactly 1 for every weight with a gradient.
    for compat in ["compat=false", "compat=true"] {
        let settings = [compat, "accum_iter=1", "betas=0", "decay=0", "blr=0.064"];
        for steps in [2, 7, 12] {
            let (change, told) = largest_change(&settings, steps);
            assert!(told > 0.0);
            assert!(
                (change / told - 1.0).abs() < 1e-3,
                "the largest change is {change} at a rate of {told}"
            );
        }
    }
}
