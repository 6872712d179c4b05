//! The result of one measurement, with the field names of the PyTorch programs' output.

use anyhow::Result;
use candle_core::Device;
use serde::Serialize;

use super::{args::ShapeArgs, ceiling::Ceiling, median, peak_rss_mib, threads};
use crate::{console::Console, device};

/// The result of measuring a step.
#[derive(Debug, Serialize)]
pub struct Record {
    mode: &'static str,
    arch: String,
    batch: usize,
    dtype: &'static str,
    device: &'static str,
    threads: usize,
    /// The median time of a step, in seconds.
    median_step_s: f64,
    images_per_s: f64,
    /// The speed of the model's matrix products over the median step.
    gflop_per_s: f64,
    /// The speed of bare products of the same shapes on the same threads, or `None` for accelerators.
    gemm_gflop_per_s: Option<f64>,
    /// `gflop_per_s` over `gemm_gflop_per_s`.
    gemm_share: Option<f64>,
    /// The peak resident memory of the process, in MiB.
    peak_rss_mb: Option<f64>,
    /// The peak memory of the tensors on an NVIDIA GPU, in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_cuda_mb: Option<f64>,
    /// The result of the last step.
    last: f64,
    /// What a step asks of a device, counted by the emulator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub work: Option<Work>,
}

/// What a step asks of a device.
#[derive(Debug, Serialize)]
pub struct Work {
    pub launches: u64,
    pub products: u64,
    pub product_gflop: f64,
    pub product_gbytes: f64,
    pub kernel_gbytes: f64,
}

impl Record {
    /// Summarizes the `seconds` of steps on `batch` images, each of which takes `flops` operations.
    pub fn new(
        mode: &'static str,
        shape: &ShapeArgs,
        device: &Device,
        batch: usize,
        flops: f64,
        (seconds, last): (Vec<f64>, f64),
        ceiling: impl FnOnce() -> Ceiling,
    ) -> Self {
        // Read before the ceiling is measured, because that uses memory too.
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
            peak_cuda_mb: cropmae_kernels::peak_device_bytes(device)
                .map(|bytes| bytes as f64 / f64::from(1 << 20)),
            last,
            work: None,
        }
    }

    /// Prints the record, as a JSON line or as text.
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
        if let Some(mib) = self.peak_cuda_mb {
            console.say(format!("  GPU      {mib:.0} MiB at the peak"));
        }
        if let Some(work) = &self.work {
            console.say(format!(
                "  work     {} launches of kernels that move {:.2} GB, and {} products of {:.1} GFLOP that move {:.2} GB",
                work.launches,
                work.kernel_gbytes,
                work.products,
                work.product_gflop,
                work.product_gbytes,
            ));
        }
        Ok(())
    }
}
