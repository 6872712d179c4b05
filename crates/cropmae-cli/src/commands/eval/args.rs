//! The options of `cropmae eval`.

use std::{num::NonZeroUsize, path::PathBuf, sync::LazyLock};

use clap::{Args, ValueEnum, builder::PossibleValue};
use cropmae_config::{FrameSize, Pooling, ProtocolChanges};
use cropmae_eval::{Benchmark, Measures, benchmarks};
use cropmae_run::Axis;

use crate::{device::DeviceArgs, dtype::DtypeArgs};

/// The options of `cropmae eval`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cropmae eval --task davis --checkpoint RUN/last.safetensors --data DAVIS
  cropmae eval --task all --checkpoint RUN/last.safetensors --data DIR   (DIR contains DAVIS, VIP, JHMDB)
  cropmae eval --task vip --checkpoint A --checkpoint B --random-init vits16 --pixels --data VIP
  cropmae eval --task davis --checkpoint A --data DAVIS --dtype bf16
  cropmae eval --task davis --checkpoint A --data DAVIS --sweep top_k=5,7,10 --sweep radius=12,20
  cropmae eval --task classes --checkpoint A --random-init vits16 --data IMAGES   (IMAGES/{train,val}/CLASS)")]
pub struct EvalArgs {
    /// Benchmark, or task on images
    #[arg(long, value_enum)]
    pub task: TaskArg,
    /// Checkpoint of a run; may be repeated
    #[arg(long = "checkpoint", value_name = "FILE")]
    pub checkpoints: Vec<PathBuf>,
    /// Also score a randomly initialized encoder: vits16, vitb16, vitl16, vits8; may be repeated
    #[arg(long = "random-init", value_name = "ARCH")]
    pub random_init: Vec<String>,
    /// Also score raw pixels, the baseline without a network
    #[arg(long)]
    pub pixels: bool,
    /// Folder of the benchmark in its official layout; for `all`, a folder that contains DAVIS, VIP and JHMDB
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Folder for scores, predictions and overlays [default: eval beside the first checkpoint]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Evaluate the sequences in this file, one name per line, instead of the benchmark's own list
    #[arg(long, value_name = "FILE")]
    pub list: Option<PathBuf>,
    /// Evaluate only these sequences of the list, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub sequences: Option<Vec<String>>,
    /// Do not draw overlays
    #[arg(long)]
    pub no_overlays: bool,
    /// Score every combination of the given values instead of writing predictions; KEY is top_k, radius,
    /// temperature or context_frames; each frame is encoded once; may be repeated
    #[arg(long, value_name = "KEY=V1,V2,..")]
    pub sweep: Vec<Axis>,
    /// The number type of the encoders.
    #[command(flatten)]
    pub dtype: DtypeArgs,
    /// The device and the number of threads.
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Changes to the reference's protocol.
    #[command(flatten)]
    pub protocol: ProtocolArgs,
    /// The settings of the tasks on images.
    #[command(flatten)]
    pub classes: ClassesArgs,
}

/// The settings of label propagation. The defaults are the reference's values for each benchmark.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Protocol (default: the reference's)")]
pub struct ProtocolArgs {
    /// TOML file of changes in the sections all, davis, vip and jhmdb, with keys such as frame_size, top_k
    /// and radius; options on the command line override it
    #[arg(long = "protocol", value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Size of the encoder's input: HEIGHTxWIDTH, or one number for the longer side (davis 480x880, vip
    /// 880, jhmdb 320x320)
    #[arg(long, value_name = "SIZE")]
    pub size: Option<FrameSize>,
    /// Number of sources whose labels are averaged for a cell (davis 7, vip 10, jhmdb 7)
    #[arg(long, value_name = "K")]
    pub top_k: Option<NonZeroUsize>,
    /// Distance in cells from which cells of recent frames are excluded (20)
    #[arg(long, value_name = "CELLS")]
    pub radius: Option<f64>,
    /// Divisor of affinities before the softmax (0.7)
    #[arg(long, value_name = "T")]
    pub temperature: Option<f64>,
    /// Number of recent frames that are sources (20)
    #[arg(long, value_name = "FRAMES")]
    pub context_frames: Option<usize>,
    /// Frames that are sources for the whole video, without a radius, separated by commas; a number N > 0 means
    /// frame N + 1, which is a source from frame N + 1 + context on (0)
    #[arg(long, value_delimiter = ',', value_name = "FRAMES")]
    pub long_term_frames: Option<Vec<usize>>,
    /// Block whose output gives the features, counted from 1 (the last)
    #[arg(long, value_name = "BLOCK")]
    pub feature_block: Option<usize>,
    /// Do not scale features to unit length
    #[arg(long)]
    pub no_l2: bool,
    /// Stretch the soft labels of each cell to 0..1 before they become masks
    #[arg(long = "normalize-labels", alias = "normalise-labels")]
    pub normalize_labels: bool,
}

impl ProtocolArgs {
    /// Returns the changes to a protocol that the options request.
    pub fn changes(&self) -> ProtocolChanges {
        ProtocolChanges {
            frame_size: self.size,
            top_k: self.top_k.map(usize::from),
            radius: self.radius,
            temperature: self.temperature,
            context_frames: self.context_frames,
            long_term_frames: self.long_term_frames.clone(),
            feature_block: self.feature_block,
            l2_normalize: self.no_l2.then_some(false),
            normalize_labels: self.normalize_labels.then_some(true),
        }
    }
}

/// Values of `--task`.
#[derive(Debug, Clone, Copy)]
pub enum TaskArg {
    /// A benchmark on videos
    Video(&'static dyn Benchmark),
    /// All benchmarks on videos
    AllVideos,
    /// A task on folders of images by class
    Images(Measures),
}

const NEIGHBORS: Measures = Measures {
    neighbors: true,
    linear: false,
};
const LINEAR: Measures = Measures {
    neighbors: false,
    linear: true,
};
const BOTH: Measures = Measures {
    neighbors: true,
    linear: true,
};

impl TaskArg {
    /// Returns the benchmarks on videos, of which a task on images has none.
    pub fn videos(self) -> Vec<&'static dyn Benchmark> {
        match self {
            Self::Video(benchmark) => vec![benchmark],
            Self::AllVideos => benchmarks::VIDEO.to_vec(),
            Self::Images(_) => Vec::new(),
        }
    }

    /// Returns the measures of a task on images, or `None` for videos.
    pub fn measures(self) -> Option<Measures> {
        match self {
            Self::Images(measures) => Some(measures),
            Self::Video(_) | Self::AllVideos => None,
        }
    }
}

impl ValueEnum for TaskArg {
    fn value_variants<'a>() -> &'a [Self] {
        static VALUES: LazyLock<Vec<TaskArg>> = LazyLock::new(|| {
            let videos = benchmarks::VIDEO.into_iter().map(TaskArg::Video);
            let images = [NEIGHBORS, LINEAR, BOTH].map(TaskArg::Images);
            videos.chain([TaskArg::AllVideos]).chain(images).collect()
        });
        &VALUES
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let (name, help) = match *self {
            Self::Video(benchmark) => (benchmark.name(), benchmark.about().to_owned()),
            Self::AllVideos => ("all", video_folders()),
            Self::Images(NEIGHBORS) => (
                "knn",
                "Top-1 accuracy of k nearest neighbors on folders of images, train/CLASS and val/CLASS"
                    .to_owned(),
            ),
            Self::Images(LINEAR) => ("linear", "Top-1 accuracy of a linear probe on the same folders".to_owned()),
            Self::Images(_) => ("classes", "Both, on the same features".to_owned()),
        };
        Some(PossibleValue::new(name).help(help))
    }
}

/// Returns the names of the folders of the benchmarks on videos: `DAVIS, VIP and JHMDB`.
pub fn video_folders() -> String {
    let folders = benchmarks::VIDEO.map(Benchmark::folder);
    match &folders[..] {
        [others @ .., last] if !others.is_empty() => format!("{} and {last}", others.join(", ")),
        _ => folders.concat(),
    }
}

/// The settings of the tasks on images.
#[derive(Debug, Args)]
#[command(next_help_heading = "Tasks on images (knn, linear, classes)")]
pub struct ClassesArgs {
    /// Vector that represents an image, after the final norm; raw pixels have no class token and need
    /// mean-patch
    #[arg(long, value_enum, default_value_t = PoolingArg::ClassToken)]
    pub pooling: PoolingArg,
    /// Numbers of neighbors that vote, separated by commas (10,20,100,200)
    #[arg(
        long = "neighbors",
        alias = "neighbours",
        value_delimiter = ',',
        value_name = "K"
    )]
    pub neighbors: Option<Vec<usize>>,
}

/// Values of `--pooling`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PoolingArg {
    /// The class token
    ClassToken,
    /// The mean of the patch tokens
    MeanPatch,
}

impl From<PoolingArg> for Pooling {
    fn from(arg: PoolingArg) -> Self {
        match arg {
            PoolingArg::ClassToken => Self::ClassToken,
            PoolingArg::MeanPatch => Self::MeanPatch,
        }
    }
}

#[cfg(test)]
mod tests {
    use cropmae_config::Protocol;

    use super::*;

    #[test]
    fn flags_change_the_protocol_and_nothing_else() {
        let args = ProtocolArgs {
            top_k: NonZeroUsize::new(3),
            temperature: Some(0.1),
            no_l2: true,
            ..ProtocolArgs::default()
        };
        let expected = Protocol {
            top_k: 3,
            temperature: 0.1,
            l2_normalize: false,
            ..Protocol::vip()
        };
        assert_eq!(args.changes().apply(Protocol::vip()), expected);
    }
}
