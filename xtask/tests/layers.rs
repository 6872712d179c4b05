//! Tests that the crates depend on each other only as ARCHITECTURE.md documents.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// The dependencies between the crates of the workspace, which are the arrows in ARCHITECTURE.md.
///
/// A new dependency is a design decision. Add it in both places.
const ARROWS: [(&str, &[&str]); 14] = [
    ("cropmae-config", &[]),
    ("cropmae-files", &[]),
    ("cropmae-fixtures", &[]),
    ("cropmae-kernels", &[]),
    ("cropmae-jpeg", &[]),
    (
        "cropmae-data",
        &["cropmae-config", "cropmae-files", "cropmae-jpeg"],
    ),
    (
        "cropmae-model",
        &["cropmae-config", "cropmae-files", "cropmae-kernels"],
    ),
    (
        "cropmae-train",
        &[
            "cropmae-config",
            "cropmae-data",
            "cropmae-files",
            "cropmae-kernels",
            "cropmae-model",
        ],
    ),
    (
        "cropmae-eval",
        &[
            "cropmae-config",
            "cropmae-data",
            "cropmae-files",
            "cropmae-kernels",
            "cropmae-model",
        ],
    ),
    ("cropmae-report", &[]),
    (
        "cropmae-run",
        &[
            "cropmae-config",
            "cropmae-data",
            "cropmae-eval",
            "cropmae-files",
            "cropmae-model",
            "cropmae-report",
            "cropmae-train",
        ],
    ),
    (
        "cropmae-scenes",
        &["cropmae-config", "cropmae-eval", "cropmae-files"],
    ),
    (
        "cropmae-cli",
        &[
            "cropmae-config",
            "cropmae-data",
            "cropmae-eval",
            "cropmae-files",
            "cropmae-kernels",
            "cropmae-model",
            "cropmae-report",
            "cropmae-run",
            "cropmae-scenes",
            "cropmae-train",
        ],
    ),
    ("xtask", &[]),
];

#[test]
fn the_workspace_has_exactly_the_documented_arrows() {
    let metadata = MetadataCommand::new().no_deps().exec().unwrap();
    let members: BTreeSet<&str> = metadata.packages.iter().map(|p| p.name.as_str()).collect();
    let found: BTreeMap<&str, BTreeSet<&str>> = metadata
        .packages
        .iter()
        .map(|package| {
            let ours = package
                .dependencies
                .iter()
                .filter(|dependency| dependency.kind == DependencyKind::Normal)
                .map(|dependency| dependency.name.as_str())
                .filter(|name| members.contains(name));
            (package.name.as_str(), ours.collect())
        })
        .collect();
    let documented: BTreeMap<&str, BTreeSet<&str>> = ARROWS
        .into_iter()
        .map(|(name, to)| (name, to.iter().copied().collect()))
        .collect();
    assert_eq!(found, documented);
}

#[test]
fn tensors_stay_out_of_the_crates_that_promise_so() {
    let metadata = MetadataCommand::new().no_deps().exec().unwrap();
    for name in [
        "cropmae-config",
        "cropmae-data",
        "cropmae-jpeg",
        "cropmae-report",
        "xtask",
    ] {
        let package = metadata
            .packages
            .iter()
            .find(|p| p.name.as_str() == name)
            .unwrap();
        let candle = package
            .dependencies
            .iter()
            .find(|d| d.name.starts_with("candle"));
        assert!(
            candle.is_none(),
            "{name} must not depend on {}",
            candle.unwrap().name
        );
    }
}
