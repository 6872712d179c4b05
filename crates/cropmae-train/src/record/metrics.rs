//! The file `metrics.jsonl`, with one JSON object for each logged update.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Seek, SeekFrom, Write};
use std::path::PathBuf;

use crate::{StepStats, TrainError};

/// The name of the file.
pub(super) const METRICS: &str = "metrics.jsonl";

/// The open file, to which lines are appended.
pub(super) struct Metrics {
    path: PathBuf,
    file: File,
}

impl Metrics {
    /// Opens or creates the file at `path` and keeps its lines up to `step`.
    ///
    /// Later lines belong to updates after the checkpoint, which will run again.
    pub(super) fn open(path: PathBuf, step: u64) -> Result<Self, TrainError> {
        let io = |action| TrainError::io(&path, action);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(io("read")(error)),
        };
        let kept: usize = text
            .split_inclusive('\n')
            .take_while(|line| {
                line.ends_with('\n')
                    && serde_json::from_str::<StepStats>(line).is_ok_and(|line| line.step <= step)
            })
            .map(str::len)
            .sum();
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(io("open"))?;
        file.set_len(kept as u64).map_err(io("write"))?;
        file.seek(SeekFrom::End(0)).map_err(io("write"))?;
        Ok(Self { path, file })
    }

    /// Appends a line.
    pub(super) fn add(&mut self, line: &StepStats) -> Result<(), TrainError> {
        let write = TrainError::io(&self.path, "write");
        let mut text = serde_json::to_string(line).map_err(|error| write(error.into()))?;
        text.push('\n');
        // Each line is one system call, so that a reader never sees half a line.
        self.file.write_all(text.as_bytes()).map_err(write)
    }

    /// Waits until the lines are on disk.
    pub(super) fn sync(&self) -> Result<(), TrainError> {
        self.file
            .sync_data()
            .map_err(TrainError::io(&self.path, "write"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(step: u64) -> StepStats {
        StepStats {
            step,
            epoch: 0,
            loss: 1.0 / step as f64,
            lr: 1e-3,
            grad_norm: 0.5,
            images_per_s: 10.0,
            data_wait_share: 0.0,
            seconds: step as f64,
        }
    }

    #[test]
    fn lines_are_cut_back_to_the_checkpoint() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(METRICS);
        let open = |step| Metrics::open(path.clone(), step).unwrap();
        let mut metrics = open(0);
        for step in 1..=4 {
            metrics.add(&line(step)).unwrap();
        }
        drop(metrics);
        let whole = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{whole}{{\"step\": 5, \"ep")).unwrap();
        drop(open(9));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), whole);
        drop(open(2));
        let kept = std::fs::read_to_string(&path).unwrap();
        let steps: Vec<u64> = kept
            .lines()
            .map(|line| serde_json::from_str::<StepStats>(line).unwrap().step)
            .collect();
        assert_eq!(steps, [1, 2]);
    }
}
