//! Other people's weights as ours: recognised by their names, their architecture told by their shapes, checked as
//! a whole and then read.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Device;
use cropmae_config::Method;

use super::anchor::{Anchor, Source, Sources};
use super::architecture::Clues;
use super::archive::Archive;
use super::side::{PIXELS, PixelStatistics, Side};
use super::{Part, Weights, WeightsInfo, archive, assemble, native};
use crate::parameters::Parameter;
use crate::{ModelError, Result};

/// What the file does not say, or what is to be overruled.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ImportOptions {
    /// The architecture that the file must be of: `vits16`, ...
    pub arch: Option<String>,
    /// Attention heads of the encoder.
    pub num_heads: Option<usize>,
    /// Attention heads of the decoder.
    pub decoder_num_heads: Option<usize>,
    /// Epsilon of the encoder's layer norms.
    pub layer_norm_eps: Option<f64>,
    /// Method of a cross-attention decoder, which CropMAE and SiamMAE share.
    pub method: Option<Method>,
    /// Which of several models in the file, by what stands before its tensors' names: `student`, ...
    pub key: Option<String>,
    /// Leave a decoder out.
    pub encoder_only: bool,
}

/// Weights, and how they came to be.
#[derive(Debug)]
pub struct Imported {
    /// The weights.
    pub weights: Weights,
    /// How each tensor was found.
    pub report: ImportReport,
}

/// What a file's tensors became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportReport {
    /// `PyTorch checkpoint, timm names under teacher.backbone`, ...
    pub format: String,
    /// Our tensors, each with what it was made from.
    pub matched: Vec<Match>,
    /// Tensors of the file that have no place in the model.
    pub left_over: Vec<String>,
    /// What had to be assumed or changed.
    pub notes: Vec<String>,
}

/// One of our tensors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// Our name, which is the reference's.
    pub name: String,
    /// Names in the file; none for biases that the file does without.
    pub from: Vec<String>,
    /// Its shape.
    pub shape: Vec<usize>,
}

/// Reads any weight file that holds a plain vision transformer: one of ours, a PyTorch checkpoint (`.pth`) of
/// the reference, MAE, DINO or DINOv2, or timm's or Hugging Face's safetensors. `path` may be a folder
/// ([`super::locate`]).
///
/// Tensors of other float types become 32-bit floats, LayerScale is multiplied into the layers it scales, and an
/// encoder whose files say that it was trained on another normalisation of the pixels than ImageNet's gets its patch
/// embedding adapted, so that it computes what it did.
///
/// # Errors
/// [`ModelError::Io`], [`ModelError::Damaged`], [`ModelError::Pth`] or
/// [`ModelError::Legacy`] when the file cannot be read; [`ModelError::Foreign`] or [`ModelError::Variant`] when it
/// is not a plain vision transformer; [`ModelError::Missing`], [`ModelError::Shape`] or [`ModelError::Dtype`] when
/// its tensors do not suit each other.
pub fn import(path: &Path, options: &ImportOptions, device: &Device) -> Result<Imported> {
    let path = &archive::locate(path)?;
    let mut archive = Archive::open(path)?;
    if archive.is_native() {
        return native::import(path, options, device);
    }
    let plan = Plan::new(path, &archive, options)?;
    let tensors = assemble::tensors(path, &mut archive, &plan, device)?;
    let mut info = plan.info;
    info.provenance = provenance(path, &archive, &plan.report, plan.pixels)?;
    Ok(Imported {
        weights: Weights { info, tensors },
        report: plan.report,
    })
}

/// How a file is going to be read, decided before any of its values is.
pub(crate) struct Plan {
    pub info: WeightsInfo,
    pub layout: BTreeMap<String, Parameter>,
    pub sources: Sources,
    /// What the encoder's images were normalised with, where that is not ImageNet's.
    pub pixels: Option<PixelStatistics>,
    pub report: ImportReport,
}

impl Plan {
    pub fn new(path: &Path, archive: &Archive, options: &ImportOptions) -> Result<Self> {
        let (anchor, others) = Anchor::find(path, archive, options.key.as_deref())?;
        let sources = anchor.sources(archive);
        let side = Side::read(path)?;
        let (info, mut notes) = Clues {
            path,
            archive,
            anchor: &anchor,
            sources: &sources,
            side: &side,
            options,
        }
        .architecture()?;
        let layout = info.layout(Part::Whole)?;
        let mut matched = Vec::new();
        for (name, Parameter { shape, .. }) in &layout {
            check(path, archive, &sources, name, shape)?;
            let mut from = sources
                .tensors
                .get(name)
                .map_or_else(Vec::new, Source::names);
            let scale = name
                .rsplit_once('.')
                .and_then(|(layer, _)| sources.scales.get(layer));
            from.extend(scale.cloned());
            matched.push(Match {
                name: name.clone(),
                from,
                shape: shape.clone(),
            });
        }
        if let Some(error) = variant_of(path, &sources, |name| layout.contains_key(name)) {
            return Err(error);
        }
        let (_, left_over) = sources.unused(|name| layout.contains_key(name));
        if !sources.scales.is_empty() {
            notes.push("LayerScale multiplied into the layers it scales".to_owned());
        }
        if matched.iter().any(|it| it.from.is_empty()) {
            notes.push("query, key and value without biases: zeros stand in".to_owned());
        }
        let pixels = side.pixels.filter(|pixels| *pixels != PIXELS);
        if let Some(PixelStatistics { mean, std }) = pixels {
            notes.push(format!(
                "patch embedding adapted from pixels of mean {mean:?} and deviation {std:?} to ImageNet's"
            ));
        }
        notes.extend(others.iter().map(|other| {
            let other = other.trim_end_matches('.');
            format!("another model in the file: --key {other}")
        }));
        let place = match anchor.prefix.trim_end_matches('.') {
            "" => String::new(),
            prefix => format!(" under {prefix}"),
        };
        let format = format!(
            "{}, {} names{place}",
            archive.format(),
            anchor.layout.name()
        );
        Ok(Self {
            info,
            layout,
            sources,
            pixels,
            report: ImportReport {
                format,
                matched,
                left_over,
                notes,
            },
        })
    }
}

/// Makes sure that the file's tensors can become ours of `name` and `shape`.
fn check(
    path: &Path,
    archive: &Archive,
    sources: &Sources,
    name: &str,
    shape: &[usize],
) -> Result<()> {
    let Some(found) = sources.shape(name, archive) else {
        if name.ends_with(".qkv.bias") {
            return Ok(()); // an encoder without these biases
        }
        if let Some(error) = variant(path, sources) {
            return Err(error);
        }
        return Err(ModelError::Missing {
            path: path.to_owned(),
            tensor: name.to_owned(),
            others: 0,
        });
    };
    let parts = sources
        .tensors
        .get(name)
        .map_or_else(Vec::new, Source::names);
    let mut part_shape = shape.to_vec();
    if let Some(Source::Thirds(thirds)) = sources.tensors.get(name) {
        part_shape[0] /= 3;
        if thirds.iter().any(Option::is_none) && !name.ends_with(".bias") {
            return Err(ModelError::Missing {
                path: path.to_owned(),
                tensor: format!("query, key or value of {name}"),
                others: 0,
            });
        }
    }
    let without_class = name == "pos_embed" && found.get(1) == Some(&(shape[1] - 1));
    for part in &parts {
        let found = &archive.entries[part].shape;
        if *found != part_shape && !without_class {
            return Err(ModelError::Shape {
                path: path.to_owned(),
                tensor: part.clone(),
                found: found.clone(),
                expected: part_shape,
            });
        }
    }
    Ok(())
}

/// The part of `sources` that makes it another model than a plain vision transformer.
pub(crate) fn variant(path: &Path, sources: &Sources) -> Option<ModelError> {
    const PLAIN: [&str; 8] = [
        ".norm1.",
        ".norm2.",
        ".attn.qkv.",
        ".attn.proj.",
        ".mlp.fc1.",
        ".mlp.fc2.",
        "_embed",
        "cls_token",
    ];
    variant_of(path, sources, |name| {
        name.starts_with("norm.") || PLAIN.iter().any(|part| name.contains(part))
    })
}

fn variant_of(path: &Path, sources: &Sources, known: impl Fn(&str) -> bool) -> Option<ModelError> {
    const VARIANTS: [(&str, &str); 11] = [
        ("reg_token", "register tokens"),
        ("register_tokens", "register tokens"),
        ("dist_token", "a distillation token (DeiT)"),
        ("distillation_token", "a distillation token (DeiT)"),
        ("norm_pre", "a norm before the blocks (CLIP)"),
        ("q_norm", "normalised queries and keys"),
        ("k_norm", "normalised queries and keys"),
        ("rel_pos", "relative positions"),
        ("relative_position", "relative positions"),
        ("mlp.w", "a gated MLP (SwiGLU)"),
        ("mlp.norm", "a norm inside the MLP"),
    ];
    let (inside, _) = sources.unused(known);
    let tensor = inside.into_iter().next()?;
    let variant = VARIANTS
        .iter()
        .find(|(part, _)| tensor.contains(part))
        .map_or(
            "a part that a plain vision transformer does not have",
            |(_, it)| it,
        );
    Some(ModelError::Variant {
        path: path.to_owned(),
        tensor,
        variant,
    })
}

impl Source {
    /// Names in the file.
    pub fn names(&self) -> Vec<String> {
        match self {
            Self::Whole(name) => vec![name.clone()],
            Self::Thirds(thirds) => thirds.iter().flatten().cloned().collect(),
        }
    }
}

/// Where imported weights come from.
fn provenance(
    path: &Path,
    archive: &Archive,
    report: &ImportReport,
    pixels: Option<PixelStatistics>,
) -> Result<BTreeMap<String, String>> {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let mut entries = BTreeMap::from([
        ("source".to_owned(), file.into_owned()),
        ("source_format".to_owned(), report.format.clone()),
        ("source_sha256".to_owned(), archive.sha256()?),
    ]);
    if let Some(PixelStatistics { mean, std }) = pixels {
        let text = format!("mean {mean:?}, deviation {std:?}");
        entries.insert("source_pixels".to_owned(), text);
    }
    // Paths are of the machine that trained, and nobody else's business.
    let facts = archive.facts().into_iter();
    entries.extend(
        facts
            .filter(|(_, value)| !value.contains(['/', '\\']) && !value.is_empty())
            .map(|(name, value)| (format!("source.{name}"), value)),
    );
    Ok(entries)
}
