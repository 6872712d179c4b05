//! The three data sets: where their files are, and how a sequence is scored.

pub(crate) mod davis;
pub(crate) mod jhmdb;
pub(crate) mod masks;
pub(crate) mod vip;
