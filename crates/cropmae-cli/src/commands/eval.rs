//! `eval`: encoders by tasks, a table, predictions and overlays.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Result, ensure};
use candle_core::Device;
use cropmae_config::{ModelConfig, Protocol, ProtocolFile, Seed};
use cropmae_eval::{Benchmark, Davis, EvalOptions, Jhmdb, TaskReport, Vip, benchmarks, evaluate};
use cropmae_model::{Compute, Execution, FeatureExtractor, RawPixels, VitFeatures, weights};
use cropmae_scenes::{ScenesPaths, VIDEO_SIZE};

use super::{
    classes,
    overlays::Overlays,
    runs,
    scoreboard::{Report, Scoreboard},
    sweep,
};
use crate::{args::EvalArgs, console::Console, device};

/// Mean colours per side of a cell in the raw-pixel baseline.
const RAW_PIXEL_POOL: usize = 4;

/// Runs the command.
pub fn run(args: &EvalArgs, console: &Console) -> Result<ExitCode> {
    let device = device::open(&args.device)?;
    let contestants = contestants(args, &device)?;
    let out = args.out.clone().unwrap_or_else(|| default_out(args));
    let tasks = args.task.videos();
    let file = match &args.protocol.file {
        Some(path) => ProtocolFile::load(path, &benchmarks::VIDEO.map(Benchmark::name))?,
        None => ProtocolFile::default(),
    };
    let suite = Suite {
        tasks: tasks
            .iter()
            .map(|&benchmark| Planned {
                benchmark,
                data: task_folder(&args.data, benchmark, tasks.len() > 1),
                protocol: protocol(benchmark, &file, args),
            })
            .collect(),
        list: args.list.clone(),
        sequences: args.sequences.clone(),
        overlays: !args.no_overlays,
        out: out.clone(),
    };
    if !args.sweep.is_empty() {
        return sweep::run(&suite, &contestants, &args.sweep, console);
    }
    let board = match args.task.measures() {
        Some(measures) => classes::run(args, measures, &contestants, &out, console)?,
        None => suite.run(&contestants, console)?,
    };
    console.say(board.render());
    board.write(&out.join("report.json"))?;
    console.say(format!(
        "scores, predictions and overlays: {}",
        out.display()
    ));
    let failures = board.failures();
    for failure in &failures {
        console.say(format!("not scored: {failure}"));
    }
    Ok(if failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// An encoder under a short name, which is also its folder.
pub struct Contestant {
    /// Row of the table.
    pub name: String,
    /// The encoder.
    pub encoder: Box<dyn FeatureExtractor>,
    /// SHA-256 of the weight file, where there is one.
    pub weights: Option<String>,
}

impl Contestant {
    /// The encoder of a checkpoint, a file or a folder that holds one.
    pub fn checkpoint(
        name: String,
        path: &Path,
        execution: Execution,
        device: &Device,
    ) -> Result<Self> {
        let path = &weights::locate(path)?;
        let encoder = VitFeatures::load(path, device)?.with_execution(execution);
        Ok(Self {
            name,
            encoder: Box::new(encoder),
            weights: Some(runs::file_hash(path)?),
        })
    }

    /// An untrained encoder.
    pub fn random(
        name: String,
        config: &ModelConfig,
        seed: Seed,
        execution: Execution,
        device: &Device,
    ) -> Result<Self> {
        let encoder = VitFeatures::random(config, seed, device)?.with_execution(execution);
        Ok(Self {
            name,
            encoder: Box::new(encoder),
            weights: None,
        })
    }

    /// No network at all.
    pub fn pixels(patch_size: usize) -> Result<Self> {
        let encoder = Box::new(RawPixels::new(patch_size, RAW_PIXEL_POOL)?);
        Ok(Self {
            name: "raw-pixels".to_owned(),
            encoder,
            weights: None,
        })
    }
}

fn contestants(args: &EvalArgs, device: &Device) -> Result<Vec<Contestant>> {
    let execution = args.dtype.execution();
    let mut contestants: Vec<Contestant> = Vec::new();
    for path in &args.checkpoints {
        let name = checkpoint_name(path);
        contestants.push(Contestant::checkpoint(name, path, execution, device)?);
    }
    for arch in &args.random_init {
        let config = ModelConfig::preset(arch)?;
        let name = format!("random-{arch}");
        let seed = Seed(0);
        contestants.push(Contestant::random(name, &config, seed, execution, device)?);
    }
    let network = contestants.first().map(|first| first.encoder.as_ref());
    if network.is_some_and(|network| network.compute() != execution.compute) {
        let device = device.location();
        tracing::warn!(
            "--dtype bf16: {device:?} has no such instructions, encoders compute in f32"
        );
    }
    if args.pixels {
        let patch_size = network.map_or(16, FeatureExtractor::patch_size);
        contestants.push(Contestant::pixels(patch_size)?);
    }
    ensure!(
        !contestants.is_empty(),
        "nothing to score: name at least one of --checkpoint FILE, --random-init ARCH, --pixels"
    );
    Ok(named_apart(contestants))
}

/// The same with names that no two share, and that say what is not computed in f32.
fn named_apart(mut contestants: Vec<Contestant>) -> Vec<Contestant> {
    let mut taken: Vec<String> = Vec::new();
    for contestant in &mut contestants {
        let mut name = contestant.name.clone();
        if contestant.encoder.compute() == Compute::Bf16 {
            name.push_str("-bf16");
        }
        contestant.name = unused_name(name, |name| taken.iter().any(|other| other == name));
        taken.push(contestant.name.clone());
    }
    contestants
}

/// `RUN` for `runs/RUN/last.safetensors`, `RUN-NAME` for any other file in a run folder.
fn checkpoint_name(path: &Path) -> String {
    let folder = path
        .parent()
        .and_then(Path::file_name)
        .map(|name| name.to_string_lossy().into_owned());
    let stem = path
        .file_stem()
        .map_or_else(|| "checkpoint".into(), |stem| stem.to_string_lossy());
    match folder {
        Some(folder) if stem == "last" => folder,
        Some(folder) => format!("{folder}-{stem}"),
        None => stem.into_owned(),
    }
}

fn unused_name(name: String, taken: impl Fn(&str) -> bool) -> String {
    let mut candidate = name.clone();
    let mut count = 1;
    while taken(&candidate) {
        count += 1;
        candidate = format!("{name}-{count}");
    }
    candidate
}

/// `eval` beside the first checkpoint, or in the folder of all runs.
fn default_out(args: &EvalArgs) -> PathBuf {
    let beside = args.checkpoints.first().and_then(|path| path.parent());
    beside.map_or_else(runs::root, Path::to_owned).join("eval")
}

/// `data` itself for one benchmark, its subfolder when it holds them all.
pub fn task_folder(data: &Path, benchmark: &dyn Benchmark, all: bool) -> PathBuf {
    let folder = data.join(benchmark.folder());
    if all || folder.is_dir() {
        folder
    } else {
        data.to_owned()
    }
}

/// The benchmark's protocol with the changes of the file, then those of the flags.
fn protocol(benchmark: &dyn Benchmark, file: &ProtocolFile, args: &EvalArgs) -> Protocol {
    let changed = file.apply(benchmark.name(), benchmark.protocol());
    args.protocol.changes().apply(changed)
}

/// A benchmark about to run.
pub struct Planned {
    /// The benchmark.
    pub benchmark: &'static dyn Benchmark,
    /// Its data set.
    pub data: PathBuf,
    /// The numbers that decide it.
    pub protocol: Protocol,
}

/// The benchmarks on the videos that come with the procedural data set.
pub fn scenes_tasks(scenes: &ScenesPaths) -> Vec<Planned> {
    let tasks: [(&'static dyn Benchmark, _, _); 3] = [
        (&Davis, &scenes.davis, VIDEO_SIZE),
        (&Vip, &scenes.vip, VIDEO_SIZE),
        (&Jhmdb, &scenes.jhmdb, Jhmdb.protocol().frame_size),
    ];
    tasks
        .map(|(benchmark, data, frame_size)| Planned {
            benchmark,
            data: data.clone(),
            protocol: Protocol {
                frame_size,
                ..benchmark.protocol()
            },
        })
        .into()
}

/// Tasks to run and where results go.
pub struct Suite {
    /// The tasks, in order.
    pub tasks: Vec<Planned>,
    /// Sequences in place of the benchmarks' own lists.
    pub list: Option<PathBuf>,
    /// Only these sequences.
    pub sequences: Option<Vec<String>>,
    /// Whether to draw overlays.
    pub overlays: bool,
    /// Folder of all results: OUT/ENCODER/TASK.
    pub out: PathBuf,
}

impl Suite {
    /// Scores every contestant on every task.
    pub fn run(&self, contestants: &[Contestant], console: &Console) -> Result<Scoreboard> {
        let mut board = Scoreboard::new(runs::git_revision());
        for planned in &self.tasks {
            for contestant in contestants {
                let report = self.score(planned, contestant, console)?;
                board.add(&contestant.name, Report::Video(Box::new(report)));
            }
        }
        Ok(board)
    }

    fn score(
        &self,
        planned: &Planned,
        contestant: &Contestant,
        console: &Console,
    ) -> Result<TaskReport> {
        let Planned {
            benchmark,
            data,
            protocol,
        } = planned;
        let out = self.out.join(&contestant.name).join(benchmark.name());
        let label = format!("{} {}", benchmark.name(), contestant.name);
        let mut observer =
            Overlays::new(&label, self.overlays.then(|| out.join("overlays")), console);
        let options = EvalOptions {
            out: Some(out),
            ..self.options(contestant)
        };
        let encoder = contestant.encoder.as_ref();
        let report = evaluate(*benchmark, data, encoder, protocol, &options, &mut observer);
        observer.finish()?;
        Ok(report?)
    }

    /// What to evaluate of a data set.
    pub fn options(&self, contestant: &Contestant) -> EvalOptions {
        EvalOptions {
            out: None,
            list: self.list.clone(),
            sequences: self.sequences.clone(),
            max_sequences: None,
            weights_sha256: contestant.weights.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_are_named_after_their_run() {
        assert_eq!(checkpoint_name(Path::new("runs/a/last.safetensors")), "a");
        assert_eq!(
            checkpoint_name(Path::new("runs/a/epoch_3.safetensors")),
            "a-epoch_3"
        );
        assert_eq!(unused_name("a".into(), |name| name == "a"), "a-2");
    }

    #[test]
    fn names_say_what_is_not_f32_and_are_never_shared() {
        let named = |compute| {
            let execution = Execution {
                compute,
                ..Execution::default()
            };
            let tiny = ModelConfig {
                embed_dim: 12,
                depth: 1,
                num_heads: 1,
                ..ModelConfig::preset("vits16").unwrap()
            };
            let random =
                || Contestant::random("a".into(), &tiny, Seed(0), execution, &Device::Cpu).unwrap();
            let contestants = vec![random(), random(), Contestant::pixels(16).unwrap()];
            let names = named_apart(contestants).into_iter().map(|one| one.name);
            names.collect::<Vec<_>>()
        };
        assert_eq!(named(Compute::F32), ["a", "a-2", "raw-pixels"]);
        if Compute::Bf16.available_on(&Device::Cpu) == Compute::Bf16 {
            let expected = ["a-bf16", "a-bf16-2", "raw-pixels"];
            assert_eq!(named(Compute::Bf16), expected);
        }
    }
}
