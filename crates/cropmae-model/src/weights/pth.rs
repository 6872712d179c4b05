//! PyTorch checkpoints: a zip archive of one pickle, `NAME/data.pkl`, and a file of raw values for each storage,
//! `NAME/data/KEY` (the format of `torch.save` since PyTorch 1.6). Tensors are views of storages and may be
//! strided.
//!
//! The length of a file bounds the memory for reading it. Entries must be stored uncompressed, as `torch.save` stores
//! them, so none is larger than the file. The tensors that are read together must not have more values than the file
//! has bytes. The checksums of the archive are verified.

mod view;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};

use safetensors::Dtype;
use zip::{CompressionMethod, ZipArchive, result::ZipError};

use super::pickle::{Id, Object, Pickle};
use view::View;

/// The size in bytes of the longest pickle that is read. Those of the largest checkpoints have a few MiB.
const MAX_PICKLE: u64 = 64 << 20;

/// The maximum depth of nested dictionaries, such as `{"state": {"model": {"encoder": {..}}}}`.
const MAX_DEPTH: usize = 8;

/// The maximum number of dictionary entries.
const MAX_ENTRIES: usize = 1_000_000;

/// The maximum number of single values (epoch, command-line arguments) that are kept.
const MAX_FACTS: usize = 256;
/// The maximum length of the name or the text of a single value that is kept, in characters.
const MAX_FACT_CHARS: usize = 256;

/// An open PyTorch checkpoint.
pub(crate) struct Pth {
    zip: ZipArchive<BufReader<File>>,
    file_len: u64,
    folder: String,
    /// The tensors by their path through the dictionaries, joined by dots.
    pub views: BTreeMap<String, View>,
    /// Single values in the file, such as `epoch` or `args.architecture`.
    pub facts: BTreeMap<String, String>,
    /// The entries of the outermost dictionary, with the class of those that are pickled objects.
    pub roots: Vec<String>,
}

impl Pth {
    /// Reads the pickle of the archive in `file`.
    pub fn open(file: File) -> Result<Self, String> {
        let file_len = file.metadata().map_err(|error| error.to_string())?.len();
        let mut zip = ZipArchive::new(BufReader::new(file)).map_err(zip_problem)?;
        let names: Vec<String> = zip
            .file_names()
            .filter_map(|name| Some(name.ok()?.into_owned()))
            .filter(|name| name == "data.pkl" || name.ends_with("/data.pkl"))
            .collect();
        let [name] = names.as_slice() else {
            return Err(format!(
                "found {} files named data.pkl in the archive, expected one, as torch.save writes it",
                names.len()
            ));
        };
        let folder = name.trim_end_matches("data.pkl").to_owned();
        if let Ok(order) = read_entry(&mut zip, &format!("{folder}byteorder"), 16)
            && order != b"little"
        {
            return Err(
                "its values are big-endian: save it again on a little-endian machine".into(),
            );
        }
        let pickle = Pickle::parse(&read_entry(&mut zip, name, MAX_PICKLE)?)
            .map_err(|error| format!("{name}, {error}"))?;
        let mut walk = Walk {
            pickle: &pickle,
            entries: 0,
            views: BTreeMap::new(),
            facts: BTreeMap::new(),
        };
        let mut roots = Vec::new();
        match pickle.get(pickle.root()) {
            Object::Dict(entries) => {
                for &(key, value) in entries.iter().take(64) {
                    if let Some(key) = pickle.text(key) {
                        roots.push(match pickle.call(value) {
                            Some((class, _)) => format!("{key} ({class})"),
                            None => key.to_owned(),
                        });
                    }
                }
                walk.dict("", entries, MAX_DEPTH)?;
            }
            _ => {
                let what = match pickle.call(pickle.root()) {
                    Some((class, _)) => format!("one object, {class}"),
                    None => "no dictionary".to_owned(),
                };
                return Err(format!(
                    "it holds {what}: save model.state_dict() instead, which needs no code to be read"
                ));
            }
        }
        let Walk { views, facts, .. } = walk;
        Ok(Self {
            zip,
            file_len,
            folder,
            views,
            facts,
            roots,
        })
    }

    /// Calls `take` with the values of each of the named tensors in row-major order. Views of one storage are read
    /// together, so that no storage is read twice.
    pub fn read<E: From<String>>(
        &mut self,
        names: &[&str],
        mut take: impl FnMut(&str, &View, Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut by_storage: BTreeMap<String, Vec<(&str, View)>> = BTreeMap::new();
        let mut values = 0u64;
        for &name in names {
            let view = self
                .views
                .get(name)
                .ok_or_else(|| format!("tensor {name} is not in the file"))?;
            let count = view
                .check()
                .map_err(|problem| format!("tensor {name}: {problem}"))?;
            values = values.saturating_add(count as u64);
            if values > self.file_len {
                return Err(format!(
                    "tensor {name}: more values than a file of {} bytes can hold",
                    self.file_len
                )
                .into());
            }
            let same = by_storage.entry(view.storage.clone()).or_default();
            same.push((name, view.clone()));
        }
        for (storage, views) in by_storage {
            let entry = format!("{}data/{storage}", self.folder);
            let bytes = read_entry(&mut self.zip, &entry, self.file_len)?;
            for (name, view) in views {
                let gathered = view
                    .gather(&bytes)
                    .map_err(|problem| format!("tensor {name}: {problem}"))?;
                take(name, &view, gathered)?;
            }
        }
        Ok(())
    }
}

/// Finds tensors and facts in the object graph of a checkpoint.
struct Walk<'p> {
    pickle: &'p Pickle,
    entries: usize,
    views: BTreeMap<String, View>,
    facts: BTreeMap<String, String>,
}

impl Walk<'_> {
    fn dict(&mut self, path: &str, entries: &[(Id, Id)], depth: usize) -> Result<(), String> {
        for &(key, value) in entries {
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                return Err(format!(
                    "more than {MAX_ENTRIES} entries in its dictionaries"
                ));
            }
            // The states of optimizers have numbers as keys. They are not weights.
            let Some(key) = self.pickle.text(key) else {
                continue;
            };
            let path = if path.is_empty() {
                key.to_owned()
            } else {
                format!("{path}.{key}")
            };
            self.value(path, value, depth)?;
        }
        Ok(())
    }

    fn value(&mut self, path: String, value: Id, depth: usize) -> Result<(), String> {
        let pickle = self.pickle;
        match pickle.get(value) {
            Object::Dict(entries) if depth > 0 => self.dict(&path, entries, depth - 1)?,
            Object::Int(value) => self.fact(path, value.to_string()),
            Object::Float(value) => self.fact(path, value.to_string()),
            Object::Bool(value) => self.fact(path, value.to_string()),
            Object::Text(value) => self.fact(path, value.clone()),
            Object::Call { callee, state, .. } => match (pickle.get(*callee), state) {
                (Object::Class(class), Some(state)) if class == "argparse.Namespace" => {
                    if let Object::Dict(entries) = pickle.get(*state)
                        && depth > 0
                    {
                        self.dict(&path, entries, depth - 1)?;
                    }
                }
                _ => {
                    if let Some(view) = tensor(pickle, value, 4) {
                        self.views.insert(path, view);
                    }
                }
            },
            _ => {}
        }
        Ok(())
    }

    fn fact(&mut self, path: String, value: String) {
        let short = value.chars().count() <= MAX_FACT_CHARS && path.len() <= MAX_FACT_CHARS;
        if short && self.facts.len() < MAX_FACTS {
            self.facts.insert(path, value);
        }
    }
}

/// Returns the tensor that the call at `id` would rebuild, if it rebuilds a tensor.
fn tensor(pickle: &Pickle, id: Id, wrappers: usize) -> Option<View> {
    let (class, args) = pickle.call(id)?;
    rebuilt(pickle, class, args, wrappers)
}

fn rebuilt(pickle: &Pickle, class: &str, args: &[Id], wrappers: usize) -> Option<View> {
    match (class, args) {
        // (storage, offset, shape, strides, requires_grad, hooks)
        ("torch._utils._rebuild_tensor_v2", &[storage, offset, shape, strides, ..]) => {
            let Object::Persistent(key) = *pickle.get(storage) else {
                return None;
            };
            // ("storage", type, key, device, elements)
            let &[_, kind, key, _, elements] = pickle.items(key)? else {
                return None;
            };
            let Object::Class(kind) = pickle.get(kind) else {
                return None;
            };
            let sizes = |id: Id| -> Option<Vec<usize>> {
                let items = pickle.items(id)?.iter();
                items.map(|&id| pickle.size(id)).collect()
            };
            Some(View {
                shape: sizes(shape)?,
                dtype: storage_dtype(kind),
                storage: pickle.text(key)?.to_owned(),
                storage_len: pickle.size(elements)?,
                offset: pickle.size(offset)?,
                strides: sizes(strides)?,
            })
        }
        // (tensor, requires_grad, hooks)
        (
            "torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state",
            &[inner, ..],
        ) if wrappers > 0 => tensor(pickle, inner, wrappers - 1),
        // (function, class, arguments, state)
        ("torch._tensor._rebuild_from_type_v2", &[function, _, args, ..]) if wrappers > 0 => {
            match pickle.get(function) {
                Object::Class(class) => rebuilt(pickle, class, pickle.items(args)?, wrappers - 1),
                _ => None,
            }
        }
        _ => None,
    }
}

fn storage_dtype(class: &str) -> Option<Dtype> {
    Some(match class.rsplit('.').next()? {
        "FloatStorage" => Dtype::F32,
        "DoubleStorage" => Dtype::F64,
        "HalfStorage" => Dtype::F16,
        "BFloat16Storage" => Dtype::BF16,
        "LongStorage" => Dtype::I64,
        "IntStorage" => Dtype::I32,
        "ShortStorage" => Dtype::I16,
        "CharStorage" => Dtype::I8,
        "ByteStorage" => Dtype::U8,
        "BoolStorage" => Dtype::BOOL,
        _ => return None,
    })
}

/// Reads a whole entry of at most `limit` bytes and verifies its checksum.
fn read_entry(
    zip: &mut ZipArchive<BufReader<File>>,
    name: &str,
    limit: u64,
) -> Result<Vec<u8>, String> {
    let entry = zip
        .by_name(name)
        .map_err(|error| format!("{name}: {}", zip_problem(error)))?;
    if entry.compression() != CompressionMethod::Stored {
        return Err(format!("{name} is compressed: {COMPRESSED}"));
    }
    if entry.size() > limit {
        return Err(format!(
            "{name} has {} bytes, expected at most {limit}",
            entry.size()
        ));
    }
    let mut bytes = Vec::new();
    // The size in the header may be wrong, so the limit is also applied to the bytes that are read.
    entry
        .take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("{name}: {error}"))?;
    if bytes.len() as u64 > limit {
        return Err(format!("{name} has more than {limit} bytes"));
    }
    Ok(bytes)
}

const COMPRESSED: &str = "torch.save does not compress files: load it in Python and save it again";

fn zip_problem(error: ZipError) -> String {
    match error {
        ZipError::UnsupportedArchive(what) => format!("{what}: {COMPRESSED}"),
        other => other.to_string(),
    }
}
