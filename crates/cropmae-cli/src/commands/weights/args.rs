//! The options of the commands on weight files.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use cropmae_config::Method;
use cropmae_model::weights::Format;

/// The options of `cropmae import`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cropmae import checkpoint-399.pth                  the reference's checkpoint, decoder included
  cropmae import dino_deitsmall16_pretrain_full_checkpoint.pth --out dino.safetensors
  cropmae import vit-base-patch16-224/               a folder of the Hugging Face hub
  cropmae import dino.pth --key student --encoder-only --out student.safetensors
  cropmae import moco.pth --arch vits16 --num-heads 12

No code in a file is executed. `eval` and `export` also read every file that `import` reads. Import a
file to store it in the format of this program, to give details that the file does not contain, or to
see how its tensors were used (--verbose lists them all).")]
pub struct ImportArgs {
    /// Weight file: .pth of the reference, MAE, DINO or DINOv2, safetensors of timm or Hugging Face, or the folder
    /// that contains one
    #[arg(value_name = "CKPT")]
    pub checkpoint: PathBuf,
    /// File to write [default: beside CKPT, with its name and -imported.safetensors]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Architecture that the file must have: vits16, vitb16, vitl16, vits8, ... [default: derived from the shapes]
    #[arg(long, value_name = "ARCH")]
    pub arch: Option<String>,
    /// Number of attention heads of the encoder [default: derived from the width]
    #[arg(long, value_name = "N")]
    pub num_heads: Option<usize>,
    /// Number of attention heads of the decoder [default: derived from the width or the file's arguments]
    #[arg(long, value_name = "N")]
    pub decoder_num_heads: Option<usize>,
    /// Epsilon of the encoder's layer norms [default: that of the library that the file comes from]
    #[arg(long, value_name = "EPS")]
    pub layer_norm_eps: Option<f64>,
    /// Method of a cross-attention decoder [default: cropmae]
    #[arg(long, value_enum)]
    pub method: Option<MethodArg>,
    /// Which model to read if the file contains several: teacher, student, ... [default: the teacher or the
    /// moving average]
    #[arg(long, value_name = "PREFIX")]
    pub key: Option<String>,
    /// Leave the decoder out
    #[arg(long)]
    pub encoder_only: bool,
}

/// The options of `cropmae export`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cropmae export RUN/last.safetensors --format timm --out vits.safetensors
      timm.create_model('vit_small_patch16_224', num_classes=0, checkpoint_path='vits.safetensors')
  cropmae export RUN/last.safetensors --format hf --out vits-hf
      transformers.ViTModel.from_pretrained('vits-hf', add_pooling_layer=False)
  cropmae export RUN/last.safetensors --format cropmae --out checkpoint.pth
      model.load_state_dict(torch.load('checkpoint.pth', weights_only=True)['model'])

timm and hf contain only the encoder; cropmae also contains the decoder. All of them expect images that
are normalized with ImageNet's mean and standard deviation. Existing files are not overwritten.")]
pub struct ExportArgs {
    /// Weights of a run, or any file that import reads
    #[arg(value_name = "CKPT")]
    pub checkpoint: PathBuf,
    /// Format of the file
    #[arg(long, value_enum)]
    pub format: FormatArg,
    /// File to write, a .safetensors, .pth or .pt file; for hf, a folder
    #[arg(long, value_name = "PATH")]
    pub out: PathBuf,
    /// Leave the decoder out
    #[arg(long)]
    pub encoder_only: bool,
}

/// The options of `cropmae inspect`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cropmae inspect RUN/last.safetensors
  cropmae inspect checkpoint-399.pth")]
pub struct InspectArgs {
    /// Any weight file
    #[arg(value_name = "CKPT")]
    pub checkpoint: PathBuf,
}

/// Values of `--method`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MethodArg {
    /// Two crops of one image
    Cropmae,
    /// Two frames of one video
    Siammae,
}

impl From<MethodArg> for Method {
    fn from(arg: MethodArg) -> Self {
        match arg {
            MethodArg::Cropmae => Self::CropMae,
            MethodArg::Siammae => Self::SiamMae,
        }
    }
}

/// Values of `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FormatArg {
    /// The tensor names of the reference
    Cropmae,
    /// timm's `VisionTransformer`
    Timm,
    /// transformers' `ViTModel`
    Hf,
}

impl From<FormatArg> for Format {
    fn from(arg: FormatArg) -> Self {
        match arg {
            FormatArg::Cropmae => Self::Cropmae,
            FormatArg::Timm => Self::Timm,
            FormatArg::Hf => Self::HuggingFace,
        }
    }
}
