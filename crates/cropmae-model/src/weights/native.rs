//! Imports the files of this program. Their metadata are complete, so nothing is guessed and options cannot override
//! them.

use std::path::Path;

use candle_core::Device;
use cropmae_config::ModelConfig;

use super::import::{ImportOptions, ImportReport, Imported, Match};
use super::{Part, WeightsInfo};
use crate::parameters::Parameter;
use crate::{ModelError, Result};

/// Reads the file at `path`, which this program wrote.
///
/// # Errors
/// Returns the errors of [`super::load`], or [`ModelError::Foreign`] if `options` contradict the file.
pub(crate) fn import(path: &Path, options: &ImportOptions, device: &Device) -> Result<Imported> {
    let part = if options.encoder_only {
        Part::Encoder
    } else {
        Part::Whole
    };
    let mut weights = super::load(path, part, device)?;
    if let Some(problem) = contradiction(&weights.info, options) {
        return Err(ModelError::Foreign {
            path: path.to_owned(),
            problem,
        });
    }
    if options.encoder_only {
        weights = weights.into_encoder();
    }
    let layout = weights.info.layout(Part::Whole)?;
    let matched = layout
        .into_iter()
        .map(|(name, Parameter { shape, .. })| Match {
            from: vec![name.clone()],
            name,
            shape,
        })
        .collect();
    Ok(Imported {
        weights,
        report: ImportReport {
            format: "weights of this program".to_owned(),
            matched,
            left_over: Vec::new(),
            notes: Vec::new(),
        },
    })
}

/// Returns a message if `options` contradict the metadata of the file.
fn contradiction(info: &WeightsInfo, options: &ImportOptions) -> Option<String> {
    let model = &info.model;
    let found = (model.embed_dim, model.depth, model.patch_size);
    if let Some(arch) = &options.arch {
        let asked = match ModelConfig::preset(arch) {
            Ok(asked) => asked,
            Err(error) => return Some(error.to_string()),
        };
        if found != (asked.embed_dim, asked.depth, asked.patch_size) {
            return Some(format!(
                "(width, blocks, patch size) {found:?}: expected {arch}, which has {:?}",
                (asked.embed_dim, asked.depth, asked.patch_size)
            ));
        }
    }
    // Options for the decoder are ignored if there is none, as for other files.
    let decoder = info.method.is_some() && !options.encoder_only;
    let differs = [
        (
            "--num-heads",
            options.num_heads.is_some_and(|it| it != model.num_heads),
        ),
        (
            "--decoder-num-heads",
            decoder
                && options
                    .decoder_num_heads
                    .is_some_and(|it| it != model.decoder_num_heads),
        ),
        (
            "--layer-norm-eps",
            options
                .layer_norm_eps
                .is_some_and(|it| it != model.layer_norm_eps),
        ),
        (
            "--method",
            decoder && options.method.is_some() && options.method != info.method,
        ),
        ("--key", options.key.is_some()),
    ];
    differs
        .iter()
        .find(|(_, differs)| *differs)
        .map(|(flag, _)| {
            format!("the file contradicts {flag}: omit this option for weights of this program")
        })
}
