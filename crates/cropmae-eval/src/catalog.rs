//! Lists the sequences of a data set and their files.

use std::path::{Path, PathBuf};

use cropmae_data::fingerprint;

use crate::benchmark::{Benchmark, SequenceList};
use crate::error::EvalError;
use crate::files::read_list;
use crate::options::EvalOptions;
use crate::sequence::Sequence;

/// The sequences to evaluate.
pub(crate) struct Catalog {
    root: PathBuf,
    /// The file or folder that lists the sequences.
    pub list: PathBuf,
    /// The sequences, in the order of the list.
    pub sequences: Vec<Sequence>,
    /// `true` if these are all sequences of the official list.
    pub official: bool,
}

impl Catalog {
    /// Lists the data set at `root`, by the official list or by [`EvalOptions::list`].
    ///
    /// [`EvalOptions::sequences`] and [`EvalOptions::max_sequences`] limit the list.
    pub fn open(
        benchmark: &dyn Benchmark,
        root: &Path,
        options: &EvalOptions,
    ) -> Result<Self, EvalError> {
        let list = match &options.list {
            Some(list) => SequenceList {
                source: list.clone(),
                names: read_list(list, "a sequence name per line")?,
            },
            None => benchmark.list(root)?,
        };
        let all = list.names.len();
        let mut names = select(&list, options.sequences.as_deref())?;
        names.truncate(options.max_sequences.unwrap_or(all));
        let official = options.list.is_none() && names.len() == all;
        let sequences = names.into_iter().map(|name| Sequence {
            files: benchmark.files(root, &name),
            name,
        });
        Ok(Self {
            root: root.into(),
            list: list.source,
            sequences: sequences.collect(),
            official,
        })
    }

    /// Returns a fingerprint of the data from the names and sizes of the frames and annotations.
    pub fn fingerprint(&self) -> String {
        let files = self.sequences.iter().flat_map(|it| it.identity(&self.root));
        let relative = |path: PathBuf| match path.strip_prefix(&self.root) {
            Ok(relative) => relative.to_owned(),
            Err(_) => path,
        };
        fingerprint::of_files(&self.root, &files.map(relative).collect::<Vec<_>>())
    }
}

/// Returns the requested sequences, in the order of the list.
fn select(list: &SequenceList, wanted: Option<&[String]>) -> Result<Vec<String>, EvalError> {
    let Some(wanted) = wanted else {
        return Ok(list.names.clone());
    };
    if let Some(name) = wanted.iter().find(|name| !list.names.contains(name)) {
        return Err(EvalError::UnknownSequence {
            name: name.clone(),
            list: list.source.clone(),
            known: list.names.join(", "),
        });
    }
    let listed = list.names.iter().filter(|name| wanted.contains(name));
    Ok(listed.cloned().collect())
}
