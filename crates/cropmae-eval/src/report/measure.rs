//! Numbers with their units.

/// The unit of a measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A share from 0 to 1.
    Share,
    /// A percentage.
    Percent,
}

/// A number in the table of a paper.
#[derive(Debug, Clone, PartialEq)]
pub struct Measure {
    /// The name that the official evaluation prints.
    pub name: String,
    /// The value, or NaN if it could not be measured.
    pub value: f64,
    /// The unit of the value.
    pub unit: Unit,
}

impl Measure {
    /// Creates a measure whose value is a share from 0 to 1.
    pub fn share(name: impl Into<String>, value: f64) -> Self {
        let (name, unit) = (name.into(), Unit::Share);
        Self { name, value, unit }
    }

    /// Creates a measure whose value is a percentage.
    pub fn percent(name: impl Into<String>, value: f64) -> Self {
        let (name, unit) = (name.into(), Unit::Percent);
        Self { name, value, unit }
    }

    /// Returns the value in percent, as in papers.
    pub fn in_percent(&self) -> f64 {
        match self.unit {
            Unit::Share => 100.0 * self.value,
            Unit::Percent => self.value,
        }
    }
}
