//! The typed experiment file: one struct per TOML table, every key spelled with its unit.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Seed;

/// Everything that decides a pre-training run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// Where the recipe comes from and what to expect of it.
    pub about: About,
    /// Which member of the family is trained.
    pub method: Method,
    /// Root of all randomness: crops, masks, order, initialisation, dropout.
    #[serde(default)]
    pub seed: Seed,
    /// How images become views.
    pub data: DataConfig,
    /// Encoder and decoder.
    pub model: ModelConfig,
    /// Masking of the reconstructed view.
    pub mask: MaskConfig,
    /// What the decoder is asked to predict.
    pub loss: LossConfig,
    /// AdamW and the scaling of its learning rate.
    pub optim: OptimConfig,
    /// Warm-up and decay of the learning rate.
    pub schedule: ScheduleConfig,
    /// Batches and epochs.
    pub train: TrainConfig,
    /// When checkpoints are written and which are kept.
    #[serde(default)]
    pub checkpoint: CheckpointConfig,
}

/// Provenance of a recipe. Free text for people; nothing here changes a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct About {
    /// Short name, used for the default run folder.
    pub name: String,
    /// Paper and table that the recipe reproduces.
    pub paper: String,
    /// The command that runs it.
    pub command: String,
    /// Score to expect, with its source.
    pub expected: String,
    /// Hardware and hours of the published run, with their source.
    pub cost: String,
}

/// Members of the family. They differ by a sampler of views and a decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Two crops of one image, cross-attention decoder (Eymaël et al., ECCV 2024).
    CropMae,
    /// Two frames of one video, cross-attention decoder (Gupta et al., NeurIPS 2023).
    SiamMae,
    /// One view, self-attention decoder (He et al., CVPR 2022).
    Mae,
}

/// How one sample becomes its views. View 1 is seen whole, view 2 is masked and reconstructed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Views {
    /// View 2 is a crop of view 1 (the published CropMAE).
    GlobalToLocal,
    /// View 1 is a crop of view 2.
    LocalToGlobal,
    /// Two independent global crops of the image.
    RandomViews,
    /// One global crop used twice.
    SameViews,
    /// Two frames of a video under one crop box and one flip (SiamMAE).
    FramePair,
    /// One crop (MAE).
    Single,
}

impl Views {
    /// Views per sample: 1 for MAE, otherwise 2.
    pub fn count(self) -> usize {
        if self == Self::Single { 1 } else { 2 }
    }
}

/// How a crop box is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sampler {
    /// Ten tries, then a centre crop: what the published runs executed.
    Rejection,
    /// One try, clipped to the image: the paper's text.
    Uniform,
}

/// Resampling filter, always antialiased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    /// Triangle filter.
    Bilinear,
    /// Cubic filter with a = -0.5.
    Bicubic,
}

/// How images become views.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// View strategy; must suit the method.
    pub views: Views,
    /// Range of the global crop's share of the image area.
    pub global_scale: [f64; 2],
    /// Range of the local crop's share of the global crop's area; only for the strategies that cut one.
    pub local_scale: [f64; 2],
    /// Range of the crops' width / height, drawn log-uniformly.
    pub aspect_ratio: [f64; 2],
    /// How boxes are drawn.
    pub sampler: Sampler,
    /// Filter for resizing crops to the model's input.
    pub interpolation: Interpolation,
    /// Chance of a horizontal flip, drawn for each view on its own.
    pub flip_prob: f64,
    /// Inclusive range of the distance between two frames of a pair, in frames.
    #[serde(default = "default_frame_gap")]
    pub frame_gap: [u32; 2],
    /// Images with more pixels than this are refused as decompression bombs, in megapixels.
    #[serde(default = "default_max_megapixels")]
    pub max_megapixels: u32,
    /// Share of unreadable files above which a run stops.
    #[serde(default = "default_max_bad_fraction")]
    pub max_bad_fraction: f64,
    /// Batches decoded ahead of the model.
    #[serde(default = "default_prefetch_batches")]
    pub prefetch_batches: usize,
    /// A procedural data set made on the spot when no folder is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenes: Option<ScenesConfig>,
}

fn default_frame_gap() -> [u32; 2] {
    [4, 47]
}
fn default_max_megapixels() -> u32 {
    200
}
fn default_max_bad_fraction() -> f64 {
    0.01
}
fn default_prefetch_batches() -> usize {
    4
}

/// Size of the procedural data set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScenesConfig {
    /// Number of training images.
    pub images: usize,
    /// Width and height of a training image, in pixels.
    pub image_px: u32,
    /// Number of evaluation videos per task.
    pub videos: usize,
    /// Frames of an evaluation video.
    pub video_frames: usize,
}

/// Encoder and decoder shapes, in the reference's names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Width and height of the training input, in pixels.
    pub image_size: usize,
    /// Width and height of a patch, in pixels.
    pub patch_size: usize,
    /// Encoder width D.
    pub embed_dim: usize,
    /// Encoder blocks.
    pub depth: usize,
    /// Encoder attention heads.
    pub num_heads: usize,
    /// MLP width over encoder width.
    #[serde(default = "default_mlp_ratio")]
    pub mlp_ratio: f64,
    /// Decoder width Dd.
    pub decoder_embed_dim: usize,
    /// Decoder layers.
    pub decoder_depth: usize,
    /// Decoder attention heads.
    pub decoder_num_heads: usize,
    /// Dropout inside the cross-attention decoder; MAE has none.
    #[serde(default = "default_dropout")]
    pub decoder_dropout: f64,
}

fn default_mlp_ratio() -> f64 {
    4.0
}
fn default_dropout() -> f64 {
    0.1
}

impl ModelConfig {
    /// Patches along one side of the training input.
    pub fn grid(&self) -> usize {
        self.image_size / self.patch_size
    }

    /// Patches of a training input, N.
    pub fn num_patches(&self) -> usize {
        self.grid() * self.grid()
    }

    /// Values of one RGB patch.
    pub fn patch_values(&self) -> usize {
        self.patch_size * self.patch_size * 3
    }
}

/// Masking of the reconstructed view.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaskConfig {
    /// Share of patches removed.
    pub ratio: f64,
}

impl MaskConfig {
    /// Visible patches of `num_patches`: `trunc(N * (1 - ratio))`, the product taken in f64.
    ///
    /// The order of operations is the reference's and matters: `N - trunc(N * ratio)` and f32
    /// arithmetic give other counts.
    ///
    /// ```
    /// let mask = cropmae_config::MaskConfig { ratio: 0.985 };
    /// assert_eq!(mask.len_keep(196), 2);
    /// ```
    pub fn len_keep(&self, num_patches: usize) -> usize {
        (num_patches as f64 * (1.0 - self.ratio)) as usize
    }
}

/// What the decoder is asked to predict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossConfig {
    /// Normalise each target patch by its own mean and standard deviation.
    pub norm_pix: bool,
}

/// AdamW and the scaling of its learning rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimConfig {
    /// Learning rate per 256 images of effective batch.
    pub blr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the denominator.
    #[serde(default = "default_eps")]
    pub eps: f64,
    /// Decoupled weight decay; biases and 1-D tensors have none.
    pub weight_decay: f64,
    /// Global gradient norm above which gradients are scaled down; none when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_grad_norm: Option<f64>,
}

fn default_eps() -> f64 {
    1e-8
}

impl OptimConfig {
    /// Peak learning rate for `effective_batch` images per update.
    pub fn peak_lr(&self, effective_batch: usize) -> f64 {
        self.blr * effective_batch as f64 / 256.0
    }
}

/// Warm-up and decay of the learning rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleConfig {
    /// Linear warm-up, in epochs (fractions allowed).
    pub warmup_epochs: f64,
    /// Where the half cosine ends.
    pub min_lr: f64,
    /// Run each update with the rate of the update before, as the reference does.
    #[serde(default)]
    pub compat: bool,
}

/// Batches and epochs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Passes over the data.
    pub epochs: u32,
    /// Images per forward pass and process.
    pub batch_size: usize,
    /// Forward passes per update.
    #[serde(default = "default_one")]
    pub accum_iter: usize,
    /// Stop after this many updates; the schedule keeps the length that `epochs` gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_steps: Option<u64>,
    /// Updates between two lines of `metrics.jsonl`.
    #[serde(default = "default_log_every_steps")]
    pub log_every_steps: u64,
}

fn default_one() -> usize {
    1
}
fn default_log_every_steps() -> u64 {
    10
}

/// When checkpoints are written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointConfig {
    /// Epochs between two checkpoints; the last epoch always writes one.
    pub every_epochs: u32,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self { every_epochs: 1 }
    }
}

impl Experiment {
    /// SHA-256 over the canonical JSON of all fields that change a run: two experiments with equal
    /// fingerprints train the same model on the same data. Provenance (`about`) is left out.
    pub fn fingerprint(&self) -> String {
        let decisive = Self {
            about: About::default(),
            ..self.clone()
        };
        // Struct fields serialise in declaration order, so the text is canonical.
        let text = serde_json::to_string(&decisive).unwrap_or_default();
        Sha256::digest(text.as_bytes())
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// Images per update in one process.
    pub fn effective_batch(&self) -> usize {
        self.train.batch_size * self.train.accum_iter
    }
}
