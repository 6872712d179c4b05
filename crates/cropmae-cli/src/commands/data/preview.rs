//! `data preview`: draws a contact sheet of the crops and masks that a run would use.

use std::{io::Cursor, process::ExitCode};

use anyhow::{Context, Result, ensure};
use cropmae_config::Experiment;
use cropmae_data::{Dataset, Preview};
use cropmae_report::{CropSample, crop_sheet};
use image::ImageFormat;

use super::args::PreviewArgs;
use crate::{console::Console, places};

/// Runs the command.
pub fn run(args: &PreviewArgs, console: &Console) -> Result<ExitCode> {
    let experiment = match &args.config {
        Some(path) => Experiment::open(path, &args.overrides)?,
        None => Experiment::cropmae_in1k(&args.overrides)?,
    };
    let dataset = Dataset::open(&args.source, &experiment.data)?;
    console.say(format!(
        "source  {}: {}",
        args.source.display(),
        dataset.describe()
    ));
    let model = &experiment.model;
    let (size, patches) = (model.image_size, model.num_patches());
    let order = dataset.order(experiment.seed, args.epoch);
    let bar = console
        .bar(args.samples.get() as u64, "samples")
        .with_prefix("drawing");
    let (mut names, mut previews, mut unusable) = (Vec::new(), Vec::<Preview>::new(), Vec::new());
    // Unusable samples are left out and named at the end.
    for position in 0..dataset.len() as u64 {
        if previews.len() == args.samples.get() {
            break;
        }
        let index = order.index(position);
        match dataset.preview(experiment.seed, args.epoch, index, (size, patches)) {
            Ok(preview) => {
                names.push(dataset.name(index));
                previews.push(preview);
                bar.inc(1);
            }
            Err(error) => unusable.push(error.to_string()),
        }
    }
    bar.finish_and_clear();
    ensure!(
        !previews.is_empty(),
        "no sample could be drawn: {}",
        unusable.first().map_or("", String::as_str)
    );
    let len_keep = experiment.mask.len_keep(patches);
    let masks: Vec<Vec<bool>> = previews
        .iter()
        .map(|preview| cropmae_run::removed_patches(preview, len_keep))
        .collect();
    let samples: Vec<CropSample> = previews
        .iter()
        .zip(&masks)
        .map(|(preview, removed)| CropSample {
            frames: &preview.frames,
            boxes: &preview.boxes,
            views: &preview.views,
            removed,
        })
        .collect();
    let sheet = crop_sheet(&samples, model.patch_size as u32)?;
    let mut bytes = Cursor::new(Vec::new());
    sheet
        .write_to(&mut bytes, ImageFormat::Png)
        .context("cannot encode the sheet")?;
    places::replace(&args.out, bytes.get_ref())?;
    for (number, name) in (1..).zip(&names) {
        console.say(format!("{number:>6}  {}", name.display()));
    }
    for reason in &unusable {
        console.say(format!("left out: {reason}"));
    }
    console.say(format!("wrote   {}", args.out.display()));
    Ok(ExitCode::SUCCESS)
}
