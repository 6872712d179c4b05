//! Numbers with their unit.

/// How the value of a measure is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A share of 1.
    Share,
    /// A share of 100.
    Percent,
}

/// A number that a paper's table shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Measure {
    /// The name under which the official evaluation prints it.
    pub name: String,
    /// Its value; NaN where nothing could be measured.
    pub value: f64,
    /// How the value is meant.
    pub unit: Unit,
}

impl Measure {
    /// A measure whose value is a share of 1.
    pub fn share(name: impl Into<String>, value: f64) -> Self {
        let (name, unit) = (name.into(), Unit::Share);
        Self { name, value, unit }
    }

    /// A measure whose value is a share of 100.
    pub fn percent(name: impl Into<String>, value: f64) -> Self {
        let (name, unit) = (name.into(), Unit::Percent);
        Self { name, value, unit }
    }

    /// The value in percent, as papers print it.
    pub fn in_percent(&self) -> f64 {
        match self.unit {
            Unit::Share => 100.0 * self.value,
            Unit::Percent => self.value,
        }
    }
}
