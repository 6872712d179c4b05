//! Files of named tensors of any program: safetensors, in one file or in shards, and PyTorch checkpoints.
//!
//! Opening a file reads the names, shapes and types. Values are read on demand and converted to 32-bit floats.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use safetensors::Dtype;
use safetensors::tensor::Metadata;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::METADATA_KEY;
use super::pth::Pth;
use crate::{ModelError, Result, tensor_file};

/// The size in bytes of the longest safetensors header that is read, a hundred times that of large models. A parsed
/// header takes about sixteen times its length in memory.
const MAX_HEADER: u64 = 16 << 20;

/// The shape and type of a tensor in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub shape: Vec<usize>,
    /// The type, or `None` for a type that is not supported.
    pub dtype: Option<Dtype>,
}

/// An open file of named tensors.
pub(crate) struct Archive {
    path: PathBuf,
    contents: Contents,
    /// All tensors under their names in the file.
    pub entries: BTreeMap<String, Entry>,
}

enum Contents {
    Safetensors(Vec<Shard>),
    Pth(Box<Pth>),
}

/// An open safetensors file.
struct Shard {
    path: PathBuf,
    file: File,
    /// The offset in bytes of the values.
    data: u64,
    metadata: Metadata,
}

/// The index of a safetensors file in shards.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// Returns the path of the weight file at `path`.
///
/// This is `path` itself, or the weight file in the folder `path`, under a name that training runs or the Hugging Face
/// hub use.
///
/// # Errors
/// Returns [`ModelError::Foreign`] if the folder holds no weight file.
pub fn locate(path: &Path) -> Result<PathBuf> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    const NAMES: [&str; 4] = [
        "last.safetensors",
        "model.safetensors",
        "model.safetensors.index.json",
        "pytorch_model.bin",
    ];
    let found = NAMES.iter().map(|name| path.join(name));
    found
        .into_iter()
        .find(|file| file.is_file())
        .ok_or_else(|| ModelError::Foreign {
            path: path.to_owned(),
            problem: format!(
                "the folder has no weights, expected one of {}",
                NAMES.join(", ")
            ),
        })
}

impl Archive {
    /// Opens the file at `path`. Its first bytes tell its format.
    pub fn open(path: &Path) -> Result<Self> {
        let io = io_error(path);
        let mut file = File::open(path).map_err(&io)?;
        let mut start = Vec::new();
        file.by_ref()
            .take(512)
            .read_to_end(&mut start)
            .map_err(&io)?;
        file.rewind().map_err(&io)?;
        let contents = match &start[..] {
            [b'P', b'K', 3 | 5, 4 | 6, ..] => {
                Contents::Pth(Box::new(Pth::open(file).map_err(pth_error(path))?))
            }
            _ if is_legacy(&start) => {
                return Err(ModelError::Legacy {
                    path: path.to_owned(),
                });
            }
            [b'{', ..] if path.to_string_lossy().ends_with(".index.json") => {
                Contents::Safetensors(Shard::open_all(path)?)
            }
            [_, _, _, _, _, _, _, _, b'{', ..] => {
                Contents::Safetensors(vec![Shard::open(path, file)?])
            }
            _ => {
                return Err(ModelError::Foreign {
                    path: path.to_owned(),
                    problem: "not a weight file: expected safetensors or a torch.save checkpoint"
                        .to_owned(),
                });
            }
        };
        let entries = match &contents {
            Contents::Pth(pth) => pth
                .views
                .iter()
                .map(|(name, view)| {
                    let (shape, dtype) = (view.shape.clone(), view.dtype);
                    (name.clone(), Entry { shape, dtype })
                })
                .collect(),
            Contents::Safetensors(shards) => shards
                .iter()
                .flat_map(|shard| shard.metadata.tensors())
                .map(|(name, info)| {
                    let (shape, dtype) = (info.shape.clone(), Some(info.dtype));
                    (name, Entry { shape, dtype })
                })
                .collect(),
        };
        Ok(Self {
            path: path.to_owned(),
            contents,
            entries,
        })
    }

    /// Returns whether this program wrote the file. The name of the checksum alone is enough, because a file of this
    /// program with damaged metadata must not be read as a file of another program.
    pub fn is_native(&self) -> bool {
        let Contents::Safetensors(shards) = &self.contents else {
            return false;
        };
        shards.iter().any(|shard| {
            let mut keys = shard
                .metadata
                .metadata()
                .iter()
                .flatten()
                .map(|(key, _)| key);
            keys.any(|key| key == METADATA_KEY || key == tensor_file::SEAL)
        })
    }

    /// Returns the name of the format, `PyTorch checkpoint` or `safetensors`.
    pub fn format(&self) -> &'static str {
        match self.contents {
            Contents::Safetensors(_) => "safetensors",
            Contents::Pth(_) => "PyTorch checkpoint",
        }
    }

    /// Returns single values in the file, such as `epoch` or `args.architecture`.
    pub fn facts(&self) -> BTreeMap<String, String> {
        match &self.contents {
            Contents::Pth(pth) => pth.facts.clone(),
            Contents::Safetensors(_) => BTreeMap::new(),
        }
    }

    /// Returns the outermost entries of a PyTorch checkpoint.
    pub fn roots(&self) -> &[String] {
        match &self.contents {
            Contents::Pth(pth) => &pth.roots,
            Contents::Safetensors(_) => &[],
        }
    }

    /// Computes the SHA-256 of the file's bytes. For a file in shards, these are the bytes of the index and then of
    /// each shard in name order.
    pub fn sha256(&self) -> Result<String> {
        let mut files = vec![self.path.clone()];
        if let Contents::Safetensors(shards) = &self.contents
            && shards.iter().any(|shard| shard.path != self.path)
        {
            files.extend(shards.iter().map(|shard| shard.path.clone()));
        }
        let mut hash = Sha256::new();
        for file in files {
            File::open(&file)
                .and_then(|mut file| std::io::copy(&mut file, &mut hash))
                .map_err(io_error(&file))?;
        }
        Ok(format!("{:x}", hash.finalize()))
    }

    /// Reads the named tensors as 32-bit floats on the CPU.
    pub fn read(&mut self, names: &[&str]) -> Result<HashMap<String, Tensor>> {
        let mut tensors = HashMap::new();
        self.for_each(names, |name, tensor| {
            tensors.insert(name.to_owned(), tensor);
        })?;
        Ok(tensors)
    }

    /// Calls `take` with each of the named tensors as 32-bit floats on the CPU, in an order that depends on the file.
    pub fn for_each(&mut self, names: &[&str], mut take: impl FnMut(&str, Tensor)) -> Result<()> {
        let path = self.path.clone();
        let mut convert = |name: &str, shape: &[usize], dtype: Option<Dtype>, bytes: &[u8]| {
            take(name, to_f32(&path, name, shape, dtype, bytes)?);
            Ok(())
        };
        match &mut self.contents {
            Contents::Pth(pth) => pth
                .read(names, |name, view, bytes| {
                    convert(name, &view.shape, view.dtype, &bytes).map_err(Problem::Model)
                })
                .map_err(|problem| match problem {
                    Problem::Pth(problem) => pth_error(&self.path)(problem),
                    Problem::Model(error) => error,
                }),
            Contents::Safetensors(shards) => {
                for name in names {
                    let held = shards
                        .iter_mut()
                        .find_map(|shard| Some((shard.metadata.info(name)?.clone(), shard)));
                    let Some((info, shard)) = held else {
                        continue;
                    };
                    let (from, to) = info.data_offsets;
                    let mut bytes = vec![0; to - from]; // `Shard::open` checked that this is within the file
                    shard
                        .file
                        .seek(SeekFrom::Start(shard.data + from as u64))
                        .and_then(|_| shard.file.read_exact(&mut bytes))
                        .map_err(io_error(&self.path))?;
                    convert(name, &info.shape, Some(info.dtype), &bytes)?;
                }
                Ok(())
            }
        }
    }
}

enum Problem {
    Pth(String),
    Model(ModelError),
}

impl From<String> for Problem {
    fn from(problem: String) -> Self {
        Self::Pth(problem)
    }
}

fn to_f32(
    path: &Path,
    name: &str,
    shape: &[usize],
    dtype: Option<Dtype>,
    bytes: &[u8],
) -> Result<Tensor> {
    let dtype = match dtype {
        Some(Dtype::F32) => DType::F32,
        Some(Dtype::F64) => DType::F64,
        Some(Dtype::F16) => DType::F16,
        Some(Dtype::BF16) => DType::BF16,
        other => {
            return Err(ModelError::Dtype {
                path: path.to_owned(),
                tensor: name.to_owned(),
                found: other.map_or_else(|| "an unknown type".to_owned(), |it| format!("{it:?}")),
            });
        }
    };
    Ok(Tensor::from_raw_buffer(bytes, dtype, shape, &Device::Cpu)?.to_dtype(DType::F32)?)
}

impl Shard {
    /// Reads the header of a safetensors file and checks that the listed values fill the file.
    fn open(path: &Path, mut file: File) -> Result<Self> {
        let io = io_error(path);
        let damaged = |message: String| ModelError::Damaged {
            path: path.to_owned(),
            message,
        };
        let length = file.metadata().map_err(&io)?.len();
        let mut prefix = [0; 8];
        file.read_exact(&mut prefix).map_err(&io)?;
        let header = u64::from_le_bytes(prefix);
        let data = header
            .checked_add(8)
            .filter(|&data| data <= length)
            .ok_or_else(|| damaged(format!("a header of {header} bytes in {length}")))?;
        if header > MAX_HEADER {
            return Err(damaged(format!(
                "a header of {header} bytes, expected at most {MAX_HEADER}"
            )));
        }
        let mut json = vec![0; header as usize];
        file.read_exact(&mut json).map_err(&io)?;
        let metadata: Metadata =
            serde_json::from_slice(&json).map_err(|error| damaged(error.to_string()))?;
        let expected = data.checked_add(metadata.data_len() as u64);
        if expected != Some(length) {
            return Err(damaged(format!(
                "{} bytes of values, expected {}",
                length - data,
                metadata.data_len()
            )));
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            data,
            metadata,
        })
    }

    /// Opens the shards that the index at `path` names. All are in the folder of the index.
    fn open_all(path: &Path) -> Result<Vec<Self>> {
        let foreign = |problem: String| ModelError::Foreign {
            path: path.to_owned(),
            problem,
        };
        let json = std::fs::read(path).map_err(io_error(path))?;
        let index: Index = serde_json::from_slice(&json)
            .map_err(|error| foreign(format!("not an index of safetensors files: {error}")))?;
        let mut names: Vec<&String> = index.weight_map.values().collect();
        names.sort_unstable();
        names.dedup();
        let mut shards = Vec::new();
        for name in names {
            let part = Path::new(name);
            // A name in the index must not point outside the folder.
            let mut components = part.components();
            if !matches!(
                (components.next(), components.next()),
                (Some(Component::Normal(_)), None)
            ) {
                return Err(foreign(format!(
                    "shard {name:?}: expected a plain file name"
                )));
            }
            let part = path.with_file_name(part);
            let file = File::open(&part).map_err(io_error(&part))?;
            shards.push(Self::open(&part, file)?);
        }
        let missing = index.weight_map.keys().find(|name| {
            !shards
                .iter()
                .any(|shard| shard.metadata.info(name).is_some())
        });
        match missing {
            Some(name) => Err(foreign(format!("tensor {name} is in none of the shards"))),
            None => Ok(shards),
        }
    }
}

/// Returns whether a file with these first bytes has a format of `torch.save` from before the zip format: a pickle with
/// a magic number, or a tar archive.
fn is_legacy(start: &[u8]) -> bool {
    const MAGIC: [u8; 12] = [
        0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19,
    ];
    start.get(2..14) == Some(&MAGIC) || start.get(257..262) == Some(b"ustar")
}

fn io_error(path: &Path) -> impl Fn(std::io::Error) -> ModelError {
    let path = path.to_owned();
    move |source| ModelError::Io {
        path: path.clone(),
        action: "read",
        source,
    }
}

fn pth_error(path: &Path) -> impl Fn(String) -> ModelError {
    move |problem| ModelError::Pth {
        path: path.to_owned(),
        problem,
    }
}
