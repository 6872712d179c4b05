//! Safetensors files with a checksum. Any reader of the format can read them, and a single flipped bit is detected.
//!
//! The metadata entry `sha256` holds the SHA-256 of the whole file, including the header, computed with the 64 digits
//! of the entry itself as zeros. Files without the entry are read without a check. Tensors are read and written one by
//! one, so no second copy of the file is in memory.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use cropmae_files::NewFile;
use safetensors::tensor::{Metadata, TensorInfo, View};
use sha2::{Digest, Sha256};

use crate::{ModelError, Result};

/// The metadata entry that holds the checksum.
pub(crate) const SEAL: &str = "sha256";
/// The value of the entry while the checksum is computed. It is as long as the checksum.
const BLANK: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// The size in bytes of the header's length, which comes before the header.
const LENGTH: usize = size_of::<u64>();
/// The size in bytes of the longest header that is read. It is the limit of the format.
const MAX_HEADER: u64 = 100_000_000;
const BUFFER: usize = 1 << 20;

/// An open safetensors file with a valid header.
#[derive(Debug)]
pub struct TensorFile {
    path: PathBuf,
    file: BufReader<File>,
    header: Vec<u8>,
    metadata: Metadata,
}

impl TensorFile {
    /// Opens the file at `path` and reads its header.
    ///
    /// # Errors
    /// Returns [`ModelError::Io`] if the file cannot be read, or [`ModelError::Damaged`] if it is truncated or not a
    /// safetensors file.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = io(path, "read");
        let file = File::open(path).map_err(&failed)?;
        let size = file.metadata().map_err(&failed)?.len();
        let mut file = BufReader::with_capacity(BUFFER, file);
        let mut length = [0; LENGTH];
        let too_short = || damaged(path, format!("{size} bytes are too few"));
        file.read_exact(&mut length).map_err(|_| too_short())?;
        let length = u64::from_le_bytes(length);
        if length > MAX_HEADER || length + LENGTH as u64 > size {
            return Err(damaged(
                path,
                format!("a header of {length} bytes in a file of {size}"),
            ));
        }
        let mut header = vec![0; length as usize];
        file.read_exact(&mut header).map_err(&failed)?;
        let metadata: Metadata = serde_json::from_slice(&header)
            .map_err(|error| damaged(path, format!("header: {error}")))?;
        let expected = LENGTH as u64 + length + metadata.data_len() as u64;
        if size != expected {
            return Err(damaged(
                path,
                format!("{size} bytes, expected {expected} by its header"),
            ));
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            header,
            metadata,
        })
    }

    /// Returns the metadata entry `key`.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&str> {
        let entries = self.metadata.metadata().as_ref()?;
        entries.get(key).map(String::as_str)
    }

    /// Returns whether the file has a checksum.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.entry(SEAL).is_some()
    }

    /// Returns the name, type and shape of every tensor, in name order.
    #[must_use]
    pub fn tensors(&self) -> BTreeMap<String, &TensorInfo> {
        self.metadata.tensors().into_iter().collect()
    }

    /// Reads the tensors for whose names `wanted` returns `true`. If the file has a checksum, the whole file is read
    /// and checked.
    ///
    /// # Errors
    /// Returns [`ModelError::Damaged`] if the checksum does not match, [`ModelError::Io`] if the file cannot be read,
    /// or [`ModelError::Candle`] if a tensor cannot be created on `device`.
    pub fn read(
        mut self,
        wanted: impl Fn(&str) -> bool,
        device: &Device,
    ) -> Result<HashMap<String, Tensor>> {
        let failed = io(&self.path, "read");
        let expected = self.entry(SEAL).map(str::to_owned);
        let mut hash = Sha256::new();
        if let Some(seal) = &expected {
            hash.update((self.header.len() as u64).to_le_bytes());
            let digits = seal_position(&self.header, seal).ok_or_else(|| {
                damaged(&self.path, format!("{SEAL} = {seal:?} is not a checksum"))
            })?;
            self.header[digits.clone()].copy_from_slice(BLANK.as_bytes());
            hash.update(&self.header);
        }
        let mut tensors = HashMap::new();
        let mut bytes = Vec::new();
        for name in self.metadata.offset_keys() {
            let Some(info) = self.metadata.info(&name) else {
                continue;
            };
            let keep = wanted(&name);
            let length = info.data_offsets.1 - info.data_offsets.0;
            if !keep && expected.is_none() {
                self.file.seek_relative(length as i64).map_err(&failed)?;
                continue;
            }
            bytes.resize(length, 0);
            self.file.read_exact(&mut bytes).map_err(&failed)?;
            if expected.is_some() {
                hash.update(&bytes);
            }
            if keep {
                let dtype = DType::try_from(info.dtype)?;
                let tensor = Tensor::from_raw_buffer(&bytes, dtype, &info.shape, device)?;
                tensors.insert(name, tensor);
            }
        }
        match expected {
            Some(expected) if expected != format!("{:x}", hash.finalize()) => Err(damaged(
                &self.path,
                "its checksum does not match its contents".to_owned(),
            )),
            _ => Ok(tensors),
        }
    }
}

/// Writes `tensors`, the metadata `entries` and a checksum to `path`.
///
/// An existing file is replaced atomically. Equal contents give equal files.
///
/// # Errors
/// Returns [`ModelError::Io`] if the file cannot be written. An existing file is then unchanged.
pub fn write<'a>(
    path: &Path,
    tensors: impl IntoIterator<Item = (String, &'a Tensor)>,
    entries: &BTreeMap<String, String>,
) -> Result<()> {
    let mut entries = entries.clone();
    entries.insert(SEAL.to_owned(), BLANK.to_owned());
    write_unsealed(path, tensors, &entries)
}

/// Does the same as [`write`], but without a checksum, for other programs. An entry [`SEAL`] whose value is [`BLANK`]
/// is replaced by the checksum.
pub(crate) fn write_unsealed<'a>(
    path: &Path,
    tensors: impl IntoIterator<Item = (String, &'a Tensor)>,
    entries: &BTreeMap<String, String>,
) -> Result<()> {
    let tensors: BTreeMap<String, &Tensor> = tensors.into_iter().collect();
    let header = header(&tensors, entries).map_err(|error| io(path, "write")(error.into()))?;
    write_all(path, &header, &tensors).map_err(io(path, "write"))
}

fn write_all(
    path: &Path,
    header: &[u8],
    tensors: &BTreeMap<String, &Tensor>,
) -> std::io::Result<()> {
    let mut file = BufWriter::with_capacity(BUFFER, NewFile::create(path)?);
    let mut hash = Sha256::new();
    let seal = seal_position(header, BLANK);
    let mut put = |bytes: &[u8]| {
        if seal.is_some() {
            hash.update(bytes);
        }
        file.write_all(bytes)
    };
    put(&(header.len() as u64).to_le_bytes())?;
    put(header)?;
    for tensor in tensors.values() {
        put(&View::data(tensor))?;
    }
    if let Some(digits) = seal {
        file.seek(SeekFrom::Start((LENGTH + digits.start) as u64))?;
        file.write_all(format!("{:x}", hash.finalize()).as_bytes())?;
    }
    file.into_inner()?.commit()
}

/// Builds the header of a file of `tensors`, in the order of their data.
fn header(
    tensors: &BTreeMap<String, &Tensor>,
    entries: &BTreeMap<String, String>,
) -> serde_json::Result<Vec<u8>> {
    let mut text = format!("{{\"__metadata__\":{}", serde_json::to_string(entries)?);
    let mut start = 0;
    for (name, tensor) in tensors {
        let end = start + View::data_len(tensor);
        let info = TensorInfo {
            dtype: View::dtype(tensor),
            shape: tensor.dims().to_vec(),
            data_offsets: (start, end),
        };
        start = end;
        let (name, info) = (serde_json::to_string(name)?, serde_json::to_string(&info)?);
        text.push_str(&format!(",{name}:{info}"));
    }
    text.push('}');
    // The format aligns the data to eight bytes.
    let padding = text.len().next_multiple_of(LENGTH) - text.len();
    text.extend(std::iter::repeat_n(' ', padding));
    Ok(text.into_bytes())
}

/// Returns the position in `header` of the digits of the checksum `value`, or `None` if it is not there.
fn seal_position(header: &[u8], value: &str) -> Option<std::ops::Range<usize>> {
    let entry = format!("\"{SEAL}\":\"{value}\"");
    let found = header
        .windows(entry.len())
        .position(|window| window == entry.as_bytes())?;
    let start = found + SEAL.len() + 4;
    (value.len() == BLANK.len()).then_some(start..start + BLANK.len())
}

fn damaged(path: &Path, message: String) -> ModelError {
    ModelError::Damaged {
        path: path.to_owned(),
        message,
    }
}

fn io(path: &Path, action: &'static str) -> impl Fn(std::io::Error) -> ModelError {
    move |source| ModelError::Io {
        path: path.to_owned(),
        action,
        source,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

    use super::*;

    fn sample(path: &Path) -> Vec<u8> {
        let tensors = [
            ("b.weight", Tensor::arange(0f32, 6.0, &Device::Cpu).unwrap()),
            ("a", Tensor::new(7u32, &Device::Cpu).unwrap()),
        ];
        let entries = BTreeMap::from([("note".to_owned(), "\"quoted\"".to_owned())]);
        let named = tensors.iter().map(|(name, x)| ((*name).to_owned(), x));
        write(path, named, &entries).unwrap();
        std::fs::read(path).unwrap()
    }

    fn read_all(path: &Path) -> Result<HashMap<String, Tensor>> {
        TensorFile::open(path)?.read(|_| true, &Device::Cpu)
    }

    #[test]
    fn files_are_plain_safetensors_and_equal_contents_equal_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.safetensors");
        let bytes = sample(&path);
        assert_eq!(bytes, sample(&dir.path().join("y.safetensors")));
        let plain = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
        let ours = read_all(&path).unwrap();
        for tensors in [plain, ours] {
            assert_eq!(tensors["a"].to_scalar::<u32>().unwrap(), 7);
            let b = tensors["b.weight"].to_vec1::<f32>().unwrap();
            assert_eq!(b, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        }
        let file = TensorFile::open(&path).unwrap();
        assert_eq!(file.entry("note"), Some("\"quoted\""));
        assert!(file.is_sealed());
        let some = file.read(|name| name == "a", &Device::Cpu).unwrap();
        assert_eq!(some.len(), 1);
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_detected() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.safetensors");
        let bytes = sample(&path);
        let key = bytes.windows(6).position(|w| w == SEAL.as_bytes()).unwrap();
        for i in 0..bytes.len() {
            // Under another name the checksum is an ordinary entry, and nothing else in the file has changed.
            if (key..key + SEAL.len()).contains(&i) {
                continue;
            }
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[i] ^= 1 << bit;
                std::fs::write(&path, flipped).unwrap();
                let error = read_all(&path).unwrap_err();
                assert!(
                    matches!(error, ModelError::Damaged { .. }),
                    "byte {i} bit {bit}: {error}"
                );
            }
        }
        for length in 0..bytes.len() {
            std::fs::write(&path, &bytes[..length]).unwrap();
            assert!(
                matches!(read_all(&path), Err(ModelError::Damaged { .. })),
                "{length} bytes"
            );
        }
    }

    #[test]
    fn files_without_a_checksum_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.safetensors");
        let x = Tensor::arange(0f32, 3.0, &Device::Cpu).unwrap();
        candle_core::safetensors::save(&HashMap::from([("x", x.clone()), ("w", x)]), &path)
            .unwrap();
        let file = TensorFile::open(&path).unwrap();
        assert!(!file.is_sealed());
        let found = file.read(|name| name == "x", &Device::Cpu).unwrap();
        assert_eq!(found["x"].to_vec1::<f32>().unwrap(), [0.0, 1.0, 2.0]);
    }
}
