//! Writes checkpoints for `torch.load(.., weights_only=True)`: the zip format of `torch.save` with one state dictionary
//! under the key `model`, as in the checkpoints of the reference.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use candle_core::Tensor;
use cropmae_files::NewFile;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::Result;

/// The alignment of storages in bytes. It is the same as in PyTorch, so that storages can be memory-mapped.
const ALIGNMENT: u16 = 64;

/// Writes 32-bit tensors to `path`. The file appears only when it is complete.
///
/// # Errors
/// Returns an error if the file cannot be written.
pub(crate) fn save(path: &Path, tensors: &BTreeMap<String, &Tensor>) -> Result<(), io::Error> {
    let mut zip = ZipWriter::new(BufWriter::new(NewFile::create(path)?));
    let mut entry = |name: &str, bytes: &[u8]| {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .with_alignment(ALIGNMENT)
            .large_file(u32::try_from(bytes.len()).is_err());
        zip.start_file(format!("archive/{name}"), options)?;
        zip.write_all(bytes)
    };
    entry("data.pkl", &pickle(tensors))?;
    entry("byteorder", b"little")?;
    for (key, tensor) in tensors.values().enumerate() {
        let values: Vec<f32> = tensor
            .flatten_all()
            .and_then(|flat| flat.to_vec1())
            .map_err(io::Error::other)?;
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        entry(&format!("data/{key}"), &bytes)?;
    }
    entry("version", b"3\n")?;
    zip.finish()?.into_inner()?.commit()
}

/// Pickles `{"model": OrderedDict of tensors}` with protocol 2.
fn pickle(tensors: &BTreeMap<String, &Tensor>) -> Vec<u8> {
    let mut out = b"\x80\x02}".to_vec();
    text(&mut out, "model");
    out.extend(b"ccollections\nOrderedDict\n)R(");
    for (key, (name, tensor)) in tensors.iter().enumerate() {
        text(&mut out, name);
        // _rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, hooks)
        out.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        text(&mut out, "storage");
        out.extend(b"ctorch\nFloatStorage\n");
        text(&mut out, &key.to_string());
        text(&mut out, "cpu");
        integer(&mut out, tensor.elem_count());
        out.extend(b"tQK\x00("); // the tuple is the persistent id of the storage
        for &side in tensor.dims() {
            integer(&mut out, side);
        }
        out.extend(b"t(");
        for i in 1..=tensor.rank() {
            integer(&mut out, tensor.dims()[i..].iter().product()); // row-major strides
        }
        out.extend(b"t\x89ccollections\nOrderedDict\n)RtR");
    }
    out.extend(b"us."); // add the tensors to their dictionary, and that dictionary to the outer one
    out
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.push(b'X');
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.as_bytes());
}

fn integer(out: &mut Vec<u8>, value: usize) {
    match i32::try_from(value) {
        Ok(value) => {
            out.push(b'J');
            out.extend(value.to_le_bytes());
        }
        Err(_) => {
            out.extend([0x8a, 9]); // nine bytes, of which the last keeps the number positive
            out.extend((value as u64).to_le_bytes());
            out.push(0);
        }
    }
}
