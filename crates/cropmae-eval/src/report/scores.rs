//! The scores of a benchmark, whichever it is.

use std::any::Any;
use std::fmt::Debug;

use super::{Measure, Table};

/// The scores of one benchmark.
///
/// In a report they stand under the benchmark's name: `{"davis": {..}}`.
#[typetag::serde]
pub trait Scores: Any + Debug + Send + Sync + Same {
    /// The numbers that a paper's table shows, the main one first.
    fn headline(&self) -> Vec<Measure>;

    /// The tables that are written beside a report.
    fn tables(&self) -> Vec<Table>;
}

impl dyn Scores {
    /// The scores of a certain benchmark; none if they are another's.
    pub fn downcast_ref<T: Scores>(&self) -> Option<&T> {
        (self as &dyn Any).downcast_ref()
    }
}

impl PartialEq for dyn Scores {
    fn eq(&self, other: &Self) -> bool {
        self.same(other)
    }
}

/// Lets a struct that holds boxed scores derive `PartialEq`: the derived code would move the box without this
/// (rust-lang/rust issue 31740).
impl PartialEq<&Self> for Box<dyn Scores> {
    fn eq(&self, other: &&Self) -> bool {
        **self == ***other
    }
}

/// Equality of values whose types may differ.
pub trait Same {
    /// Whether `other` is of the same type and equal.
    fn same(&self, other: &dyn Any) -> bool;
}

impl<T: Any + PartialEq> Same for T {
    fn same(&self, other: &dyn Any) -> bool {
        other.downcast_ref() == Some(self)
    }
}
