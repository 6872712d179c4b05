//! `data check` without a task: verifies a source of images.

use std::process::ExitCode;

use anyhow::Result;
use cropmae_config::{DataConfig, Experiment, Samples, Views};
use cropmae_data::{
    Dataset,
    check::{DataReport, Finding, check as inspect},
};

use super::args::CheckArgs;
use crate::console::Console;

/// The number of findings of each kind that are printed. The rest are only counted.
const SHOWN: usize = 10;
/// The length of the longest bar in the histogram, in characters.
const BAR: usize = 40;

/// Returns a recipe in which every image of a source is a sample.
pub fn every_image(max_bad_fraction: f64) -> Result<DataConfig> {
    let mut recipe = Experiment::demo(&[])?.data;
    recipe.views = Views::Single;
    recipe.samples = Samples::Images;
    recipe.max_bad_fraction = max_bad_fraction;
    Ok(recipe)
}

/// Runs the command.
pub fn check(args: &CheckArgs, console: &Console) -> Result<ExitCode> {
    let dataset = Dataset::open(&args.dir, &every_image(args.max_bad_fraction)?)?;
    let bar = console
        .bar(dataset.len() as u64, "images")
        .with_prefix("checking");
    let report = inspect(&dataset, args.tiny_px, &|done| {
        bar.set_position(done as u64)
    });
    bar.finish_and_clear();
    if args.json {
        console.say(serde_json::to_string_pretty(&report)?);
    } else {
        say(&report, args.tiny_px, console);
    }
    let clean = report.broken.is_empty() && report.tiny.is_empty() && report.duplicates.is_empty();
    Ok(if report.refusal.is_some() || (args.strict && !clean) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn say(report: &DataReport, tiny_px: u32, console: &Console) {
    console.say(format!("source       {}", report.source));
    console.say(format!("fingerprint  {}", report.fingerprint));
    console.say(format!(
        "pixels       {:.1} megapixels in total, {:.3} per image",
        report.pixels as f64 / 1e6,
        report.pixels as f64 / 1e6 / report.images as f64
    ));
    console.say(format!(
        "speed        {:.0} images per second and core, including reading and decoding",
        report.images_per_core_second
    ));
    console.say("shorter side");
    let most = report.shorter_sides.iter().map(|(_, n)| *n).max();
    let most = most.unwrap_or(0).max(1);
    let mut from = 1;
    for (upper, n) in &report.shorter_sides {
        let range = match upper {
            Some(upper) => format!("{from} to {upper} px"),
            None => format!("{from} px and more"),
        };
        let line = format!(
            "  {range:>16}  {n:>9}  {}",
            "#".repeat((n * BAR).div_ceil(most))
        );
        console.say(line.trim_end());
        from = upper.unwrap_or(0) + 1;
    }
    list("broken", &report.broken, console);
    list(&format!("tiny (below {tiny_px} px)"), &report.tiny, console);
    list("duplicate", &report.duplicates, console);
    for (what, files) in &report.odd {
        let first = files.iter().take(3).map(|file| file.display().to_string());
        let first = first.collect::<Vec<_>>().join(", ");
        let more = if files.len() > 3 { ", ..." } else { "" };
        console.say(format!("odd: {what}: {} ({first}{more})", files.len()));
    }
    console.say(match &report.refusal {
        Some(refusal) => format!("a run would refuse this data: {refusal}"),
        None => "a run would accept this data".to_owned(),
    });
}

fn list(kind: &str, findings: &[Finding], console: &Console) {
    if findings.is_empty() {
        return;
    }
    console.say(format!("{kind}: {}", findings.len()));
    for Finding { path, what } in findings.iter().take(SHOWN) {
        console.say(format!("  {}: {what}", path.display()));
    }
    if findings.len() > SHOWN {
        console.say(format!("  {} more, see --json", findings.len() - SHOWN));
    }
}
