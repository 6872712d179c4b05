//! Weight files: safetensors under the reference's tensor names. The metadata key `cropmae` holds the config of the
//! model, its method and its provenance as JSON.
//!
//! Before any tensor of a file is used, the names, shapes and types of all tensors are checked against the architecture
//! in the metadata, and the checksum is checked.
//!
//! [`import`] reads the files of other programs: PyTorch checkpoints, and vision transformers of timm and Hugging Face.
//! [`export`] writes files that PyTorch, timm and transformers load, and [`inspect`] describes the contents of a file.
//! No code in a file is executed.

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

/// The metadata of a weight file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WeightsInfo {
    /// The method whose decoder the file holds, or `None` for an encoder without a decoder.
    pub method: Option<Method>,
    /// The shapes of the model. The settings of the decoder are 0 if there is none.
    pub model: ModelConfig,
    /// The source of the weights as free entries, such as the revision, the fingerprints of config and data, and the
    /// epoch.
    #[serde(default)]
    pub provenance: BTreeMap<String, String>,
}

impl WeightsInfo {
    /// Returns the metadata of the same model without its decoder.
    #[must_use]
    pub fn without_decoder(mut self) -> Self {
        self.method = None;
        self.model.decoder_embed_dim = 0;
        self.model.decoder_depth = 0;
        self.model.decoder_num_heads = 0;
        self.model.decoder_dropout = 0.0;
        self
    }

    /// Returns all tensors of the model, or of its encoder.
    fn layout(&self, part: Part) -> Result<BTreeMap<String, Parameter>> {
        match (part, self.method) {
            (Part::Whole, Some(method)) => parameters::layout(method, &self.model),
            _ => parameters::encoder_layout(&self.model),
        }
    }
}

/// The part of a model to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The encoder, and the decoder if the metadata name one. The file must not hold other tensors.
    Whole,
    /// The encoder. The file may also hold a decoder, which is not read.
    Encoder,
}

/// The checked contents of a weight file.
#[derive(Debug, Clone)]
pub struct Weights {
    /// The metadata of the weights.
    pub info: WeightsInfo,
    tensors: HashMap<String, Tensor>,
}

impl Weights {
    /// Builds the encoder, which is not trainable.
    ///
    /// # Errors
    /// Returns an error if a device operation fails.
    pub fn encoder(self, device: &Device) -> Result<Encoder> {
        let vb = VarBuilder::from_tensors(self.tensors, DType::F32, device);
        Encoder::new(&self.info.model, &vb)
    }

    /// Returns the same weights without a decoder.
    #[must_use]
    pub fn into_encoder(mut self) -> Self {
        self.tensors
            .retain(|name, _| !parameters::is_of_decoder(name));
        self.info = self.info.without_decoder();
        self
    }

    /// Returns the tensors under the reference's names.
    #[must_use]
    pub fn tensors(&self) -> &HashMap<String, Tensor> {
        &self.tensors
    }

    /// Writes the weights to `path`. An existing file is replaced atomically.
    ///
    /// # Errors
    /// Returns the errors of [`save`].
    pub fn save(&self, path: &Path) -> Result<()> {
        let tensors = self.tensors.iter();
        let tensors = tensors.map(|(name, it)| (name.clone(), it.clone()));
        write(path, &self.info, &tensors.collect())
    }

    /// Converts the weights to variables, on which a [`crate::Pretrainer`] can be built.
    ///
    /// # Errors
    /// Returns an error if a device operation fails.
    pub fn into_vars(self) -> Result<VarMap> {
        parameters::var_map(self.tensors)
    }
}

/// Writes `vars` with the metadata `info` to `path`. An existing file is replaced atomically.
///
/// # Errors
/// Returns [`ModelError::Missing`], [`ModelError::Unexpected`] or [`ModelError::Shape`] if `vars` does not match the
/// model that `info` describes, or [`ModelError::Io`] if the file cannot be written.
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

/// Reads a file at `path` that was written by [`save`].
///
/// # Errors
/// Returns [`ModelError::Io`], [`ModelError::Damaged`] or [`ModelError::Metadata`] if the file is not intact or was not
/// written by [`save`], or [`ModelError::Missing`], [`ModelError::Unexpected`], [`ModelError::Shape`] or
/// [`ModelError::Dtype`] if its tensors are not those of the model in its metadata.
pub fn load(path: &Path, part: Part, device: &Device) -> Result<Weights> {
    let file = TensorFile::open(path)?;
    let info = parse_info(path, &file)?;
    // `save` writes a checksum to every file, so a file without one is damaged.
    if !file.is_sealed() {
        return Err(ModelError::Damaged {
            path: path.to_owned(),
            message: "its checksum is missing, as in files of older versions, which are not read"
                .to_owned(),
        });
    }
    read_tensors(path, file, info, part, device)
}

/// Reads a safetensors file without metadata, such as a converted reference checkpoint, as the model that `info`
/// describes.
///
/// # Errors
/// Returns the errors of [`load`], except for [`ModelError::Metadata`].
pub fn load_as(path: &Path, info: WeightsInfo, part: Part, device: &Device) -> Result<Weights> {
    read_tensors(path, TensorFile::open(path)?, info, part, device)
}

/// Reads the metadata of the file at `path`.
///
/// # Errors
/// Returns [`ModelError::Io`], [`ModelError::Damaged`] or [`ModelError::Metadata`] if the file cannot be read, is
/// damaged, or does not describe a model.
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
