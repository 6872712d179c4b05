//! Finds the model in a file and maps its tensors to those of this program.

use std::collections::BTreeMap;
use std::path::Path;

use super::archive::{Archive, Entry};
use super::layouts::{Layout, Role};
use crate::{ModelError, Result, parameters};

/// A vision transformer in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Anchor {
    pub layout: Layout,
    /// The prefix of the tensors' names with the final dot, such as `teacher.module.backbone.`.
    pub prefix: String,
}

/// The names of the file's tensors that make up one tensor of the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    Whole(String),
    /// Query, key and value. Some of them may be missing for a bias.
    Thirds([Option<String>; 3]),
}

/// The tensors of a file by their role in the model.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// The sources of the model's tensors, by the model's names.
    pub tensors: BTreeMap<String, Source>,
    /// The factors of LayerScale, by the model's names of the linear layers that they scale.
    pub scales: BTreeMap<String, String>,
    /// The tensors that do not belong to the model.
    pub elsewhere: Vec<String>,
}

impl Anchor {
    /// Returns a vision transformer in `archive` and the prefixes of the others.
    ///
    /// It is the one under `key`, or without a key the one that evaluations of such files use, such as the teacher of
    /// self-distillation or the averaged copy of a trained model.
    ///
    /// # Errors
    /// Returns [`ModelError::Foreign`] if there is none.
    pub fn find(path: &Path, archive: &Archive, key: Option<&str>) -> Result<(Self, Vec<String>)> {
        let mut found: Vec<Self> = Vec::new();
        for layout in [Layout::Timm, Layout::HuggingFace] {
            let prefixes = archive.entries.keys().filter_map(|name| {
                let prefix = name.strip_suffix(layout.anchor())?;
                (prefix.is_empty() || prefix.ends_with('.')).then_some(prefix)
            });
            found.extend(prefixes.map(|prefix| Self {
                layout,
                prefix: prefix.to_owned(),
            }));
        }
        let wanted = key.map_or_else(String::new, |key| format!("{}.", key.trim_end_matches('.')));
        found.sort_by_key(|anchor| (rank(&anchor.prefix), anchor.prefix.clone()));
        let chosen = found
            .iter()
            .position(|anchor| anchor.prefix.starts_with(&wanted));
        match chosen {
            Some(index) => {
                let chosen = found.remove(index);
                let others = found.into_iter().map(|anchor| anchor.prefix).collect();
                Ok((chosen, others))
            }
            None => Err(ModelError::Foreign {
                path: path.to_owned(),
                problem: nothing_found(archive, &found, key),
            }),
        }
    }

    /// Sorts the tensors of `archive` by their role.
    pub fn sources(&self, archive: &Archive) -> Sources {
        let mut sources = Sources::default();
        for name in archive.entries.keys() {
            let role = name
                .strip_prefix(self.prefix.as_str())
                .and_then(|name| self.layout.role(name));
            match role {
                None => sources.elsewhere.push(name.clone()),
                Some(Role::Whole(ours)) => {
                    sources.tensors.insert(ours, Source::Whole(name.clone()));
                }
                Some(Role::Third(ours, third)) => {
                    let source = sources
                        .tensors
                        .entry(ours)
                        .or_insert(Source::Thirds([None, None, None]));
                    if let Source::Thirds(thirds) = source {
                        thirds[third] = Some(name.clone());
                    }
                }
                Some(Role::Scale(layer)) => {
                    sources.scales.insert(layer, name.clone());
                }
            }
        }
        sources
    }
}

impl Sources {
    /// Returns the shape of the model's tensor `name`, or `None` if the file does not hold it.
    pub fn shape(&self, name: &str, archive: &Archive) -> Option<Vec<usize>> {
        let shape = |name: &String| archive.entries.get(name).map(|Entry { shape, .. }| shape);
        match self.tensors.get(name)? {
            Source::Whole(name) => shape(name).cloned(),
            Source::Thirds(thirds) => {
                // All parts have the shape of the first one in the file. Otherwise assembling them fails.
                let mut whole = shape(thirds.iter().flatten().next()?)?.clone();
                let rows = whole.first_mut()?;
                *rows = rows.checked_mul(3)?;
                Some(whole)
            }
        }
    }

    /// Returns the tensors that are not `used`: first those in the parts of a vision transformer, then the others.
    pub fn unused(&self, used: impl Fn(&str) -> bool) -> (Vec<String>, Vec<String>) {
        let mut inside = Vec::new();
        let mut outside = self.elsewhere.clone();
        for (ours, source) in &self.tensors {
            if used(ours) {
                continue;
            }
            let names: Vec<String> = match source {
                Source::Whole(name) => vec![name.clone()],
                Source::Thirds(thirds) => thirds.iter().flatten().cloned().collect(),
            };
            if is_of_encoder(ours) {
                inside.extend(names);
            } else {
                outside.extend(names);
            }
        }
        outside.sort_unstable();
        (inside, outside)
    }
}

/// Returns whether a tensor with this name, in the model's naming scheme, changes the output of an encoder.
fn is_of_encoder(name: &str) -> bool {
    const PARTS: [&str; 7] = [
        "blocks.",
        "patch_embed.",
        "norm.",
        "norm_pre.",
        "pos_embed",
        "rel_pos",
        "rope",
    ];
    let part = PARTS.iter().any(|part| name.starts_with(part));
    let token = name.ends_with("_token") || name.ends_with("_tokens");
    part || token && !parameters::is_of_decoder(name)
}

/// Returns the preference for a model in a file, where lower is better. Self-distillation is evaluated with its
/// teacher, an averaged copy is better than its model, and a momentum encoder only supports its base encoder.
fn rank(prefix: &str) -> usize {
    let has = |words: &[&str]| prefix.split('.').any(|part| words.contains(&part));
    if has(&["teacher"]) {
        0
    } else if has(&["state_dict_ema", "model_ema", "ema", "target_encoder"]) {
        1
    } else if has(&["student", "momentum_encoder"]) {
        3
    } else {
        2
    }
}

fn nothing_found(archive: &Archive, found: &[Anchor], key: Option<&str>) -> String {
    let list = |names: Vec<&str>| match names.len() {
        0 => "nothing".to_owned(),
        1..=6 => names.join(", "),
        more => format!("{} and {} more", names[..6].join(", "), more - 6),
    };
    match key {
        Some(key) if !found.is_empty() => format!(
            "no vision transformer under --key {key}, found under: {}",
            list(
                found
                    .iter()
                    .map(|it| it.prefix.trim_end_matches('.'))
                    .collect()
            )
        ),
        _ if archive.entries.is_empty() => format!(
            "no tensors, found: {}",
            list(archive.roots().iter().map(String::as_str).collect())
        ),
        _ => format!(
            "no vision transformer: expected {} (timm, MAE, DINO, the reference) or {} (Hugging Face), found {}",
            Layout::Timm.anchor(),
            Layout::HuggingFace.anchor(),
            list(archive.entries.keys().map(String::as_str).collect())
        ),
    }
}
