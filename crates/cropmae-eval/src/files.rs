//! Lists and writes files and folders.

mod list;
mod write;

pub(crate) use list::{list_files, list_folders, read_list, require_pairs, stem, unpaired};
pub(crate) use write::{replace, replace_json, write};
