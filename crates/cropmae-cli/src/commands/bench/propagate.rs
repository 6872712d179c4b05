//! `bench propagate`: the speed of a whole evaluation of one DAVIS sequence, and of its three main stages.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use candle_core::Device;
use cropmae_config::{ModelConfig, Seed};
use cropmae_eval::{
    Benchmark, Davis, EvalOptions,
    benchmarks::davis::LAYOUT,
    evaluate,
    run::{Encoding, Sizes, SoftLabels, Tracks},
};
use cropmae_model::{Compute, FeatureExtractor};
use cropmae_run::Contestant;
use serde::{Deserialize, Serialize};

use super::{
    args::PropagateArgs,
    peak_rss_mib,
    peer::{self, Better, Flags, Row},
    script::{self, Script},
};
use crate::{console::Console, device, dtype::dtype_name};

/// The number of soft labels per cell, as in the PyTorch program.
const LABELS: usize = 3;

/// One measurement, with the field names of the PyTorch program's output.
#[derive(Debug, Serialize, Deserialize)]
pub struct Timing {
    frames: usize,
    /// The number type in which the encoder ran.
    #[serde(default = "peer_dtype")]
    dtype: String,
    /// The time of decoding, resizing and normalizing alone.
    load_ms_per_frame: f64,
    /// The time of the encoder alone. PyTorch's is the mean over all its frames, including 20 copies of frame 0.
    encode_ms_per_frame: f64,
    /// The time of packing and propagation alone.
    propagate_ms_per_frame: f64,
    /// The time from the creation of the encoder to the last frame. Ours includes scoring and writing the masks.
    total_s: f64,
    /// The peak resident memory of the whole evaluation, in MiB.
    peak_rss_mb: Option<f64>,
}

/// Returns the only number type of the PyTorch program, which does not print it.
fn peer_dtype() -> String {
    dtype_name(Compute::F32).to_owned()
}

/// Runs the command.
pub fn run(args: &PropagateArgs, console: &Console) -> Result<()> {
    let Some(script) = Script::of(&args.peer, script::PROPAGATE)? else {
        let timing = measure(args)?;
        console.say(if args.json {
            serde_json::to_string(&timing)?
        } else {
            timing.render()
        });
        return Ok(());
    };
    let rows: [Row<Timing>; 5] = [
        Row::new("load, ms a frame", Better::Less, |t| t.load_ms_per_frame),
        Row::new("encode, ms a frame", Better::Less, |t| {
            t.encode_ms_per_frame
        }),
        Row::new("propagate, ms a frame", Better::Less, |t| {
            t.propagate_ms_per_frame
        }),
        Row::new("whole evaluation, s", Better::Less, |t| t.total_s),
        Row::new("peak memory, MiB", Better::Share, |t| {
            t.peak_rss_mb.unwrap_or(f64::NAN)
        }),
    ];
    let (ours, theirs): (Vec<Timing>, Vec<Timing>) =
        peer::alternate(script.path(), &args.peer, &flags(args)?, console)?;
    if let ([ours, ..], [theirs, ..]) = (&ours[..], &theirs[..])
        && ours.dtype != theirs.dtype
        && !args.json
    {
        let (ours, theirs) = (&ours.dtype, &theirs.dtype);
        console.say(format!("encoder: ours in {ours}, PyTorch's in {theirs}"));
    }
    console.say(if args.json {
        peer::json(&ours, &theirs, &rows)?
    } else {
        peer::table(&ours, &theirs, &rows)
    });
    Ok(())
}

/// Returns the arguments of both programs for this measurement.
fn flags(args: &PropagateArgs) -> Result<Flags> {
    let sequence = sequence(args)?;
    let protocol = Davis.protocol();
    let mut own: Vec<OsString> = vec!["propagate".into(), "--json".into()];
    let mut option = |name: &str, value: OsString| own.extend([name.into(), value]);
    option("--data", args.data.clone().into());
    option("--sequence", sequence.clone().into());
    option("--arch", args.arch.clone().into());
    option("--dtype", args.dtype.name_on(&Device::Cpu).into());
    if let Some(checkpoint) = &args.checkpoint {
        option("--checkpoint", checkpoint.clone().into());
    }
    let threads = args.device.threads();
    option("--threads", threads.to_string().into());
    let mut theirs: Vec<OsString> = vec![LAYOUT.frames_of(&args.data, &sequence).into()];
    for (name, value) in [
        ("--threads", threads.to_string()),
        ("--context", protocol.context_frames.to_string()),
        ("--radius", protocol.radius.to_string()),
        ("--topk", protocol.top_k.to_string()),
        ("--temperature", protocol.temperature.to_string()),
        ("--labels", LABELS.to_string()),
    ] {
        theirs.extend([name.into(), value.into()]);
    }
    Ok(Flags { own, theirs })
}

/// Returns the requested sequence, or the first one in the list of the data set.
fn sequence(args: &PropagateArgs) -> Result<String> {
    if let Some(name) = &args.sequence {
        return Ok(name.clone());
    }
    let names = Davis.list(&args.data)?.names;
    names
        .into_iter()
        .next()
        .with_context(|| format!("{}: the list of sequences is empty", args.data.display()))
}

fn measure(args: &PropagateArgs) -> Result<Timing> {
    let device = device::open(&args.device)?;
    let execution = args.dtype.execution();
    let start = Instant::now();
    let contestant = match &args.checkpoint {
        Some(path) => Contestant::checkpoint("checkpoint", path, execution, &device)?,
        None => {
            let config = ModelConfig::preset(&args.arch)?;
            Contestant::random(&args.arch, &config, Seed(0), execution, &device)?
        }
    };
    let encoder = contestant.encoder.as_ref();
    let out = std::env::temp_dir().join(format!("cropmae-bench-{}", std::process::id()));
    let sequence = sequence(args)?;
    let evaluated = evaluate_sequence(&args.data, &sequence, encoder, &out);
    let total = start.elapsed();
    // The folder does not exist if the evaluation failed before it wrote anything.
    let _ = std::fs::remove_dir_all(&out);
    evaluated?;
    // Read before the stages are measured, because they use memory that an evaluation does not.
    let peak_rss_mb = peak_rss_mib();
    let files = Davis.files(&args.data, &sequence)?;
    let frames = files.frames.len();
    let [load, encode, propagate] = stages(files.frames, encoder, &device)?;
    let per_frame = |time: Duration| 1e3 * time.as_secs_f64() / frames as f64;
    Ok(Timing {
        frames,
        dtype: dtype_name(encoder.compute()).to_owned(),
        load_ms_per_frame: per_frame(load),
        encode_ms_per_frame: per_frame(encode),
        propagate_ms_per_frame: per_frame(propagate),
        total_s: total.as_secs_f64(),
        peak_rss_mb,
    })
}

/// Evaluates the sequence as `eval` does.
fn evaluate_sequence(
    data: &Path,
    sequence: &str,
    encoder: &dyn FeatureExtractor,
    out: &Path,
) -> Result<()> {
    let options = EvalOptions {
        out: Some(out.to_owned()),
        sequences: Some(vec![sequence.to_owned()]),
        ..EvalOptions::default()
    };
    let protocol = Davis.protocol();
    evaluate(&Davis, data, encoder, &protocol, &options, &mut ())?;
    Ok(())
}

/// Returns the times of loading, encoding and propagating, each alone. An evaluation overlaps these stages.
fn stages(
    frames: Vec<PathBuf>,
    encoder: &dyn FeatureExtractor,
    device: &Device,
) -> Result<[Duration; 3]> {
    let settings = [Davis.protocol()];
    let mut sizes = Sizes::new(settings[0].frame_size, encoder.patch_size());
    let video = sizes.video("bench", frames)?;
    let encoding = Encoding::new(encoder, &settings[0]);
    let labels = (0..video.grid.cells() * LABELS).map(|i| (i % 7) as f32 / 7.0);
    let first = SoftLabels {
        values: labels.collect(),
        classes: LABELS,
    };
    let mut tracks = Tracks::new(&settings, first);
    let mut times = [Duration::ZERO; 3];
    for batch in video.batches() {
        let start = Instant::now();
        let batch = video.load(batch)?;
        let loaded = Instant::now();
        let features = encoding.encode(&video, batch)?;
        device.synchronize()?;
        let encoded = Instant::now();
        for frame in encoding.pack(&video, features)? {
            tracks.advance(&frame.features)?;
        }
        times[0] += loaded - start;
        times[1] += encoded - loaded;
        times[2] += encoded.elapsed();
    }
    Ok(times)
}

impl Timing {
    fn render(&self) -> String {
        let memory = self.peak_rss_mb.map_or_else(
            || "peak unknown".to_owned(),
            |mib| format!("{mib:.0} MiB at the peak"),
        );
        format!(
            "{} frames, encoder in {}\n  \
             load       {:.1} ms per frame\n  \
             encode     {:.1} ms per frame\n  \
             propagate  {:.1} ms per frame\n  \
             evaluation {:.2} s in total, with masks and scores; {memory}",
            self.frames,
            self.dtype,
            self.load_ms_per_frame,
            self.encode_ms_per_frame,
            self.propagate_ms_per_frame,
            self.total_s,
        )
    }
}
