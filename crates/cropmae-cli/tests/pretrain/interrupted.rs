//! Tests that a run computes the same bits as an uninterrupted run, with any number of threads, when the
//! program is killed at random moments or stopped by a full disk and then started again.
//!
//! `CROPMAE_KILLS=20 cargo nextest run -p cropmae-cli killed --no-capture` kills more often and prints where.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use candle_core::Device;
use cropmae_config::{Seed, Stream};
use cropmae_train::{StepStats, checkpoint};

use crate::support::{images, pretrain};

/// The settings of a run that writes a checkpoint after each batch, also in the middle of an update.
const SETTINGS: [&str; 7] = [
    "train.epochs=6",
    "train.accum_iter=2",
    "train.log_every_steps=1",
    "train.ema_decay=0.99",
    "checkpoint.every_minutes=1e-9",
    "checkpoint.keep_every=2",
    "schedule.compat=true",
];

fn program(images: &Path, out: &Path, threads: usize) -> Command {
    let mut command = pretrain(images, out, &SETTINGS);
    command
        .args(["--threads", &threads.to_string()])
        .stdout(Stdio::null());
    command
}

fn run_to_the_end(images: &Path, out: &Path, threads: usize) {
    let output = program(images, out, threads).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

/// The losses, rates and gradient norms of all updates, and all tensors of the last checkpoint, as bits.
#[derive(PartialEq)]
struct Result {
    updates: Vec<(u64, u64, [u64; 3])>,
    tensors: Vec<(String, Vec<u32>)>,
}

impl Result {
    fn of(run: &Path) -> Self {
        let updates = steps(run)
            .iter()
            .map(|line| {
                let numbers = [line.loss, line.lr, line.grad_norm].map(f64::to_bits);
                (line.step, line.epoch, numbers)
            })
            .collect();
        let checkpoint = checkpoint::load(run, &Device::Cpu).unwrap().unwrap();
        let mut tensors = Vec::new();
        for (prefix, vars) in [
            ("", Some(&checkpoint.weights)),
            ("ema.", checkpoint.ema.as_ref()),
        ] {
            for (name, var) in vars.unwrap().data().lock().unwrap().iter() {
                tensors.push((format!("{prefix}{name}"), var.as_tensor().clone()));
            }
        }
        tensors.extend(checkpoint.optimizer);
        let mut tensors: Vec<(String, Vec<u32>)> = tensors
            .into_iter()
            .map(|(name, tensor)| {
                let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                (name, values.into_iter().map(f32::to_bits).collect())
            })
            .collect();
        tensors.sort();
        Self { updates, tensors }
    }
}

/// Returns whether the run folder `run` contains an incomplete checkpoint.
fn in_a_checkpoint(run: &Path) -> bool {
    let entries = std::fs::read_dir(run.join("checkpoints"))
        .into_iter()
        .flatten();
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
    entries
        .map(name)
        .any(|name| name.to_string_lossy().ends_with(".partial"))
}

fn steps(run: &Path) -> Vec<StepStats> {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap_or_default();
    let lines = text.lines();
    lines
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

#[test]
fn a_killed_run_continues_bit_for_bit() {
    let kills = std::env::var("CROPMAE_KILLS").map_or(3, |text| text.parse().unwrap());
    let images = images();
    let whole = tempfile::tempdir().unwrap();
    let start = Instant::now();
    run_to_the_end(images.path(), whole.path(), 2);
    let length = start.elapsed();
    let expected = Result::of(whole.path());
    // An epoch has seven batches: three updates, and one batch that is carried into the next epoch.
    assert_eq!(expected.updates.len(), 18);
    let mut in_checkpoint = 0;
    for kill in 0..kills {
        let run = tempfile::tempdir().unwrap();
        // The exact moment also varies with the speed of the machine. The stream only spreads the moments.
        let mut moments = Seed(kill).rng(Stream::Scenes, 0, 0);
        let mut share = || rand::Rng::random_range(&mut moments, 0.0..1.0);
        let mut told = Vec::new();
        for threads in [1 + kill as usize % 3, 2] {
            let mut child = program(images.path(), run.path(), threads)
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            std::thread::sleep(Duration::from_secs_f64(share() * length.as_secs_f64()));
            child.kill().unwrap();
            child.wait().unwrap();
            let partial = in_a_checkpoint(run.path());
            in_checkpoint += usize::from(partial);
            told.push((steps(run.path()).len(), partial));
        }
        let threads = 1 + (kill as usize + 1) % 3;
        run_to_the_end(images.path(), run.path(), threads);
        let found = Result::of(run.path());
        println!(
            "killed after {} and {} of 18 updates{}, finished with {threads} threads",
            told[0].0,
            told[1].0,
            if told.iter().any(|told| told.1) {
                ", in a checkpoint"
            } else {
                ""
            },
        );
        assert!(
            found.updates == expected.updates,
            "kill {kill}: losses differ"
        );
        assert!(
            found.tensors == expected.tensors,
            "kill {kill}: tensors differ"
        );
    }
    println!(
        "{in_checkpoint} of {} kills came while a checkpoint was written",
        2 * kills
    );
}

#[test]
#[cfg(unix)]
fn a_full_disk_stops_the_run_with_its_checkpoints_intact() {
    let images = images();
    let (whole, run) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run_to_the_end(images.path(), whole.path(), 2);
    let mut first = program(images.path(), run.path(), 2);
    first
        .args(["--set", "train.max_steps=4"])
        .stderr(Stdio::null());
    assert!(first.status().unwrap().success());
    let before = Result::of(run.path());
    // With this limit, writing more than 16 KiB to a file gives an error instead of a signal.
    let program = program(images.path(), run.path(), 2);
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 32; exec \"$@\"", "sh"]);
    limited.arg(program.get_program()).args(program.get_args());
    let output = limited.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("cannot save update") && said.contains("run the same command again"),
        "{said}"
    );
    let errors = said.lines().filter(|line| line.starts_with("error: "));
    assert_eq!(errors.count(), 1, "{said}");
    assert!(
        !in_a_checkpoint(run.path()),
        "an incomplete checkpoint is left"
    );
    assert!(Result::of(run.path()).tensors == before.tensors);
    run_to_the_end(images.path(), run.path(), 1);
    assert!(Result::of(run.path()) == Result::of(whole.path()));
}
