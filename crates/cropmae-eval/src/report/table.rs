//! Writes tables of scores as CSV and JSON.

use std::fmt::Write;
use std::path::Path;

use serde_json::{Map, Value};

use crate::error::EvalError;
use crate::files::{replace, replace_json};

/// The number of decimals in the tables of the official toolkits.
pub const TOOLKIT_DECIMALS: usize = 3;

/// A table of scores.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// The name of the files, without an extension.
    pub file: &'static str,
    /// The header of the names of rows, or `None` in a table with a single row.
    pub key: Option<&'static str>,
    /// The number of decimals of a score in the CSV file.
    pub decimals: usize,
    /// The names of the columns of scores.
    pub columns: Vec<String>,
    /// The rows, with a name and a score for each column. A score may be missing.
    pub rows: Vec<(String, Vec<Option<f64>>)>,
}

impl Table {
    /// Writes `FILE.csv` and `FILE.json` into the folder `out`.
    ///
    /// # Errors
    /// Returns [`EvalError::Write`] with the path if a file cannot be written.
    pub fn write(&self, out: &Path) -> Result<(), EvalError> {
        let file = |extension| out.join(format!("{}.{extension}", self.file));
        replace(&file("csv"), self.csv().as_bytes())?;
        replace_json(&file("json"), &self.json())
    }

    /// Returns the table as comma-separated values. A missing score is an empty field.
    pub fn csv(&self) -> String {
        let key = self.key.map(str::to_owned);
        let header: Vec<String> = key.into_iter().chain(self.columns.clone()).collect();
        let mut text = header.join(",");
        text.push('\n');
        for (name, scores) in &self.rows {
            let mut fields: Vec<String> = self.key.iter().map(|_| name.clone()).collect();
            for score in scores {
                let mut field = String::new();
                if let Some(score) = score {
                    // Writing into a String cannot fail.
                    let _ = write!(field, "{score:.*}", self.decimals);
                }
                fields.push(field);
            }
            text.push_str(&fields.join(","));
            text.push('\n');
        }
        text
    }

    /// Returns the table as a list of rows, which are objects with the names of the columns as keys.
    ///
    /// Scores are not rounded, and a missing score is null.
    pub fn json(&self) -> Value {
        let row = |(name, scores): &(String, Vec<Option<f64>>)| {
            let key = self.key.map(|key| (key.to_owned(), name.clone().into()));
            let scores = self.columns.iter().cloned().zip(scores);
            // NaN becomes null.
            let scores = scores.map(|(column, score)| (column, Value::from(*score)));
            Value::Object(key.into_iter().chain(scores).collect::<Map<_, _>>())
        };
        self.rows.iter().map(row).collect()
    }
}
