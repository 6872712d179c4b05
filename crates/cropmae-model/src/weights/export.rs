//! Writes weights in the layouts of other libraries.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use candle_core::{IndexOp, Tensor};
use cropmae_files::NewFolder;
use serde_json::json;

use super::layouts::Layout;
use super::side::PIXELS;
use super::{Weights, torch};
use crate::{ModelError, Result, tensor_file};

/// A format to export weights to.
///
/// A file whose name ends in `.pth`, `.pt` or `.bin` is a PyTorch checkpoint with the key `model`. Others are
/// safetensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A file of the encoder and the decoder under the reference's names.
    Cropmae,
    /// A file of the encoder for `timm.create_model("vit_..", num_classes=0)`.
    Timm,
    /// A folder of the encoder for `ViTModel.from_pretrained(.., add_pooling_layer=False)`.
    HuggingFace,
}

/// Writes `weights` to `out`, a file, or a folder for [`Format::HuggingFace`], and returns the paths of the new files.
///
/// `out` appears only when it is complete. Existing files are not overwritten.
///
/// # Errors
/// Returns [`ModelError::Exists`] if `out` already exists, or [`ModelError::Io`] if it cannot be written.
pub fn export(weights: &Weights, format: Format, out: &Path) -> Result<Vec<PathBuf>> {
    if out.exists() {
        return Err(ModelError::Exists {
            path: out.to_owned(),
        });
    }
    match format {
        Format::Cropmae => write_file(&sorted(&weights.tensors), out)?,
        Format::Timm => {
            let encoder = weights.clone().into_encoder();
            write_file(&sorted(&encoder.tensors), out)?;
        }
        Format::HuggingFace => return write_folder(&weights.clone().into_encoder(), out),
    }
    Ok(vec![out.to_owned()])
}

fn sorted(tensors: &HashMap<String, Tensor>) -> BTreeMap<String, &Tensor> {
    let tensors = tensors.iter();
    tensors.map(|(name, it)| (name.clone(), it)).collect()
}

fn write_file(tensors: &BTreeMap<String, &Tensor>, out: &Path) -> Result<()> {
    let extension = out.extension().unwrap_or_default();
    if ["pth", "pt", "bin"].iter().any(|it| extension == *it) {
        return torch::save(out, tensors).map_err(write_error(out));
    }
    write_safetensors(tensors, out)
}

fn write_safetensors(tensors: &BTreeMap<String, &Tensor>, path: &Path) -> Result<()> {
    // transformers refuses files without this entry.
    let entries = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    let tensors = tensors.iter().map(|(name, it)| (name.clone(), *it));
    tensor_file::write_unsealed(path, tensors, &entries)
}

/// Writes `model.safetensors`, `config.json` and `preprocessor_config.json` to a new folder.
fn write_folder(encoder: &Weights, out: &Path) -> Result<Vec<PathBuf>> {
    let mut tensors: BTreeMap<String, Tensor> = BTreeMap::new();
    for (name, tensor) in &encoder.tensors {
        let names = Layout::HuggingFace.names(name);
        let rows = tensor.dim(0)? / names.len().max(1);
        for (part, theirs) in names.iter().enumerate() {
            let part = match names.len() {
                1 => tensor.clone(),
                _ => tensor.i(part * rows..(part + 1) * rows)?.contiguous()?,
            };
            tensors.insert(theirs.clone(), part);
        }
    }
    let model = &encoder.info.model;
    let config = json!({
        "architectures": ["ViTModel"],
        "model_type": "vit",
        "hidden_size": model.embed_dim,
        "num_hidden_layers": model.depth,
        "num_attention_heads": model.num_heads,
        "intermediate_size": model.mlp_width(model.embed_dim),
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "layer_norm_eps": model.layer_norm_eps,
        "image_size": model.image_size,
        "patch_size": model.patch_size,
        "num_channels": 3,
        "qkv_bias": true,
        "torch_dtype": "float32",
        "cropmae_provenance": encoder.info.provenance,
    });
    let preprocessor = json!({
        "image_processor_type": "ViTImageProcessor",
        "do_resize": true,
        "size": {"height": model.image_size, "width": model.image_size},
        "resample": 3,
        "do_rescale": true,
        "rescale_factor": 1.0 / 255.0,
        "do_normalize": true,
        "image_mean": PIXELS.mean,
        "image_std": PIXELS.std,
    });
    let failed = write_error(out);
    let folder = NewFolder::create(out).map_err(&failed)?;
    let tensors = tensors
        .iter()
        .map(|(name, it)| (name.clone(), it))
        .collect();
    write_safetensors(&tensors, &folder.path().join("model.safetensors"))?;
    for (name, value) in [
        ("config.json", config),
        ("preprocessor_config.json", preprocessor),
    ] {
        let text = format!("{value:#}\n");
        cropmae_files::write(&folder.path().join(name), text.as_bytes()).map_err(&failed)?;
    }
    folder.commit().map_err(&failed)?;
    let files = [
        "model.safetensors",
        "config.json",
        "preprocessor_config.json",
    ];
    Ok(files.iter().map(|file| out.join(file)).collect())
}

fn write_error(path: &Path) -> impl Fn(std::io::Error) -> ModelError {
    let path = path.to_owned();
    move |source| ModelError::Io {
        path: path.clone(),
        action: "write",
        source,
    }
}
