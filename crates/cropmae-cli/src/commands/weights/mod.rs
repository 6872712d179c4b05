//! `import`, `export` and `inspect`: reads, writes and describes weight files.

mod args;

use std::{
    collections::BTreeMap,
    fmt::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Result, bail};
use candle_core::Device;
use cropmae_config::Method;
use cropmae_model::weights::{self, ImportOptions, ImportReport, TensorRow, WeightsInfo};

use crate::console::Console;

pub use args::{ExportArgs, ImportArgs, InspectArgs};

/// Runs `import`; `verbose` lists every tensor.
pub fn import(args: &ImportArgs, verbose: bool, console: &Console) -> Result<ExitCode> {
    let out = args.out.clone().unwrap_or_else(|| beside(&args.checkpoint));
    if out.exists() {
        bail!(
            "{}: already exists; name another file with --out, or remove it",
            out.display()
        );
    }
    let options = ImportOptions {
        arch: args.arch.clone(),
        num_heads: args.num_heads,
        decoder_num_heads: args.decoder_num_heads,
        layer_norm_eps: args.layer_norm_eps,
        method: args.method.map(Method::from),
        key: args.key.clone(),
        encoder_only: args.encoder_only,
    };
    let imported = weights::import(&args.checkpoint, &options, &Device::Cpu)?;
    let info = &imported.weights.info;
    console.say(format!(
        "{}: {}",
        args.checkpoint.display(),
        imported.report.format
    ));
    console.say(format!("model: {}", architecture(info)));
    console.say(told(info, &imported.report, args.encoder_only, verbose));
    imported.weights.save(&out)?;
    console.say(format!("written: {}", out.display()));
    Ok(ExitCode::SUCCESS)
}

/// Runs `export`.
pub fn export(args: &ExportArgs, console: &Console) -> Result<ExitCode> {
    let options = ImportOptions {
        encoder_only: args.encoder_only,
        ..ImportOptions::default()
    };
    let weights = weights::import(&args.checkpoint, &options, &Device::Cpu)?.weights;
    for file in weights::export(&weights, args.format.into(), &args.out)? {
        console.say(format!("written: {}", file.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs `inspect`.
pub fn inspect(args: &InspectArgs, console: &Console) -> Result<ExitCode> {
    let found = weights::inspect(&args.checkpoint)?;
    console.say(format!("{}: {}", args.checkpoint.display(), found.format));
    match (&found.info, &found.problem) {
        (Some(info), _) => {
            console.say(format!("model: {}", architecture(info)));
            console.say(entries("provenance", &info.provenance));
        }
        (None, Some(problem)) => console.say(format!("no model: {problem}")),
        (None, None) => {}
    }
    console.say(entries("in the file", &found.facts));
    console.say(table(&found.tensors));
    Ok(ExitCode::SUCCESS)
}

/// Returns the default output for `checkpoint`.
///
/// It is `checkpoint-399-imported.safetensors` for `checkpoint-399.pth`, and `vit-imported.safetensors` for a folder
/// `vit`.
fn beside(checkpoint: &Path) -> PathBuf {
    let stem = checkpoint.file_stem().unwrap_or_default().to_string_lossy();
    checkpoint.with_file_name(format!("{stem}-imported.safetensors"))
}

/// Describes the model in one line.
fn architecture(info: &WeightsInfo) -> String {
    let model = &info.model;
    let decoder = match info.method {
        None => "no decoder".to_owned(),
        Some(method) => format!(
            "{} decoder {} wide, {} layers, {} heads",
            match method {
                Method::CropMae => "CropMAE",
                Method::SiamMae => "SiamMAE",
                Method::Mae => "MAE",
            },
            model.decoder_embed_dim,
            model.decoder_depth,
            model.decoder_num_heads
        ),
    };
    format!(
        "{} wide, {} blocks, {} heads, MLP x{:.4}, patches of {} px, trained at {} px, layer norm eps {:e}; {decoder}",
        model.embed_dim,
        model.depth,
        model.num_heads,
        model.mlp_ratio,
        model.patch_size,
        model.image_size,
        model.layer_norm_eps
    )
    .replace("x4.0000", "x4")
}

/// Describes which tensors matched, which were missing and which were left over.
fn told(info: &WeightsInfo, report: &ImportReport, encoder_only: bool, verbose: bool) -> String {
    let mut text = String::new();
    let parameters: usize = report
        .matched
        .iter()
        .map(|it| it.shape.iter().product::<usize>())
        .sum();
    let _ = writeln!(
        text,
        "matched: all {} tensors of the model, {parameters} values",
        report.matched.len()
    );
    if verbose {
        for it in &report.matched {
            let _ = writeln!(
                text,
                "  {} {:?} from {}",
                it.name,
                it.shape,
                it.from.join(", ")
            );
        }
    }
    let missing = match info.method {
        Some(_) => "nothing",
        None if encoder_only => "the decoder, left out by --encoder-only",
        None => "a decoder (an encoder alone can be evaluated and exported)",
    };
    let _ = writeln!(text, "missing: {missing}");
    let _ = writeln!(text, "left over: {}", left_over(&report.left_over));
    if verbose {
        for name in &report.left_over {
            let _ = writeln!(text, "  {name}");
        }
    }
    for note in &report.notes {
        let _ = writeln!(text, "note: {note}");
    }
    text.truncate(text.trim_end().len());
    text
}

/// Counts names by the part before their first dot.
fn left_over(names: &[String]) -> String {
    let mut groups: BTreeMap<&str, usize> = BTreeMap::new();
    for name in names {
        let group = name.split('.').next().unwrap_or(name);
        *groups.entry(group).or_default() += 1;
    }
    if groups.is_empty() {
        return "nothing".to_owned();
    }
    let told = groups.iter().map(|(group, count)| match count {
        1 => format!("{group} (1 tensor)"),
        count => format!("{group} ({count} tensors)"),
    });
    told.collect::<Vec<_>>().join(", ")
}

fn entries(title: &str, entries: &BTreeMap<String, String>) -> String {
    if entries.is_empty() {
        return format!("{title}: nothing");
    }
    let mut text = format!("{title}:");
    for (name, value) in entries {
        let _ = write!(text, "\n  {name} = {value}");
    }
    text
}

/// Returns a table of the name, shape, type, mean and standard deviation of each tensor, with totals.
fn table(rows: &[TensorRow]) -> String {
    let wide = |of: fn(&TensorRow) -> usize| rows.iter().map(of).max().unwrap_or(0);
    let (name, shape) = (
        wide(|row| row.name.len()),
        wide(|row| format!("{:?}", row.shape).len()),
    );
    let mut text = format!(
        "{:<name$}  {:<shape$}  {:<5}  {:>12}  {:>12}",
        "tensor", "shape", "type", "mean", "deviation"
    );
    for row in rows {
        let _ = write!(
            text,
            "\n{:<name$}  {:<shape$}  {:<5}",
            row.name,
            format!("{:?}", row.shape),
            row.dtype
        );
        if let Some((mean, deviation)) = row.moments {
            let _ = write!(text, "  {mean:>12.5e}  {deviation:>12.5e}");
        }
    }
    let values: usize = rows
        .iter()
        .map(|row| row.shape.iter().product::<usize>())
        .sum();
    let _ = write!(text, "\n{} tensors, {values} values", rows.len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imported_weights_stand_beside_their_source() {
        for (checkpoint, out) in [
            (
                "a/checkpoint-399.pth",
                "a/checkpoint-399-imported.safetensors",
            ),
            ("a/vit-base/", "a/vit-base-imported.safetensors"),
            ("model.safetensors", "model-imported.safetensors"),
        ] {
            assert_eq!(beside(Path::new(checkpoint)), Path::new(out));
        }
    }

    #[test]
    fn what_is_left_over_is_counted_by_group() {
        let names = ["head.bias", "head.weight", "mask_token"].map(str::to_owned);
        assert_eq!(left_over(&names), "head (2 tensors), mask_token (1 tensor)");
    }
}
