//! Compares each update of a tiny model with the CropMAE reference implementation.
//!
//! The cases are in `fixtures/golden/b_train` and in the same folder of `CROPMAE_SHARED`, which also contains final
//! tensors.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use cropmae_fixtures::golden_roots;
use cropmae_train::{Schedule, Step, Trainer};
use serde_json::Value;

use crate::compare::{assert_close, compare_final, compare_groups, compare_moments, compare_sums};
use crate::fixtures::{
    batch, committed, experiment, first_file, json, shape, start_weights, tensors,
};

/// Runs one case and returns the largest difference of a loss from that of the reference.
fn replay(root: &Path, case: &str) -> f64 {
    let folder = root.join("b_train");
    let expected = json(&folder.join(format!("{case}.json")));
    let stored = tensors(&folder.join(format!("{case}.safetensors")));
    let data = match stored.get("batches") {
        Some(own) => own.clone(),
        None => tensors(&folder.join("data.safetensors"))["batches"].clone(),
    };
    let config = &expected["config"];
    let experiment = experiment(&shape(root, config), config, data.dim(1).unwrap());
    let init = [
        "b_train/init.safetensors",
        "a_model/init.safetensors",
        "a_model/model_tiny64.safetensors",
    ];
    let weights = start_weights(&first_file(root, &init), &experiment);
    let batches_per_epoch = config["batches_per_epoch"].as_u64().unwrap() as usize;
    let mut trainer =
        Trainer::with_weights(&experiment, batches_per_epoch, weights, &Device::Cpu).unwrap();

    let mut worst = 0.0f64;
    for (k, row) in expected["steps"].as_array().unwrap().iter().enumerate() {
        let images = data
            .get(row["batch_index"].as_u64().unwrap() as usize)
            .unwrap();
        let noise = stored["noise"].get(k).unwrap();
        let batch = trainer
            .tensors(batch(&images, &noise, experiment.model.patch_size))
            .unwrap();
        let epoch = row["epoch"].as_u64().unwrap();
        if trainer.state().cursor.epoch != epoch {
            trainer.end_epoch();
        }
        let at = trainer.state().cursor;
        let expected = (epoch, row["idx"].as_u64().unwrap() as usize);
        assert_eq!((at.epoch, at.batch), expected, "{case}: micro-step {k}");
        let done = trainer.step(&batch, true).unwrap();
        let (Step::Accumulated { loss } | Step::Updated { loss, .. }) = done else {
            panic!("{case}: {done:?} at micro-step {k}");
        };
        let (loss, reference) = (loss.unwrap(), row["loss"].as_f64().unwrap());
        worst = worst.max((loss - reference).abs());
        assert_close(
            &format!("{case}: loss of micro-step {k}"),
            loss,
            reference,
            2e-6,
            0.0,
        );
        let number = |key: &str| row[key].as_f64().unwrap();
        let updated = row["updated"].as_bool().unwrap();
        let Step::Updated { lr, grad_norm, .. } = done else {
            assert!(!updated, "{case}: no update at micro-step {k}");
            continue;
        };
        assert!(updated, "{case}: update at micro-step {k}");
        let expected = number("lr_used_by_this_update");
        assert_close(&format!("{case}: rate at {k}"), lr, expected, 0.0, 1e-15);
        assert_close(
            &format!("{case}: gradient norm at {k}"),
            grad_norm.unwrap(),
            number("global_grad_l2_norm"),
            0.0,
            1e-4,
        );
    }
    let updates = trainer.state().cursor.step as f64;
    assert_eq!(updates, config["adamw_step_count"].as_f64().unwrap());
    compare_groups(&trainer, &expected["param_groups"]);
    let weights: BTreeMap<String, Tensor> = trainer
        .weights()
        .data()
        .lock()
        .unwrap()
        .iter()
        .map(|(name, var)| (name.clone(), var.as_tensor().clone()))
        .collect();
    compare_sums(case, &weights, &expected["final_weights"]);
    compare_final(case, &weights, &stored);
    compare_moments(case, &trainer, &stored);
    println!(
        "{}: {case}: worst loss difference {worst:.1e}",
        root.display()
    );
    worst
}

#[test]
fn golden_training_runs() {
    crate::KERNELS.make_default();
    for root in golden_roots() {
        let mut cases = 0;
        for entry in std::fs::read_dir(root.join("b_train")).unwrap() {
            let path = entry.unwrap().path();
            if path
                .extension()
                .is_some_and(|extension| extension == "json")
                && json(&path).get("steps").is_some()
            {
                replay(&root, path.file_stem().unwrap().to_str().unwrap());
                cases += 1;
            }
        }
        assert!(cases > 0, "{}: no cases", root.display());
    }
}

#[test]
fn golden_runs_may_have_any_name_and_weights_of_their_own() {
    crate::KERNELS.make_default();
    let (from, elsewhere) = (committed(), tempfile::tempdir().unwrap());
    let to = elsewhere.path().join("b_train");
    std::fs::create_dir(&to).unwrap();
    let copies = [
        ("a_model/model_tiny64.safetensors", "init.safetensors"),
        ("b_train/data.safetensors", "data.safetensors"),
        ("b_train/train_accum2_oddlen.json", "leftovers.json"),
        (
            "b_train/train_accum2_oddlen.safetensors",
            "leftovers.safetensors",
        ),
    ];
    for (name, copy) in copies {
        std::fs::copy(from.join(name), to.join(copy)).unwrap();
    }
    assert!(replay(elsewhere.path(), "leftovers") < 2e-6);
}

#[test]
fn golden_learning_rates() {
    crate::KERNELS.make_default();
    for root in golden_roots() {
        let shape = shape(&root, &Value::Null);
        let table = json(&root.join("b_train/lr_schedule.json"));
        let rows = table["rows"].as_array().unwrap();
        assert!(!rows.is_empty());
        for row in rows {
            let batches = row["batches_per_epoch"].as_u64().unwrap() as usize;
            let schedule = Schedule::new(&experiment(&shape, row, 2), batches);
            let (epoch, idx) = (row["epoch"].as_f64().unwrap(), row["idx"].as_f64().unwrap());
            let rate = schedule.at(epoch + idx / batches as f64);
            assert_close(
                &format!("{row}"),
                rate,
                row["lr_out"].as_f64().unwrap(),
                0.0,
                1e-15,
            );
        }
    }
}
