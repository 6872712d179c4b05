//! Embeds the git revision that the program is built from, for the records of an installed program.

use std::process::Command;

fn main() {
    // The log of HEAD changes with every commit and every checkout.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={log}");
    }
    println!("cargo::rerun-if-changed=build.rs");
    if let Some(revision) = git(&["describe", "--always", "--dirty=-modified", "--abbrev=12"]) {
        println!("cargo::rustc-env=CROPMAE_BUILT_FROM={revision}");
    }
}

/// Returns what git prints, or `None` outside a checkout or without git.
fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
