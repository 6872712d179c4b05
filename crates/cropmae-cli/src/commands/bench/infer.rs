//! `bench infer`: dense features of video frames, as an evaluation computes them.

use anyhow::{Result, ensure};
use candle_core::{DType, Tensor};
use cropmae_config::{FrameSize, ModelConfig, Seed};
use cropmae_model::{FeatureExtractor, VitFeatures};
use cropmae_train::encoder_flops;

use super::{args::InferArgs, ceiling::Ceiling, peer::Flags, record::Record, time};
use crate::device;

/// The only frame size that the PyTorch program measures.
const PEER_SIZE: FrameSize = FrameSize::Exact {
    height: 480,
    width: 880,
};

/// Measures the encoder on random frames.
pub fn measure(args: &InferArgs) -> Result<Record> {
    let model = ModelConfig::factory_preset(&args.shape.arch)?;
    let device = device::open(&args.shape.device)?;
    let batch = args.batch.get();
    let (height, width) = args.size.resolve(480, 854);
    let frames = Tensor::randn(0f32, 1.0, (batch, 3, height, width), &device)?;
    let encoder = VitFeatures::random(&model, Seed(0), &device)?;
    let encoder = encoder.with_execution(args.shape.dtype.execution());
    let timing = time(&args.shape, || {
        let features = encoder.features(&frames)?;
        // Reading a value waits until the device has finished.
        let first = features.values.narrow(1, 0, 1)?.to_dtype(DType::F64)?;
        Ok(first.mean_all()?.to_scalar::<f64>()?)
    })?;
    let patches = height / model.patch_size * (width / model.patch_size);
    let rows = batch * (patches + 1);
    let ceiling = || Ceiling::measure(&model, rows, false, args.shape.dtype.compute());
    let flops = encoder_flops(&model, patches);
    Ok(Record::new(
        "infer",
        &args.shape,
        &device,
        batch,
        flops,
        timing,
        ceiling,
    ))
}

/// Returns the arguments of both programs for this measurement.
///
/// # Errors
/// Returns an error if `--size` is not `PEER_SIZE`, or PyTorch does not have the device.
pub fn flags(args: &InferArgs) -> Result<Flags> {
    ensure!(
        args.size == PEER_SIZE,
        "--size {}: the PyTorch program measures {PEER_SIZE} only; leave --size out with --peer",
        args.size
    );
    let (own, theirs) = (["infer".into()], ["--mode".into(), "infer".into()]);
    Flags::new(own, theirs, args.batch, (&args.shape, &args.peer))
}
