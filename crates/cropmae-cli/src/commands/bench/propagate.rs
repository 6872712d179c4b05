//! `bench propagate`: a whole evaluation of one DAVIS sequence, and its three main stages one by one.

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

/// Soft labels a cell, as in the PyTorch program.
const LABELS: usize = 3;

/// One measurement, under the field names of the PyTorch program's output.
#[derive(Debug, Serialize, Deserialize)]
pub struct Timing {
    frames: usize,
    /// Of the encoder, as it ran.
    #[serde(default = "peer_dtype")]
    dtype: String,
    /// Decoding, resizing and normalising, alone.
    load_ms_per_frame: f64,
    /// The encoder, alone. PyTorch's is the mean over its frames, 20 copies of frame 0 among them.
    encode_ms_per_frame: f64,
    /// Packing and propagation, alone.
    propagate_ms_per_frame: f64,
    /// From making the encoder to the last frame; ours also scores and writes the masks.
    total_s: f64,
    /// Largest resident set of the whole evaluation, in MiB.
    peak_rss_mb: Option<f64>,
}

/// The PyTorch program knows no other and does not say it.
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

/// The same measurement on the command lines of both programs.
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

/// The sequence asked for, or the first one of the data set's list.
fn sequence(args: &PropagateArgs) -> Result<String> {
    if let Some(name) = &args.sequence {
        return Ok(name.clone());
    }
    let names = Davis.list(&args.data)?.names;
    names
        .into_iter()
        .next()
        .context("a list without a sequence")
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
    // Whether or not the evaluation came to write anything.
    let _ = std::fs::remove_dir_all(&out);
    evaluated?;
    // Before the stages, which hold what an evaluation does not.
    let peak_rss_mb = peak_rss_mib();
    let files = Davis.files(&args.data, &sequence)?;
    let frames = files.frames.len();
    let [load, encode, propagate] = stages(files.frames, encoder)?;
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

/// Time of loading, encoding and propagating: the stages of an evaluation, which overlaps them, each by itself.
fn stages(frames: Vec<PathBuf>, encoder: &dyn FeatureExtractor) -> Result<[Duration; 3]> {
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
        let encoded = Instant::now();
        for frame in encoding.pack(&video, features)? {
            tracks.advance(frame.features);
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
             load       {:.1} ms a frame\n  \
             encode     {:.1} ms a frame\n  \
             propagate  {:.1} ms a frame\n  \
             evaluation {:.2} s in all, masks and scores included; {memory}",
            self.frames,
            self.dtype,
            self.load_ms_per_frame,
            self.encode_ms_per_frame,
            self.propagate_ms_per_frame,
            self.total_s,
        )
    }
}
