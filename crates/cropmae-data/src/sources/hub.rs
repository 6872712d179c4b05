//! Data sets of the Hugging Face hub, `hf://org/dataset[/path][@revision]`.
//!
//! They are read through the cache of the hub's own libraries. Missing files are downloaded before a run starts. A data
//! set that is complete in the cache needs no network.
//!
//! `HF_HOME` sets the folder of the cache and `HF_ENDPOINT` the address of the hub. `HF_HUB_OFFLINE=1` forbids all
//! network access.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use hf_hub::api::sync::ApiBuilder;
use hf_hub::{Cache, Repo, RepoType};

use super::file_kind::FileKind;
use crate::DataError;

/// A hub with its local cache.
#[derive(Debug)]
pub(super) struct Hub {
    cache: Cache,
    /// The address of the hub, or `None` if network access is forbidden.
    endpoint: Option<String>,
}

/// The address of a data set or of a part of one.
#[derive(Debug, PartialEq, Eq)]
struct Address<'a> {
    name: &'a str,
    /// The folder or file in the data set, or an empty string for all of it.
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

    /// Returns whether the file `name` belongs to the addressed part.
    fn holds(&self, name: &str) -> bool {
        name.strip_prefix(self.path)
            .is_some_and(|rest| self.path.is_empty() || rest.is_empty() || rest.starts_with('/'))
    }
}

impl Hub {
    /// Creates the hub that the environment variables describe.
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

    /// Returns the local folder or file of `text`, which is the address without `hf://`.
    ///
    /// Downloads what is missing.
    pub(super) fn fetch(&self, text: &str) -> Result<PathBuf, DataError> {
        let failed = |message| DataError::Hub {
            address: format!("hf://{text}"),
            message,
        };
        let address = Address::parse(text)
            .ok_or_else(|| failed("expected hf://org/dataset[/path][@revision]".to_owned()))?;
        let snapshot = match &self.endpoint {
            None => self.cached(&address).ok_or_else(|| {
                "not in the cache, and HF_HUB_OFFLINE forbids downloading it; unset it, or copy the data set to the cache".to_owned()
            }),
            Some(endpoint) => self.download(&address, endpoint).or_else(|reason| {
                let cached = self.cached(&address).ok_or_else(|| reason.clone())?;
                tracing::warn!("hf://{text}: using the files in the cache: {reason}");
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
            Err(failed(format!(
                "the data set has no file or folder {}",
                address.path
            )))
        }
    }

    fn repo(address: &Address) -> Repo {
        Repo::with_revision(
            address.name.to_owned(),
            RepoType::Dataset,
            address.revision.to_owned(),
        )
    }

    /// Returns the folder of the revision as it was last downloaded, if there is one.
    fn cached(&self, address: &Address) -> Option<PathBuf> {
        let folder = self.cache.path().join(Self::repo(address).folder_name());
        let named = std::fs::read_to_string(folder.join("refs").join(address.revision));
        // The revision can be a commit.
        let commit = named.unwrap_or_else(|_| address.revision.to_owned());
        let snapshot = folder.join("snapshots").join(commit.trim());
        snapshot.is_dir().then_some(snapshot)
    }

    /// Downloads the samples of `address` that are missing in the cache. The error is the reason in words.
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
            .map_err(|error| format!("cannot list its files at {endpoint}: {error}"))?;
        let names = info.siblings.iter().map(|file| file.rfilename.as_str());
        let wanted = samples(names.filter(|name| address.holds(name)));
        if wanted.is_empty() {
            return Err("it contains no image, shard, Parquet or video files".to_owned());
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
            .ok_or_else(|| "the cache is empty after the download".to_owned())
    }
}

/// Returns whether the path `name` stays inside the folder it is joined to.
///
/// Names of the hub become parts of paths in the cache, so they must not lead out of it.
fn is_inside(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    parts.all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

/// Returns the files of the kind that [`super::folder`] would choose from a folder of all of them.
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
