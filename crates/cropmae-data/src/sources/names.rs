//! The names of millions of files in one block of memory, with an overhead of eight bytes per name.

use std::path::{Path, PathBuf};

/// A list of relative paths.
#[derive(Debug, Default)]
pub(crate) struct Names {
    bytes: Vec<u8>,
    /// The end of each name in `bytes`.
    ends: Vec<usize>,
}

impl Names {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn push(&mut self, name: &Path) {
        self.push_bytes(name.as_os_str().as_encoded_bytes());
    }

    /// Adds a name in the form in which a list file contains it.
    pub(crate) fn push_bytes(&mut self, name: &[u8]) {
        self.bytes.extend_from_slice(name);
        self.ends.push(self.bytes.len());
    }

    pub(crate) fn get(&self, index: usize) -> PathBuf {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        path(&self.bytes[start..self.ends[index]])
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = PathBuf> + '_ {
        (0..self.len()).map(|index| self.get(index))
    }

    /// Frees unused capacity.
    pub(crate) fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
        self.ends.shrink_to_fit();
    }
}

impl<P: AsRef<Path>> FromIterator<P> for Names {
    fn from_iter<I: IntoIterator<Item = P>>(paths: I) -> Self {
        let mut names = Self::default();
        paths.into_iter().for_each(|path| names.push(path.as_ref()));
        names.shrink();
        names
    }
}

/// Converts bytes to a path.
#[cfg(unix)]
fn path(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
}

/// Converts bytes to a path. Unpaired surrogates, which only Windows allows, are lost.
#[cfg(not(unix))]
fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(String::from_utf8_lossy(bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_as_they_were() {
        let given = ["a/1.jpg", "", "ä ö.png", "it's.webp"];
        let names: Names = given.iter().collect();
        assert_eq!(names.len(), 4);
        assert!(names.iter().eq(given.iter().map(PathBuf::from)));
    }

    #[cfg(unix)]
    #[test]
    fn names_need_not_be_text() {
        use std::os::unix::ffi::OsStrExt;
        let odd = Path::new(std::ffi::OsStr::from_bytes(b"\xff\xfe.jpg"));
        let names: Names = [odd].iter().collect();
        assert_eq!(names.get(0), odd);
    }
}
