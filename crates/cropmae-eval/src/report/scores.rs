//! The scores of any benchmark.

use std::any::Any;
use std::fmt::Debug;

use super::{Measure, Table};

/// The scores of one benchmark.
///
/// In a report, their key is the name of the benchmark: `{"davis": {..}}`.
#[typetag::serde]
pub trait Scores: Any + Debug + Send + Sync + Same {
    /// Returns the numbers in the table of a paper, the main one first.
    fn headline(&self) -> Vec<Measure>;

    /// Returns the tables that are written next to a report.
    fn tables(&self) -> Vec<Table>;
}

impl dyn Scores {
    /// Returns the scores as those of a particular benchmark, or `None` if they belong to another one.
    pub fn downcast_ref<T: Scores>(&self) -> Option<&T> {
        (self as &dyn Any).downcast_ref()
    }
}

impl PartialEq for dyn Scores {
    fn eq(&self, other: &Self) -> bool {
        self.same(other)
    }
}

/// Lets a struct with boxed scores derive `PartialEq`. Without this, the derived code would move the box (rust-lang/rust
/// issue 31740).
impl PartialEq<&Self> for Box<dyn Scores> {
    fn eq(&self, other: &&Self) -> bool {
        **self == ***other
    }
}

/// A comparison of values whose types may differ.
pub trait Same {
    /// Returns `true` if `other` has the same type and is equal.
    fn same(&self, other: &dyn Any) -> bool;
}

impl<T: Any + PartialEq> Same for T {
    fn same(&self, other: &dyn Any) -> bool {
        other.downcast_ref() == Some(self)
    }
}
