//! Tests of the files of checkpoints, of which ones are kept, and of damaged ones.

use std::path::{Path, PathBuf};

use candle_core::Device;
use cropmae_model::weights::{self, Part};
use cropmae_train::{Cursor, HookError, Observer, TrainError, Trainer, checkpoint, pretrain};

use crate::support::{Noise, Recorder, bits, experiment, finished, metrics, options};

/// Returns the sorted names of the entries in a folder.
fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn checkpoints(dir: &Path) -> Vec<PathBuf> {
    let folder = dir.join("checkpoints");
    names(&folder)
        .iter()
        .map(|name| folder.join(name))
        .collect()
}

/// Trains for three epochs of four batches, with two updates each.
fn train(dir: &Path, settings: &[&str]) -> Result<Cursor, TrainError> {
    let experiment = experiment(settings);
    let source = Noise::new(&experiment, 4);
    pretrain(&experiment, &source, &options(dir), &mut ()).map(finished)
}

#[test]
fn the_newest_and_every_so_many_epochs_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let settings = ["ema_decay=0.9", "keep_every=2", "epochs=5", "keep_last=2"];
    train(dir.path(), &settings).unwrap();
    let found = names(&dir.path().join("checkpoints"));
    assert_eq!(
        found,
        ["epoch00004-batch0000000", "epoch00005-batch0000000"]
    );
    let parts = [
        "ema.safetensors",
        "optimizer.safetensors",
        "weights.safetensors",
    ];
    assert_eq!(names(&checkpoints(dir.path())[1]), parts);
    let snapshots = dir.path().join("snapshots");
    let expected = [
        "epoch00002-ema.safetensors",
        "epoch00002.safetensors",
        "epoch00004-ema.safetensors",
        "epoch00004.safetensors",
    ];
    assert_eq!(names(&snapshots), expected);
    for name in expected {
        let file = weights::load(&snapshots.join(name), Part::Whole, &Device::Cpu).unwrap();
        assert_eq!(file.info.provenance["epoch"], name[9..10].to_owned());
    }
    let last = weights::load_info(&checkpoint::last_weights(dir.path())).unwrap();
    assert_eq!(last.provenance["step"], "10");
}

#[test]
fn a_long_epoch_is_saved_on_the_way() {
    let whole = tempfile::tempdir().unwrap();
    train(whole.path(), &[]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let experiment = experiment(&["every_minutes=1e-9", "keep_last=100"]);
    let mut seen = Recorder::default();
    let source = Noise::new(&experiment, 4);
    pretrain(&experiment, &source, &options(dir.path()), &mut seen).unwrap();
    // There is one after each of the twelve batches, even in the middle of updates.
    assert_eq!(seen.checkpoints, 12);
    assert_eq!(checkpoints(dir.path()).len(), 12);
    assert!(bits(dir.path()) == bits(whole.path()));
}

#[test]
fn a_damaged_checkpoint_is_passed_over_for_the_one_before() {
    let whole = tempfile::tempdir().unwrap();
    train(whole.path(), &["ema_decay=0.9"]).unwrap();
    let flip = |bytes: &mut Vec<u8>| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
    };
    let cut = |bytes: &mut Vec<u8>| bytes.truncate(bytes.len() - 3);
    for file in [
        "weights.safetensors",
        "optimizer.safetensors",
        "ema.safetensors",
    ] {
        for cut_short in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            train(dir.path(), &["ema_decay=0.9", "max_steps=4"]).unwrap();
            let path = checkpoints(dir.path())[1].join(file);
            let mut bytes = std::fs::read(&path).unwrap();
            if cut_short {
                cut(&mut bytes);
            } else {
                flip(&mut bytes);
            }
            // A change in place would change `last.safetensors` too, which is the same file.
            std::fs::remove_file(&path).unwrap();
            std::fs::write(&path, bytes).unwrap();
            let loaded = checkpoint::load(dir.path(), &Device::Cpu).unwrap().unwrap();
            assert_eq!(loaded.progress.state.cursor.step, 2, "{file}");
            train(dir.path(), &["ema_decay=0.9"]).unwrap();
            assert_eq!(metrics(dir.path()), metrics(whole.path()), "{file}");
            assert!(bits(dir.path()) == bits(whole.path()), "{file}");
        }
    }
}

#[test]
fn without_an_intact_checkpoint_the_run_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    train(dir.path(), &["keep_last=1"]).unwrap();
    let folder = checkpoints(dir.path()).remove(0);
    std::fs::remove_file(folder.join("optimizer.safetensors")).unwrap();
    let before = std::fs::read(checkpoint::last_weights(dir.path())).unwrap();
    let error = train(dir.path(), &["keep_last=1"]).unwrap_err().to_string();
    assert!(
        error.contains("epoch00003-batch0000000: no checkpoint of this run can be used")
            && error.contains("optimizer.safetensors: cannot read"),
        "{error}"
    );
    std::fs::remove_dir_all(folder).unwrap();
    let error = train(dir.path(), &[]).unwrap_err().to_string();
    assert!(
        error.contains("last.safetensors: weights without a checkpoint"),
        "{error}"
    );
    let after = std::fs::read(checkpoint::last_weights(dir.path())).unwrap();
    assert!(before == after);
}

#[test]
fn files_of_two_checkpoints_do_not_mix() {
    let dir = tempfile::tempdir().unwrap();
    train(dir.path(), &["keep_last=2"]).unwrap();
    let [older, newer] = &checkpoints(dir.path())[..] else {
        panic!("two checkpoints")
    };
    let name = "optimizer.safetensors";
    std::fs::copy(older.join(name), newer.join(name)).unwrap();
    let loaded = checkpoint::load(dir.path(), &Device::Cpu).unwrap().unwrap();
    assert_eq!(
        (
            loaded.progress.state.cursor.step,
            loaded.progress.state.cursor.epoch
        ),
        (4, 2)
    );
}

/// An observer that creates a file with the name of the next checkpoint, so that the checkpoint cannot be written.
struct InTheWay(PathBuf);

const NEXT: &str = "checkpoints/epoch00002-batch0000000";

impl Observer for InTheWay {
    fn on_epoch_end(&mut self, trainer: &Trainer) -> Result<(), HookError> {
        if trainer.state().cursor.epoch == 1 {
            std::fs::write(self.0.join(NEXT), "in the way")?;
        }
        Ok(())
    }
}

#[test]
fn a_checkpoint_that_cannot_be_written_leaves_those_before() {
    let whole = tempfile::tempdir().unwrap();
    train(whole.path(), &[]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let experiment = experiment(&[]);
    let source = Noise::new(&experiment, 4);
    let mut in_the_way = InTheWay(dir.path().to_owned());
    let error = pretrain(&experiment, &source, &options(dir.path()), &mut in_the_way);
    let error = error.unwrap_err();
    assert!(
        matches!(error, TrainError::NotSaved { step: 4, .. }),
        "{error}"
    );
    let message = error.to_string();
    assert!(
        message.contains("the earlier checkpoints are intact"),
        "{message}"
    );
    let hidden = |name: &String| name.starts_with('.');
    assert!(!names(&dir.path().join("checkpoints")).iter().any(hidden));
    std::fs::remove_file(dir.path().join(NEXT)).unwrap();
    let loaded = checkpoint::load(dir.path(), &Device::Cpu).unwrap().unwrap();
    assert_eq!(loaded.progress.state.cursor.step, 2);
    train(dir.path(), &[]).unwrap();
    assert!(bits(dir.path()) == bits(whole.path()));
}

/// The temporary names of files that are being replaced.
const TEMPORARY: [&str; 2] = [".config.json.Ab12Cd.partial", ".last.safetensors.partial"];

#[test]
fn what_a_killed_session_left_half_written_goes_away() {
    let dir = tempfile::tempdir().unwrap();
    train(dir.path(), &["max_steps=2"]).unwrap();
    let folder = dir.path().join("checkpoints");
    let half = ".epoch00002-batch0000000.Ab12Cd.partial";
    for name in [half, ".partial", ".removed"] {
        std::fs::create_dir(folder.join(name)).unwrap();
        std::fs::write(folder.join(name).join("weights.safetensors"), "half").unwrap();
    }
    for name in TEMPORARY {
        std::fs::write(dir.path().join(name), "half").unwrap();
    }
    // The session was killed before it linked the weights of the newest checkpoint.
    std::fs::remove_file(checkpoint::last_weights(dir.path())).unwrap();
    train(dir.path(), &["max_steps=2"]).unwrap();
    assert!(!names(&folder).iter().any(|name| name.starts_with('.')));
    assert!(TEMPORARY.iter().all(|name| !dir.path().join(name).exists()));
    let last = weights::load_info(&checkpoint::last_weights(dir.path())).unwrap();
    assert_eq!(last.provenance["step"], "2");
}

#[test]
fn checkpoints_of_other_formats_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    train(dir.path(), &["max_steps=2"]).unwrap();
    let folder = checkpoints(dir.path()).remove(0);
    let path = folder.join("weights.safetensors");
    let loaded = weights::load(&path, Part::Whole, &Device::Cpu).unwrap();
    let mut info = loaded.info.clone();
    let training = info.provenance.get_mut("training").unwrap();
    *training = training.replace("\"format\":2", "\"format\":9");
    weights::save(&path, &info, &loaded.into_vars().unwrap()).unwrap();
    let error = train(dir.path(), &[]).unwrap_err().to_string();
    assert!(error.contains("checkpoint format 9, expected 2"), "{error}");
}
