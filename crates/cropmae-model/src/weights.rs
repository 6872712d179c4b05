//! Weight files: safetensors under the reference's tensor names, with the model's config, its method and
//! where it comes from as JSON under the metadata key `cropmae`.
//!
//! A file is checked as a whole, names, shapes and types against the architecture it claims, and its
//! checksum where it has one, before any tensor of it is used.
//!
//! Other people's files come in through [`import`]: PyTorch checkpoints, timm's and Hugging Face's vision
//! transformers. [`export`] writes ours so that PyTorch, timm and transformers load them, and [`inspect`]
//! says what is in a file. Nothing in a file is ever executed.

mod anchor;
mod architecture;
mod archive;
mod assemble;
mod export;
mod import;
mod inspect;
mod layouts;
mod native;
mod pickle;
mod pth;
mod side;
mod torch;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_nn::{VarBuilder, VarMap};
use cropmae_config::{Method, ModelConfig};
use safetensors::{Dtype, tensor::TensorInfo};
use serde::{Deserialize, Serialize};

use crate::parameters::{self, Parameter};
use crate::tensor_file::{self, TensorFile};
use crate::vit::Encoder;
use crate::{ModelError, Result};

pub use archive::locate;
pub use export::{Format, export};
pub use import::{ImportOptions, ImportReport, Imported, Match, import};
pub use inspect::{Inspection, TensorRow, inspect};
pub(crate) use side::PIXELS;

const METADATA_KEY: &str = "cropmae";

/// What a weight file says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WeightsInfo {
    /// Which decoder the file holds; none for an encoder alone.
    pub method: Option<Method>,
    /// Shapes of the model; without a decoder, the decoder's are 0.
    pub model: ModelConfig,
    /// Free entries on where the weights come from: revision, fingerprints of config and data, epoch.
    #[serde(default)]
    pub provenance: BTreeMap<String, String>,
}

impl WeightsInfo {
    /// The same model without its decoder.
    #[must_use]
    pub fn without_decoder(mut self) -> Self {
        self.method = None;
        self.model.decoder_embed_dim = 0;
        self.model.decoder_depth = 0;
        self.model.decoder_num_heads = 0;
        self.model.decoder_dropout = 0.0;
        self
    }

    /// All tensors of the model, or of its encoder.
    fn layout(&self, part: Part) -> Result<BTreeMap<String, Parameter>> {
        match (part, self.method) {
            (Part::Whole, Some(method)) => parameters::layout(method, &self.model),
            _ => parameters::encoder_layout(&self.model),
        }
    }
}

/// How much of a model to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Encoder and decoder, where the file holds one; the file must hold exactly these.
    Whole,
    /// The encoder; the file may or may not hold a decoder.
    Encoder,
}

/// A weight file's contents, checked.
#[derive(Debug, Clone)]
pub struct Weights {
    /// What the file says about itself.
    pub info: WeightsInfo,
    tensors: HashMap<String, Tensor>,
}

impl Weights {
    /// The encoder, not trainable.
    ///
    /// # Errors
    /// Returns an error if a device operation fails.
    pub fn encoder(self, device: &Device) -> Result<Encoder> {
        let vb = VarBuilder::from_tensors(self.tensors, DType::F32, device);
        Encoder::new(&self.info.model, &vb)
    }

    /// The same without a decoder.
    #[must_use]
    pub fn into_encoder(mut self) -> Self {
        self.tensors
            .retain(|name, _| !parameters::is_of_decoder(name));
        self.info = self.info.without_decoder();
        self
    }

    /// The tensors under the reference's names.
    #[must_use]
    pub fn tensors(&self) -> &HashMap<String, Tensor> {
        &self.tensors
    }

    /// Writes the weights to `path`, which is never seen incomplete.
    ///
    /// # Errors
    /// Returns the errors of [`save`].
    pub fn save(&self, path: &Path) -> Result<()> {
        let tensors = self.tensors.iter();
        let tensors = tensors.map(|(name, it)| (name.clone(), it.clone()));
        write(path, &self.info, &tensors.collect())
    }

    /// Variables to train on, or to build a [`crate::Pretrainer`] on.
    ///
    /// # Errors
    /// Returns an error if a device operation fails.
    pub fn into_vars(self) -> Result<VarMap> {
        parameters::var_map(self.tensors)
    }
}

/// Writes `vars` to `path`, which is never seen incomplete.
///
/// # Errors
/// [`ModelError::Missing`], [`ModelError::Unexpected`] or [`ModelError::Shape`] when `vars` is not the
/// model that `info` describes; [`ModelError::Io`] when the file cannot be written.
pub fn save(path: &Path, info: &WeightsInfo, vars: &VarMap) -> Result<()> {
    let tensors: BTreeMap<String, Tensor> = parameters::entries(vars)
        .into_iter()
        .map(|(name, var)| (name, var.as_detached_tensor()))
        .collect();
    write(path, info, &tensors)
}

fn write(path: &Path, info: &WeightsInfo, tensors: &BTreeMap<String, Tensor>) -> Result<()> {
    let shapes = tensors
        .iter()
        .map(|(name, tensor)| (name.as_str(), tensor.dims()))
        .collect();
    check_layout(path, &info.layout(Part::Whole)?, &shapes)?;
    let json = serde_json::to_string(info).map_err(|error| ModelError::Metadata {
        path: path.to_owned(),
        message: error.to_string(),
    })?;
    let entries = BTreeMap::from([(METADATA_KEY.to_owned(), json)]);
    let tensors = tensors.iter().map(|(name, tensor)| (name.clone(), tensor));
    tensor_file::write(path, tensors, &entries)
}

/// Reads the file that [`save`] wrote to `path`.
///
/// # Errors
/// [`ModelError::Io`], [`ModelError::Damaged`] or [`ModelError::Metadata`] when it is not such a file;
/// [`ModelError::Missing`], [`ModelError::Unexpected`], [`ModelError::Shape`] or [`ModelError::Dtype`] when
/// its tensors are not those of the model it claims to hold.
pub fn load(path: &Path, part: Part, device: &Device) -> Result<Weights> {
    let file = TensorFile::open(path)?;
    let info = parse_info(path, &file)?;
    // `save` seals every file: one without a seal has lost it.
    if !file.is_sealed() {
        return Err(ModelError::Damaged {
            path: path.to_owned(),
            message: "its checksum is missing, as in files of older versions, which are not read"
                .to_owned(),
        });
    }
    read_tensors(path, file, info, part, device)
}

/// Reads a safetensors file without our metadata, such as a converted reference checkpoint, as the model
/// that `info` describes.
///
/// # Errors
/// As [`load`], short of [`ModelError::Metadata`].
pub fn load_as(path: &Path, info: WeightsInfo, part: Part, device: &Device) -> Result<Weights> {
    read_tensors(path, TensorFile::open(path)?, info, part, device)
}

/// Reads what the file at `path` says about itself.
///
/// # Errors
/// [`ModelError::Io`], [`ModelError::Damaged`] or [`ModelError::Metadata`].
pub fn load_info(path: &Path) -> Result<WeightsInfo> {
    parse_info(path, &TensorFile::open(path)?)
}

fn parse_info(path: &Path, file: &TensorFile) -> Result<WeightsInfo> {
    let unusable = |message: String| ModelError::Metadata {
        path: path.to_owned(),
        message,
    };
    let json = file
        .entry(METADATA_KEY)
        .ok_or_else(|| unusable("not in the file".to_owned()))?;
    serde_json::from_str(json).map_err(|error| unusable(error.to_string()))
}

fn read_tensors(
    path: &Path,
    file: TensorFile,
    info: WeightsInfo,
    part: Part,
    device: &Device,
) -> Result<Weights> {
    let wanted = |name: &str| part == Part::Whole || !parameters::is_of_decoder(name);
    let found: BTreeMap<String, &TensorInfo> = file
        .tensors()
        .into_iter()
        .filter(|(name, _)| wanted(name))
        .collect();
    let layout = info.layout(part)?;
    let shapes = found
        .iter()
        .map(|(name, tensor)| (name.as_str(), &*tensor.shape))
        .collect();
    check_layout(path, &layout, &shapes)?;
    if let Some((name, tensor)) = found.iter().find(|(_, tensor)| tensor.dtype != Dtype::F32) {
        return Err(ModelError::Dtype {
            path: path.to_owned(),
            tensor: name.clone(),
            found: format!("{:?}", tensor.dtype),
        });
    }
    let tensors = file.read(wanted, device)?;
    Ok(Weights { info, tensors })
}

fn check_layout(
    path: &Path,
    expected: &BTreeMap<String, Parameter>,
    found: &BTreeMap<&str, &[usize]>,
) -> Result<()> {
    let mut missing = expected
        .keys()
        .filter(|name| !found.contains_key(name.as_str()));
    if let Some(tensor) = missing.next() {
        return Err(ModelError::Missing {
            path: path.to_owned(),
            tensor: tensor.clone(),
            others: missing.count(),
        });
    }
    let mut unexpected = found.keys().filter(|name| !expected.contains_key(**name));
    if let Some(tensor) = unexpected.next() {
        return Err(ModelError::Unexpected {
            path: path.to_owned(),
            tensor: (*tensor).to_owned(),
            others: unexpected.count(),
        });
    }
    match expected
        .iter()
        .find(|(name, parameter)| found[name.as_str()] != parameter.shape)
    {
        None => Ok(()),
        Some((name, parameter)) => Err(ModelError::Shape {
            path: path.to_owned(),
            tensor: name.clone(),
            found: found[name.as_str()].to_vec(),
            expected: parameter.shape.clone(),
        }),
    }
}
