//! Lists the images of a data set with one folder per class.

use std::path::{Path, PathBuf};

use cropmae_data::fingerprint;

use crate::error::EvalError;
use crate::files::{list_files, list_folders};

const EXTENSIONS: [&str; 4] = ["jpg", "jpeg", "png", "webp"];

/// An image and the number of its class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    pub path: PathBuf,
    pub class: usize,
}

/// All images, sorted by class.
#[derive(Debug)]
pub(super) struct ClassFolders {
    /// The names of the classes, sorted.
    pub classes: Vec<String>,
    pub train: Vec<Image>,
    pub val: Vec<Image>,
}

impl ClassFolders {
    /// Lists the images in `root/{train,val}/<class>`.
    pub fn open(root: &Path) -> Result<Self, EvalError> {
        let expected = "folders of images, one per class, as in train/<class>/<image>";
        let classes = list_folders(&root.join("train"), expected)?;
        let list = |part: &str| -> Result<Vec<Image>, EvalError> {
            let part = root.join(part);
            for name in list_folders(&part, expected)? {
                if !classes.contains(&name) {
                    return Err(EvalError::Layout {
                        path: root.join("train").join(&name),
                        expected: format!("images of the class of {}", part.join(&name).display()),
                    });
                }
            }
            let mut images = Vec::new();
            for (class, name) in classes.iter().enumerate() {
                let folder = part.join(name);
                if folder.is_dir() {
                    let files = list_files(&folder, &EXTENSIONS, "images of the class")?;
                    images.extend(files.into_iter().map(|path| Image { path, class }));
                }
            }
            Ok(images)
        };
        let (train, val) = (list("train")?, list("val")?);
        Ok(Self {
            classes,
            train,
            val,
        })
    }

    /// Returns a fingerprint of the images from their names and sizes.
    pub fn fingerprint(&self, root: &Path) -> String {
        let images = self.train.iter().chain(&self.val);
        let relative = |image: &Image| match image.path.strip_prefix(root) {
            Ok(relative) => relative.to_owned(),
            Err(_) => image.path.clone(),
        };
        fingerprint::of_files(root, &images.map(relative).collect::<Vec<_>>())
    }
}
