//! Tables of scores, as CSV for people and spreadsheets and as JSON for programs.

use std::fmt::Write;
use std::path::Path;

use serde_json::{Map, Value};

use crate::error::EvalError;
use crate::files::{replace, replace_json};

/// Decimals of the official toolkits' tables.
pub(crate) const TOOLKIT_DECIMALS: usize = 3;

/// Rows of scores under column names.
pub(crate) struct Table {
    /// File name without extension.
    pub file: &'static str,
    /// What names a row; none in a table of a single row.
    pub key: Option<&'static str>,
    /// Decimals of a score in CSV.
    pub decimals: usize,
    /// Names of the scores.
    pub columns: Vec<String>,
    /// A row's name and its scores.
    pub rows: Vec<(String, Vec<Option<f64>>)>,
}

impl Table {
    /// Writes `FILE.csv` and `FILE.json` into the folder `out`.
    pub fn write(&self, out: &Path) -> Result<(), EvalError> {
        let file = |extension| out.join(format!("{}.{extension}", self.file));
        replace(&file("csv"), self.csv().as_bytes())?;
        replace_json(&file("json"), &self.json())
    }

    /// Comma separated; a missing score is an empty field.
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

    /// A list of rows, each an object with the column names as keys, unrounded; a missing score is null.
    pub fn json(&self) -> Value {
        let row = |(name, scores): &(String, Vec<Option<f64>>)| {
            let key = self.key.map(|key| (key.to_owned(), name.clone().into()));
            let scores = self.columns.iter().cloned().zip(scores);
            // What is not a number becomes null.
            let scores = scores.map(|(column, score)| (column, Value::from(*score)));
            Value::Object(key.into_iter().chain(scores).collect::<Map<_, _>>())
        };
        self.rows.iter().map(row).collect()
    }
}
