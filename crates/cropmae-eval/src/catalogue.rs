//! What a data set holds: the sequences of its list, and their files.

use std::path::{Path, PathBuf};

use cropmae_data::fingerprint;

use crate::benchmarks::{davis, jhmdb, vip};
use crate::error::EvalError;
use crate::evaluate::{EvalOptions, Task};
use crate::files::read_list;

/// The sequences to evaluate, in the order of their list.
pub(crate) struct Catalogue {
    pub task: Task,
    pub root: PathBuf,
    /// File or folder that lists the sequences.
    pub list: PathBuf,
    pub names: Vec<String>,
    /// Whether the names are the official list's, all of them.
    pub official: bool,
}

/// Files of one sequence as they lie there, not yet checked against each other.
#[derive(Debug, Clone)]
pub(crate) struct SequenceFiles {
    /// Folder of the frames.
    pub folder: PathBuf,
    /// In the order of their numbers.
    pub frames: Vec<PathBuf>,
    /// One mask a frame, or the joints of all frames.
    pub annotations: Vec<PathBuf>,
}

impl Catalogue {
    /// Lists the data set at `root`: the official list, or the one of [`EvalOptions::list`], cut down to
    /// [`EvalOptions::sequences`] and [`EvalOptions::max_sequences`].
    pub fn open(task: Task, root: &Path, options: &EvalOptions) -> Result<Self, EvalError> {
        let (list, listed) = match &options.list {
            Some(list) => (list.clone(), read_list(list, "a sequence name a line")?),
            None => match task {
                Task::Davis => davis::LAYOUT.list(root)?,
                Task::Vip => vip::LAYOUT.list(root)?,
                Task::Jhmdb => jhmdb::list(root)?,
            },
        };
        let all = listed.len();
        let mut names = select(listed, &list, options.sequences.as_deref())?;
        names.truncate(options.max_sequences.unwrap_or(all));
        Ok(Self {
            task,
            root: root.into(),
            official: options.list.is_none() && names.len() == all,
            list,
            names,
        })
    }

    /// Files of a sequence.
    pub fn files(&self, name: &str) -> Result<SequenceFiles, EvalError> {
        match self.task {
            Task::Davis => davis::LAYOUT.files(&self.root, name),
            Task::Vip => vip::LAYOUT.files(&self.root, name),
            Task::Jhmdb => jhmdb::files(&self.root, name),
        }
    }

    /// Identifies the data: names and sizes of the sequences' frames and annotations. A sequence whose files
    /// cannot be listed counts by its name.
    pub fn fingerprint(&self) -> String {
        let files = self.names.iter().flat_map(|name| match self.files(name) {
            Ok(files) => [files.frames, files.annotations].concat(),
            Err(_) => vec![self.root.join(name)],
        });
        let relative = |path: PathBuf| match path.strip_prefix(&self.root) {
            Ok(relative) => relative.to_owned(),
            Err(_) => path,
        };
        fingerprint::of_files(&self.root, &files.map(relative).collect::<Vec<_>>())
    }
}

/// The listed sequences that were asked for, in the order of the list.
fn select(
    listed: Vec<String>,
    list: &Path,
    wanted: Option<&[String]>,
) -> Result<Vec<String>, EvalError> {
    let Some(wanted) = wanted else {
        return Ok(listed);
    };
    if let Some(name) = wanted.iter().find(|name| !listed.contains(name)) {
        return Err(EvalError::UnknownSequence {
            name: name.clone(),
            list: list.into(),
            known: listed.join(", "),
        });
    }
    Ok(listed
        .into_iter()
        .filter(|name| wanted.contains(name))
        .collect())
}
