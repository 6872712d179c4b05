//! What a device needs to be built for, looked for before cargo starts.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};

/// Fails with what is missing to build with `feature`, if something is known to be.
pub fn check(feature: &str) -> Result<()> {
    match feature {
        "cuda" if nvcc(&|name| env::var_os(name).map(PathBuf::from), &path()).is_none() => bail!(
            "--device cuda: cannot find nvcc, CUDA's compiler, in PATH, CUDA_HOME, CUDA_PATH or /usr/local/cuda; install \
             the CUDA toolkit (version 12 or later), or use --device cpu, which needs nothing"
        ),
        "metal" if !cfg!(target_os = "macos") => {
            bail!("--device metal: Apple GPUs need macOS; use --device cpu")
        }
        _ => Ok(()),
    }
}

/// The folders of `PATH`.
fn path() -> Vec<PathBuf> {
    env::var_os("PATH").map_or_else(Vec::new, |path| env::split_paths(&path).collect())
}

/// Returns where CUDA's compiler is, by the variables that build scripts read and then by the usual places.
fn nvcc(variable: &dyn Fn(&str) -> Option<PathBuf>, path: &[PathBuf]) -> Option<PathBuf> {
    let named = variable("NVCC");
    let homes = [
        "CUDA_HOME",
        "CUDA_PATH",
        "CUDA_ROOT",
        "CUDA_TOOLKIT_ROOT_DIR",
    ];
    let homes = homes.into_iter().filter_map(variable);
    let usual = ["/usr/local/cuda", "/opt/cuda"].map(PathBuf::from);
    let in_homes = homes.chain(usual).map(|home| home.join("bin/nvcc"));
    let in_path = path.iter().map(|folder| folder.join("nvcc"));
    let mut places = named.into_iter().chain(in_path).chain(in_homes);
    places.find(|place: &PathBuf| is_program(place))
}

fn is_program(place: &Path) -> bool {
    place.is_file() || place.with_extension("exe").is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiler_is_found_in_path_and_by_variables() {
        let folder = env::temp_dir().join(format!("toolkit-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("bin")).unwrap();
        let program = folder.join("bin/nvcc");
        std::fs::write(&program, "").unwrap();
        let none = |_: &str| None;
        let home = |name: &str| (name == "CUDA_HOME").then(|| folder.clone());
        assert_eq!(nvcc(&none, &[folder.join("bin")]), Some(program.clone()));
        assert_eq!(nvcc(&home, &[]), Some(program.clone()));
        let missing = |name: &str| (name == "CUDA_HOME").then(|| folder.join("elsewhere"));
        assert_ne!(nvcc(&missing, &[]), Some(program));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn devices_without_a_toolkit_need_nothing() {
        assert!(check("emulated").is_ok());
    }
}
