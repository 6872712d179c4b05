//! `data check --task`: verifies the download of a benchmark.

use std::{collections::BTreeMap, process::ExitCode};

use anyhow::{Result, ensure};
use cropmae_eval::{DataCheck, EvalOptions, Failure, benchmarks};

use super::args::CheckArgs;
use crate::{
    commands::eval::{TaskArg, task_folder},
    console::Console,
};

/// The number of problems and of remarks that are printed. The rest are only counted.
const SHOWN: usize = 20;

/// Runs the command with `--task`.
pub fn check(args: &CheckArgs, console: &Console) -> Result<ExitCode> {
    let tasks = args.task.map_or_else(Vec::new, TaskArg::videos);
    ensure!(
        !tasks.is_empty(),
        "--task: expected one of {}, all; the other tasks have no official download to check",
        benchmarks::VIDEO
            .map(|benchmark| benchmark.name())
            .join(", ")
    );
    let options = EvalOptions {
        list: args.list.clone(),
        sequences: args.sequences.clone(),
        ..EvalOptions::default()
    };
    let mut checks = Vec::new();
    for &task in &tasks {
        let dir = task_folder(&args.dir, task, tasks.len() > 1);
        let bar = console
            .bar(0, "sequences")
            .with_prefix(format!("checking {}", task.name()));
        let found = cropmae_eval::check(task, &dir, &options, &|done, total| {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        });
        bar.finish_and_clear();
        checks.push(found?);
    }
    if args.json {
        console.say(serde_json::to_string_pretty(&checks)?);
    } else {
        checks.iter().for_each(|check| say(check, console));
    }
    let sound = checks.iter().all(|check| check.problems.is_empty());
    Ok(if sound {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn say(check: &DataCheck, console: &Console) {
    let tally = |items: &BTreeMap<String, usize>| {
        let items: Vec<String> = items
            .iter()
            .map(|(what, n)| format!("{what} ({n})"))
            .collect();
        items.join(", ")
    };
    console.say(format!("{}  {}", check.task, check.list.display()));
    console.say(format!(
        "  sequences    {}, {} frames, {} annotation files",
        check.sequences, check.frames, check.annotations
    ));
    console.say(format!("  frame sizes  {}", tally(&check.sizes)));
    if !check.masks.is_empty() {
        console.say(format!("  masks        {}", tally(&check.masks)));
    }
    console.say(format!("  fingerprint  {}", check.fingerprint));
    list("remark", &check.remarks, console);
    list("PROBLEM", &check.problems, console);
    if check.problems.is_empty() {
        console.say("  nothing to fix");
    }
}

fn list(kind: &str, items: &[Failure], console: &Console) {
    for Failure { sequence, message } in items.iter().take(SHOWN) {
        let sequence = match sequence.as_str() {
            "" => String::new(),
            name => format!("{name}: "),
        };
        console.say(format!("  {kind}: {sequence}{message}"));
    }
    if items.len() > SHOWN {
        let more = items.len() - SHOWN;
        console.say(format!("  {kind}: {more} more, see --json"));
    }
}
