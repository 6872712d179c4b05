//! `hf://org/dataset[/path][@revision]`: data sets of the Hugging Face hub, through its own cache. What is
//! missing there is downloaded before a run starts; a data set that is whole in the cache needs no network.
//!
//! `HF_HOME` says where the cache is, `HF_ENDPOINT` which hub, `HF_HUB_OFFLINE=1` forbids the network.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use hf_hub::api::sync::ApiBuilder;
use hf_hub::{Cache, Repo, RepoType};

use super::file_kind::FileKind;
use crate::DataError;

/// Where data sets come from.
#[derive(Debug)]
pub(super) struct Hub {
    cache: Cache,
    /// Address of the hub, unless it is forbidden.
    endpoint: Option<String>,
}

/// A data set, or a part of one.
#[derive(Debug, PartialEq, Eq)]
struct Address<'a> {
    name: &'a str,
    /// Folder or file in it, empty for all.
    path: &'a str,
    revision: &'a str,
}

impl<'a> Address<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (text, revision) = text.rsplit_once('@').unwrap_or((text, "main"));
        let end = text.match_indices('/').nth(1);
        let (name, path) = match end {
            Some((end, _)) => (&text[..end], text[end + 1..].trim_matches('/')),
            None => (text, ""),
        };
        let (organization, set) = name.split_once('/')?;
        let whole = [organization, set, revision]
            .iter()
            .all(|part| !part.is_empty());
        (whole && is_inside(text) && is_inside(revision)).then_some(Self {
            name,
            path,
            revision,
        })
    }

    /// Whether the file called `name` belongs to the part.
    fn holds(&self, name: &str) -> bool {
        name.strip_prefix(self.path)
            .is_some_and(|rest| self.path.is_empty() || rest.is_empty() || rest.starts_with('/'))
    }
}

impl Hub {
    /// As the environment says.
    pub(super) fn from_env() -> Self {
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let offline = set("HF_HUB_OFFLINE").is_some_and(|value| {
            ["1", "on", "yes", "true"].contains(&value.to_lowercase().as_str())
        });
        let endpoint = set("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned());
        Self {
            cache: Cache::from_env(),
            endpoint: (!offline).then_some(endpoint),
        }
    }

    /// The local folder or file of `text`, what follows `hf://`.
    pub(super) fn fetch(&self, text: &str) -> Result<PathBuf, DataError> {
        let failed = |message| DataError::Hub {
            address: format!("hf://{text}"),
            message,
        };
        let address = Address::parse(text)
            .ok_or_else(|| failed("expected hf://org/dataset[/path][@revision]".to_owned()))?;
        let snapshot = match &self.endpoint {
            None => self.cached(&address).ok_or_else(|| {
                "not in the cache, and HF_HUB_OFFLINE forbids to download it".to_owned()
            }),
            Some(endpoint) => self.download(&address, endpoint).or_else(|reason| {
                let cached = self.cached(&address).ok_or_else(|| reason.clone())?;
                tracing::warn!("hf://{text}: taking what the cache holds of it: {reason}");
                Ok(cached)
            }),
        };
        let snapshot = snapshot.map_err(|reason| {
            failed(format!("{reason} (cache {})", self.cache.path().display()))
        })?;
        let found = snapshot.join(address.path);
        if found.exists() {
            Ok(found)
        } else {
            Err(failed(format!("there is no {}", address.path)))
        }
    }

    fn repo(address: &Address) -> Repo {
        Repo::with_revision(
            address.name.to_owned(),
            RepoType::Dataset,
            address.revision.to_owned(),
        )
    }

    /// The folder of the revision that was downloaded last.
    fn cached(&self, address: &Address) -> Option<PathBuf> {
        let folder = self.cache.path().join(Self::repo(address).folder_name());
        let named = std::fs::read_to_string(folder.join("refs").join(address.revision));
        // A revision may be a commit itself.
        let commit = named.unwrap_or_else(|_| address.revision.to_owned());
        let snapshot = folder.join("snapshots").join(commit.trim());
        snapshot.is_dir().then_some(snapshot)
    }

    /// Downloads what the cache lacks of the samples of `address`; the error is the reason in words.
    fn download(&self, address: &Address, endpoint: &str) -> Result<PathBuf, String> {
        let api = ApiBuilder::from_cache(self.cache.clone())
            .with_endpoint(endpoint.to_owned())
            .with_progress(false)
            .with_retries(3)
            .build()
            .map_err(|error| error.to_string())?;
        let repo = api.repo(Self::repo(address));
        let info = repo
            .info()
            .map_err(|error| format!("cannot ask {endpoint} about it: {error}"))?;
        let names = info.siblings.iter().map(|file| file.rfilename.as_str());
        let wanted = samples(names.filter(|name| address.holds(name)));
        if wanted.is_empty() {
            return Err("it holds no samples".to_owned());
        }
        let local = self.cache.repo(Self::repo(address));
        let missing: Vec<&str> = wanted
            .into_iter()
            .filter(|name| local.get(name).is_none())
            .collect();
        for (number, name) in (1..).zip(&missing) {
            tracing::info!(
                "hf://{}: downloading {name} ({number} of {})",
                address.name,
                missing.len()
            );
            repo.get(name)
                .map_err(|error| format!("cannot download {name}: {error}"))?;
        }
        self.cached(address)
            .ok_or_else(|| "its download left nothing in the cache".to_owned())
    }
}

/// Whether the path `name` stays inside the folder it is joined to: names go into paths of the cache.
fn is_inside(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    parts.all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

/// The files of the kind that a folder of all of them would be taken for.
fn samples<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut by_kind: BTreeMap<FileKind, Vec<&str>> = BTreeMap::new();
    for name in names.filter(|name| is_inside(name)) {
        if let Some(kind) = FileKind::of(Path::new(name)) {
            by_kind.entry(kind).or_default().push(name);
        }
    }
    let most = by_kind.values().map(Vec::len).max();
    let kind = by_kind
        .into_values()
        .find(|names| Some(names.len()) == most);
    kind.unwrap_or_default()
}

#[cfg(test)]
mod tests;
