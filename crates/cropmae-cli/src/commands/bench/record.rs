//! One measurement, with the field names of the PyTorch programs' output.

use anyhow::Result;
use candle_core::Device;
use serde::Serialize;

use super::{args::ShapeArgs, ceiling::Ceiling, median, peak_rss_mib, threads};
use crate::{console::Console, device};

/// A measured step.
#[derive(Debug, Serialize)]
pub struct Record {
    mode: &'static str,
    arch: String,
    batch: usize,
    dtype: &'static str,
    device: &'static str,
    threads: usize,
    /// Seconds.
    median_step_s: f64,
    images_per_s: f64,
    /// Arithmetic of the model's products over the median step.
    gflop_per_s: f64,
    /// Speed of bare products of the same shapes on the same threads.
    gemm_gflop_per_s: Option<f64>,
    /// The first over the second.
    gemm_share: Option<f64>,
    /// Largest resident set of the process, in MiB.
    peak_rss_mb: Option<f64>,
    /// What the last step computed.
    last: f64,
}

impl Record {
    /// Sums up `seconds` of steps on `batch` images of `flops` operations each.
    pub fn new(
        mode: &'static str,
        shape: &ShapeArgs,
        device: &Device,
        batch: usize,
        flops: f64,
        (seconds, last): (Vec<f64>, f64),
        ceiling: impl FnOnce() -> Ceiling,
    ) -> Self {
        // Before the ceiling is measured, which takes memory of its own.
        let peak_rss_mb = peak_rss_mib();
        let median_step_s = median(seconds);
        let gflop_per_s = batch as f64 * flops / median_step_s / 1e9;
        let gemm_gflop_per_s = device.is_cpu().then(|| ceiling().gflop_per_s());
        Self {
            mode,
            arch: shape.arch.clone(),
            batch,
            dtype: shape.dtype.name_on(device),
            device: device::name(device),
            threads: threads(device),
            median_step_s,
            images_per_s: batch as f64 / median_step_s,
            gflop_per_s,
            gemm_gflop_per_s,
            gemm_share: gemm_gflop_per_s.map(|ceiling| gflop_per_s / ceiling),
            peak_rss_mb,
            last,
        }
    }

    /// Prints it, as a JSON line or for people.
    pub fn say(&self, json: bool, console: &Console) -> Result<()> {
        if json {
            console.say(serde_json::to_string(self)?);
            return Ok(());
        }
        let optional = |value: Option<f64>, unit: &str| {
            value.map_or_else(
                || "unknown".to_owned(),
                |value| format!("{value:.0} {unit}"),
            )
        };
        console.say(format!(
            "{} {} batch {} {} on {} with {} threads\n  \
             step     {:.3} s (median)\n  \
             speed    {:.2} images/s\n  \
             products {:.0} GFLOP/s; bare products of these shapes {}; share {}\n  \
             memory   {} at the peak",
            self.mode,
            self.arch,
            self.batch,
            self.dtype,
            self.device,
            self.threads,
            self.median_step_s,
            self.images_per_s,
            self.gflop_per_s,
            optional(self.gemm_gflop_per_s, "GFLOP/s"),
            optional(self.gemm_share.map(|share| 100.0 * share), "%"),
            optional(self.peak_rss_mb, "MiB"),
        ));
        Ok(())
    }
}
