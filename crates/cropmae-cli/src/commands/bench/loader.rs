//! `bench loader`: the speed from files to batches of crop pairs, without a model.

use std::{
    num::NonZeroUsize,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use cropmae_config::Experiment;
use cropmae_data::{Dataset, Loader, LoaderConfig, Pixels, StageSeconds};
use serde::{Deserialize, Serialize};

use super::{
    args::LoaderArgs,
    median, peak_rss_mib,
    peer::{self, Flags},
};
use crate::console::Console;

/// The result of a measurement. The first three fields are named as in the output of the PyTorch program.
#[derive(Debug, Serialize)]
pub struct Record {
    workers: usize,
    photos: usize,
    pairs_per_s: f64,
    /// A description of the data set.
    source: String,
    batch: usize,
    /// The number of measured pairs.
    pairs: usize,
    /// The seconds of work in each stage, summed over all threads.
    stage_s: StageSeconds,
    /// The number of unusable files.
    bad_files: usize,
    /// The peak resident memory of the process, in MiB.
    peak_rss_mb: Option<f64>,
}

/// Loads one epoch to warm up, then measures whole epochs until `--seconds` have passed.
pub fn measure(args: &LoaderArgs) -> Result<Record> {
    ensure!(
        args.seconds >= 0.0 && args.seconds.is_finite(),
        "--seconds {}: expected 0 or more",
        args.seconds
    );
    let mut overrides = args.overrides.clone();
    overrides.push(format!("train.batch_size={}", args.batch));
    let experiment = match &args.config {
        Some(path) => Experiment::open(path, &overrides)?,
        None => Experiment::cropmae_in1k(&overrides)?,
    };
    let dataset = Arc::new(Dataset::open(&args.data, &experiment.data)?);
    let mut config = LoaderConfig::of(&experiment, threads(args));
    if args.bytes {
        config.pixels = Pixels::Bytes;
    }
    let loader = Loader::new(Arc::clone(&dataset), config)?;
    let load = |epoch| {
        loader.epoch(epoch, 0).try_fold(0, |pairs, batch| {
            Ok::<_, anyhow::Error>(pairs + batch?.size)
        })
    };
    load(0)?;
    let before = loader.stage_seconds();
    let limit = Duration::from_secs_f64(args.seconds);
    let (start, mut pairs, mut epoch) = (Instant::now(), 0, 1);
    while epoch == 1 || start.elapsed() < limit {
        pairs += load(epoch)?;
        epoch += 1;
    }
    let seconds = start.elapsed().as_secs_f64();
    Ok(Record {
        workers: threads(args),
        photos: dataset.len(),
        pairs_per_s: pairs as f64 / seconds,
        source: dataset.describe(),
        batch: args.batch.get(),
        pairs,
        stage_s: loader.stage_seconds() - before,
        bad_files: loader.bad_files().len(),
        peak_rss_mb: peak_rss_mib(),
    })
}

fn threads(args: &LoaderArgs) -> usize {
    args.threads
        .map_or_else(rayon::current_num_threads, NonZeroUsize::get)
}

impl Record {
    /// Prints the record, as a JSON line or as text.
    pub fn say(&self, json: bool, console: &Console) -> Result<()> {
        if json {
            console.say(serde_json::to_string(self)?);
            return Ok(());
        }
        let threads = if self.workers == 1 { "" } else { "s" };
        let mut text = format!(
            "{}\n{:.1} pairs/s with {} thread{threads}, {} pairs in batches of {}\n",
            self.source, self.pairs_per_s, self.workers, self.pairs, self.batch
        );
        let total = self.stage_s.total();
        for (name, seconds) in self.stage_s.named() {
            text += &format!(
                "  {name:20}{:>6.1} %{:>8.0} us per pair\n",
                100.0 * seconds / total,
                1e6 * seconds / self.pairs as f64
            );
        }
        if self.bad_files > 0 {
            text += &format!("  {} unusable files were replaced\n", self.bad_files);
        }
        let memory = self.peak_rss_mb.map(|mib| format!("{mib:.0} MiB"));
        text += &format!(
            "  memory              {} at the peak",
            memory.as_deref().unwrap_or("unknown")
        );
        console.say(text);
        Ok(())
    }
}

/// The field that both programs print and that is compared.
#[derive(Debug, Deserialize)]
struct Turn {
    pairs_per_s: f64,
}

/// Runs this program and the PyTorch program alternately and prints the medians and their ratio.
pub fn compare(script: &Path, args: &LoaderArgs, console: &Console) -> Result<()> {
    let (ours, theirs) = peer::alternate(script, &args.peer, &flags(args), console)?;
    console.say(table(&ours, &theirs));
    Ok(())
}

/// Returns the arguments of both programs.
///
/// For one thread, the PyTorch program gets no workers, so that it loads in its main thread.
fn flags(args: &LoaderArgs) -> Flags {
    let threads = threads(args);
    let data = args.data.clone().into_os_string();
    let mut own = vec!["loader".into(), "--json".into()];
    own.extend(["--data".into(), data.clone()]);
    own.extend(["--threads".into(), threads.to_string().into()]);
    own.extend(["--batch".into(), args.batch.to_string().into()]);
    own.extend(["--seconds".into(), args.seconds.to_string().into()]);
    if let Some(config) = &args.config {
        own.extend(["--config".into(), config.into()]);
    }
    for text in &args.overrides {
        own.extend(["--set".into(), text.into()]);
    }
    let workers = if threads == 1 { 0 } else { threads };
    let theirs = vec![data, "--workers".into(), workers.to_string().into()];
    Flags { own, theirs }
}

fn table(ours: &[Turn], theirs: &[Turn]) -> String {
    let of = |turns: &[Turn]| median(turns.iter().map(|turn| turn.pairs_per_s).collect());
    let each = |turns: &[Turn]| {
        let each: Vec<String> = turns
            .iter()
            .map(|turn| format!("{:.1}", turn.pairs_per_s))
            .collect();
        each.join(", ")
    };
    let (a, b) = (of(ours), of(theirs));
    format!(
        "{:24}{:>12}{:>12}{:>16}\n{:24}{a:>12.1}{b:>12.1}{:>10.2} times as many\n\
         turns, pairs/s: ours {}; PyTorch {}",
        "",
        "ours",
        "PyTorch",
        "ratio",
        "pairs/s (median)",
        a / b,
        each(ours),
        each(theirs)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_medians() {
        let turns = |rates: [f64; 3]| rates.map(|pairs_per_s| Turn { pairs_per_s });
        let text = table(&turns([500.0, 9.0, 600.0]), &turns([250.0, 90.0, 300.0]));
        assert!(text.contains("2.00 times as many"), "{text}");
        assert!(text.contains("ours 500.0, 9.0, 600.0"), "{text}");
    }
}
