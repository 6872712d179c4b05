//! `[about]`: where a recipe comes from.

use serde::{Deserialize, Serialize};

/// Provenance of a recipe. Free text for people; nothing here changes a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct About {
    /// Short name, used for the default run folder.
    pub name: String,
    /// Paper and table that the recipe reproduces.
    pub paper: String,
    /// The command that runs it.
    pub command: String,
    /// Score to expect, with its source.
    pub expected: String,
    /// Hardware and hours of the published run, with their source.
    pub cost: String,
}
