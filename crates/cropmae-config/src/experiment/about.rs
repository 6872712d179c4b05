//! The table `[about]`: the source of a recipe.

use serde::{Deserialize, Serialize};

/// The source of a recipe and its expected results, as free text. Nothing here affects training.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct About {
    /// The short name of the recipe. The default run folder has this name.
    pub name: String,
    /// The paper and table that the recipe reproduces.
    pub paper: String,
    /// The command that runs the recipe.
    pub command: String,
    /// The expected score and its source.
    pub expected: String,
    /// The hardware and hours of the published run, and their source.
    pub cost: String,
}
