//! Tests of the files that a failed run leaves.

use std::path::Path;

use cropmae_data::{BadFile, DataError};
use cropmae_train::{
    BatchSource, Batches, HookError, Observer, Plan, TrainError, Trainer, pretrain,
};

use crate::support::{Noise, bits, experiment, finished, metrics, options};

/// A source of noise that ends with an unreadable file.
struct Broken {
    noise: Noise,
    good_batches: usize,
}

impl BatchSource for Broken {
    fn fingerprint(&self) -> String {
        self.noise.fingerprint()
    }

    fn batches_per_epoch(&self) -> usize {
        self.noise.batches_per_epoch()
    }

    fn epoch(&self, epoch: u64, first_batch: usize) -> Batches<'_> {
        let bad = BadFile {
            path: "a.jpg".into(),
            reason: "truncated".to_owned(),
        };
        let good = self.good_batches.saturating_sub(first_batch);
        let batches = self.noise.epoch(epoch, first_batch).take(good);
        Box::new(batches.chain([Err(DataError::BadFile(bad))]))
    }
}

/// An observer that writes a file into the run folder before the first update, and removes it on undo.
struct Writer<'a>(&'a Path);

impl Observer for Writer<'_> {
    fn on_start(&mut self, _plan: &Plan, _trainer: &Trainer) -> Result<(), HookError> {
        Ok(std::fs::write(self.0.join("scores"), "0.1")?)
    }

    fn on_undo(&mut self) {
        std::fs::remove_file(self.0.join("scores")).unwrap();
    }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
    let mut names: Vec<_> = entries
        .map(|entry| name(entry).to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Trains in `run` until the source fails after `good_batches`. Two batches make an update.
fn fail(run: &Path, good_batches: usize) {
    let experiment = experiment(&[]);
    let source = Broken {
        noise: Noise::new(&experiment, 5),
        good_batches,
    };
    let error = pretrain(&experiment, &source, &options(run), &mut Writer(run)).unwrap_err();
    assert!(matches!(error, TrainError::Data(_)), "{error}");
}

/// Trains in `run` with intact data, and expects the results of a run in a new folder.
fn succeed(run: &Path) {
    let experiment = experiment(&[]);
    let source = Noise::new(&experiment, 5);
    let whole = tempfile::tempdir().unwrap();
    for dir in [run, whole.path()] {
        finished(pretrain(&experiment, &source, &options(dir), &mut ()).unwrap());
    }
    assert_eq!(metrics(run), metrics(whole.path()));
    assert!(bits(run) == bits(whole.path()));
}

#[test]
fn a_run_without_an_update_leaves_nothing() {
    let parent = tempfile::tempdir().unwrap();
    for good_batches in [0, 1] {
        fail(&parent.path().join("new/run"), good_batches);
        assert_eq!(names(parent.path()), [""; 0]);
    }
    succeed(&parent.path().join("new/run"));
}

#[test]
fn what_was_there_before_stays() {
    let run = tempfile::tempdir().unwrap();
    fail(run.path(), 1);
    assert_eq!(names(run.path()), [""; 0], "the folder itself was there");
    std::fs::write(run.path().join("notes.txt"), "mine").unwrap();
    fail(run.path(), 1);
    assert_eq!(names(run.path()), ["notes.txt"]);
    // A session that was killed before its first update leaves only this file.
    std::fs::write(run.path().join("config.json"), config()).unwrap();
    fail(run.path(), 1);
    assert_eq!(names(run.path()), ["config.json", "notes.txt"]);
    succeed(run.path());
}

fn config() -> String {
    serde_json::to_string(&experiment(&[])).unwrap()
}

#[test]
fn a_run_with_an_update_stays() {
    let run = tempfile::tempdir().unwrap();
    fail(run.path(), 2);
    assert_eq!(metrics(run.path()).len(), 1);
    assert!(run.path().join("scores").exists());
    succeed(run.path());
}

#[test]
fn a_session_without_an_update_leaves_the_run_as_it_was() {
    let run = tempfile::tempdir().unwrap();
    let short = experiment(&["max_steps=1"]);
    let source = Noise::new(&short, 5);
    finished(pretrain(&short, &source, &options(run.path()), &mut ()).unwrap());
    let before = (bits(run.path()), metrics(run.path()));
    fail(run.path(), 0);
    assert!((bits(run.path()), metrics(run.path())) == before);
    succeed(run.path());
}

#[test]
fn a_batch_that_is_not_finite_stays_for_inspection() {
    let run = tempfile::tempdir().unwrap();
    let experiment = experiment(&[]);
    let source = Noise {
        broken: Some((0, 0)),
        ..Noise::new(&experiment, 5)
    };
    let error = pretrain(&experiment, &source, &options(run.path()), &mut ()).unwrap_err();
    assert!(matches!(error, TrainError::NonFinite { saved, .. } if saved.is_file()));
    succeed(run.path());
}
