//! Imports the weights of other programs. The names of the tensors tell the format, and their shapes the architecture.
//! The whole file is checked before any values are read.

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

/// Information that a file does not hold, or that overrides the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ImportOptions {
    /// The architecture that the file must have, such as `vits16`.
    pub arch: Option<String>,
    /// The number of attention heads of the encoder.
    pub num_heads: Option<usize>,
    /// The number of attention heads of the decoder.
    pub decoder_num_heads: Option<usize>,
    /// The epsilon of the encoder's layer norms.
    pub layer_norm_eps: Option<f64>,
    /// The method of a decoder. It tells whether a cross-attention decoder is of CropMAE or SiamMAE.
    pub method: Option<Method>,
    /// The prefix of the tensors' names that selects one of several models in the file, such as `student`.
    pub key: Option<String>,
    /// Whether a decoder is left out.
    pub encoder_only: bool,
}

/// Imported weights and a report on the import.
#[derive(Debug)]
pub struct Imported {
    /// The weights.
    pub weights: Weights,
    /// The report on the import.
    pub report: ImportReport,
}

/// A report on how the tensors of a file were used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportReport {
    /// The format of the file, such as `PyTorch checkpoint, timm names under teacher.backbone`.
    pub format: String,
    /// The tensors of the model and their sources in the file.
    pub matched: Vec<Match>,
    /// The names of the file's tensors that are not part of the model.
    pub left_over: Vec<String>,
    /// Assumptions and changes that were made.
    pub notes: Vec<String>,
}

/// A tensor of the model and its sources in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// The name of the tensor, which is the reference's.
    pub name: String,
    /// The names of its sources in the file. There are none for biases that are not in the file, which are zero.
    pub from: Vec<String>,
    /// The shape of the tensor.
    pub shape: Vec<usize>,
}

/// Reads any weight file that holds a plain vision transformer.
///
/// This can be a file of this program, a PyTorch checkpoint (`.pth`) of the reference, MAE, DINO or DINOv2, or a
/// safetensors file of timm or Hugging Face. `path` may also be a folder, see [`super::locate`].
///
/// Tensors of other float types are converted to 32-bit floats, and LayerScale is multiplied into the layers that it
/// scales. If the files say that the pixels were not normalized with the statistics of ImageNet, the patch embedding is
/// adapted, so that the encoder has the same output for pixels that are.
///
/// # Errors
/// Returns [`ModelError::Io`], [`ModelError::Damaged`], [`ModelError::Pth`] or [`ModelError::Legacy`] if the file
/// cannot be read, [`ModelError::Foreign`] or [`ModelError::Variant`] if it is not a plain vision transformer,
/// [`ModelError::Missing`], [`ModelError::Shape`] or [`ModelError::Dtype`] if its tensors do not match each other, and
/// the errors of [`super::load`] for a file of this program.
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

/// How a file will be read. The plan is complete before any values are read.
pub(crate) struct Plan {
    pub info: WeightsInfo,
    pub layout: BTreeMap<String, Parameter>,
    pub sources: Sources,
    /// The statistics with which the encoder's images were normalized, if they are not those of ImageNet.
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
            notes.push("LayerScale is multiplied into the layers that it scales".to_owned());
        }
        if matched.iter().any(|it| it.from.is_empty()) {
            notes.push("query, key and value have no biases: they are set to zero".to_owned());
        }
        let pixels = side.pixels.filter(|pixels| *pixels != PIXELS);
        if let Some(PixelStatistics { mean, std }) = pixels {
            notes.push(format!(
                "the patch embedding is adapted from pixels with mean {mean:?} and standard deviation {std:?} to those of ImageNet"
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

/// Checks that the model's tensor `name` of `shape` can be made from the file's tensors.
fn check(
    path: &Path,
    archive: &Archive,
    sources: &Sources,
    name: &str,
    shape: &[usize],
) -> Result<()> {
    let Some(found) = sources.shape(name, archive) else {
        if name.ends_with(".qkv.bias") {
            return Ok(()); // the encoder has no such biases
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

/// Returns an error if a tensor in `sources` shows that the model is not a plain vision transformer.
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
        ("q_norm", "normalized queries and keys"),
        ("k_norm", "normalized queries and keys"),
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
    /// Returns the names in the file.
    pub fn names(&self) -> Vec<String> {
        match self {
            Self::Whole(name) => vec![name.clone()],
            Self::Thirds(thirds) => thirds.iter().flatten().cloned().collect(),
        }
    }
}

/// Returns the provenance of imported weights.
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
    // Paths are left out: they belong to the machine that trained the model and may be private.
    let facts = archive.facts().into_iter();
    entries.extend(
        facts
            .filter(|(_, value)| !value.contains(['/', '\\']) && !value.is_empty())
            .map(|(name, value)| (format!("source.{name}"), value)),
    );
    Ok(entries)
}
