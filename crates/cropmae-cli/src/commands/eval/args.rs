//! Options of `cropmae eval`.

use std::{num::NonZeroUsize, path::PathBuf, sync::LazyLock};

use clap::{Args, ValueEnum, builder::PossibleValue};
use cropmae_config::{FrameSize, Pooling, ProtocolChanges};
use cropmae_eval::{Benchmark, Measures, benchmarks};
use cropmae_run::Axis;

use crate::{device::DeviceArgs, dtype::DtypeArgs};

/// `cropmae eval`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cropmae eval --task davis --checkpoint RUN/last.safetensors --data DAVIS
  cropmae eval --task all --checkpoint RUN/last.safetensors --data DIR   (DIR holds DAVIS, VIP, JHMDB)
  cropmae eval --task vip --checkpoint A --checkpoint B --random-init vits16 --pixels --data VIP
  cropmae eval --task davis --checkpoint A --data DAVIS --dtype bf16
  cropmae eval --task davis --checkpoint A --data DAVIS --sweep top_k=5,7,10 --sweep radius=12,20
  cropmae eval --task classes --checkpoint A --random-init vits16 --data IMAGES   (IMAGES/{train,val}/CLASS)")]
pub struct EvalArgs {
    /// Benchmark
    #[arg(long, value_enum)]
    pub task: TaskArg,
    /// Checkpoint of a run; may be repeated
    #[arg(long = "checkpoint", value_name = "FILE")]
    pub checkpoints: Vec<PathBuf>,
    /// Also score a randomly initialised encoder: vits16, vitb16, vitl16, vits8; may be repeated
    #[arg(long = "random-init", value_name = "ARCH")]
    pub random_init: Vec<String>,
    /// Also score raw pixels, the baseline without any network
    #[arg(long)]
    pub pixels: bool,
    /// The benchmark's folder in its official layout; for `all` a folder that holds DAVIS, VIP and JHMDB
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Where scores, predictions and overlays go [default: eval beside the first checkpoint]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Evaluate the sequences of this file, one name a line, in place of the benchmark's own list
    #[arg(long, value_name = "FILE")]
    pub list: Option<PathBuf>,
    /// Only these sequences of the list, comma separated
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub sequences: Option<Vec<String>>,
    /// Do not draw overlays
    #[arg(long)]
    pub no_overlays: bool,
    /// Compare settings of the protocol instead of writing predictions: every combination of top_k, radius,
    /// temperature and context_frames that is given; frames are encoded once; may be repeated
    #[arg(long, value_name = "KEY=V1,V2,..")]
    pub sweep: Vec<Axis>,
    /// In which number type the encoders compute.
    #[command(flatten)]
    pub dtype: DtypeArgs,
    /// Where the work runs.
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Changes to the reference's protocol.
    #[command(flatten)]
    pub protocol: ProtocolArgs,
    /// Settings of the image-level tasks.
    #[command(flatten)]
    pub classes: ClassesArgs,
}

/// Label-propagation settings; each task's reference values are the defaults.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Protocol (default: the reference's)")]
pub struct ProtocolArgs {
    /// TOML file of changes: sections all, davis, vip, jhmdb with frame_size, top_k, radius, ..;
    /// flags win over it
    #[arg(long = "protocol", value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Size of the encoder's input: HEIGHTxWIDTH, or one number for the longer side (davis 480x880, vip
    /// 880, jhmdb 320x320)
    #[arg(long, value_name = "SIZE")]
    pub size: Option<FrameSize>,
    /// Sources whose labels a cell averages (davis 7, vip 10, jhmdb 7)
    #[arg(long, value_name = "K")]
    pub top_k: Option<NonZeroUsize>,
    /// Grid distance from which on cells of recent frames are excluded (20)
    #[arg(long, value_name = "CELLS")]
    pub radius: Option<f64>,
    /// Divides affinities before the softmax (0.7)
    #[arg(long, value_name = "T")]
    pub temperature: Option<f64>,
    /// Recent frames used as sources (20)
    #[arg(long, value_name = "FRAMES")]
    pub context_frames: Option<usize>,
    /// Frames that stay sources to the end, without a radius, comma separated; N above 0 is frame N + 1,
    /// from frame N + 1 + context on (0)
    #[arg(long, value_delimiter = ',', value_name = "FRAMES")]
    pub long_term_frames: Option<Vec<usize>>,
    /// Take features from this block, from 1 (the last)
    #[arg(long, value_name = "BLOCK")]
    pub feature_block: Option<usize>,
    /// Do not scale features to unit length
    #[arg(long)]
    pub no_l2: bool,
    /// Stretch each cell's soft labels to 0..1 before they become masks
    #[arg(long = "normalize-labels", alias = "normalise-labels")]
    pub normalise_labels: bool,
}

impl ProtocolArgs {
    /// What the flags change.
    pub fn changes(&self) -> ProtocolChanges {
        ProtocolChanges {
            frame_size: self.size,
            top_k: self.top_k.map(usize::from),
            radius: self.radius,
            temperature: self.temperature,
            context_frames: self.context_frames,
            long_term_frames: self.long_term_frames.clone(),
            feature_block: self.feature_block,
            l2_normalise: self.no_l2.then_some(false),
            normalise_labels: self.normalise_labels.then_some(true),
        }
    }
}

/// Values of `--task`.
#[derive(Debug, Clone, Copy)]
pub enum TaskArg {
    /// A benchmark on videos
    Video(&'static dyn Benchmark),
    /// All of them
    AllVideos,
    /// Folders of images by class
    Images(Measures),
}

const NEIGHBORS: Measures = Measures {
    neighbours: true,
    linear: false,
};
const LINEAR: Measures = Measures {
    neighbours: false,
    linear: true,
};
const BOTH: Measures = Measures {
    neighbours: true,
    linear: true,
};

impl TaskArg {
    /// The benchmarks on videos; none for images.
    pub fn videos(self) -> Vec<&'static dyn Benchmark> {
        match self {
            Self::Video(benchmark) => vec![benchmark],
            Self::AllVideos => benchmarks::VIDEO.to_vec(),
            Self::Images(_) => Vec::new(),
        }
    }

    /// What is measured on images; none for videos.
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
                "Folders of images by class, train/CLASS and val/CLASS: top-1 of k nearest neighbours"
                    .to_owned(),
            ),
            Self::Images(LINEAR) => ("linear", "The same folders: top-1 of a linear probe".to_owned()),
            Self::Images(_) => ("classes", "Both, on the same features".to_owned()),
        };
        Some(PossibleValue::new(name).help(help))
    }
}

/// The folders of the benchmarks on videos: `DAVIS, VIP and JHMDB`.
pub fn video_folders() -> String {
    let folders = benchmarks::VIDEO.map(Benchmark::folder);
    match &folders[..] {
        [others @ .., last] if !others.is_empty() => format!("{} and {last}", others.join(", ")),
        _ => folders.concat(),
    }
}

/// Settings of the image-level tasks.
#[derive(Debug, Args)]
#[command(next_help_heading = "Image-level tasks (knn, linear, classes)")]
pub struct ClassesArgs {
    /// The vector that stands for an image, after the final norm; mean-patch for raw pixels, which have no
    /// class token
    #[arg(long, value_enum, default_value_t = PoolingArg::ClassToken)]
    pub pooling: PoolingArg,
    /// Numbers of neighbours that vote, comma separated (10,20,100,200)
    #[arg(
        long = "neighbors",
        alias = "neighbours",
        value_delimiter = ',',
        value_name = "K"
    )]
    pub neighbours: Option<Vec<usize>>,
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
            l2_normalise: false,
            ..Protocol::vip()
        };
        assert_eq!(args.changes().apply(Protocol::vip()), expected);
    }
}
