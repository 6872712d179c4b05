//! `bench ops`: the speed of each differentiable operation at the sizes of the model, forward and backward.

use std::time::Instant;

use anyhow::{Result, ensure};
use candle_core::{Device, Tensor, Var};
use cropmae_config::ModelConfig;
use cropmae_kernels::{
    self as kernels, AdamWStep, AdamWUpdate, Backend, BlockWeights, Compute, Dropout, GradScale,
    Gradients, Norm, Policy, adamw_all, attention_block, cross_attention, grad_norm, layer_norm,
    linear, mlp, mlp_block, patch_embed, pixel_loss, residual_layer_norm, self_attention,
    transformer,
};
use cropmae_model::FEED_FORWARD_DIM;
use serde::Serialize;

use super::{
    args::OpsArgs,
    ceiling::Ceiling,
    median, peak_rss_mib, threads,
    verify::{Comparison, Results},
};
use crate::{console::Console, device};

const EPS: f64 = 1e-6;

/// The measurement of one operation.
#[derive(Debug, Serialize)]
struct OpRecord {
    op: &'static str,
    shape: String,
    /// The time of the forward pass, in milliseconds.
    forward_ms: f64,
    /// The time of the forward and the backward pass, in milliseconds.
    train_ms: f64,
    /// The speed of the matrix products in both passes, or `None` for an operation without products.
    gflop_per_s: Option<f64>,
    /// `gflop_per_s` as a share of the speed of bare products.
    gemm_share: Option<f64>,
}

/// Measures operations and prints a line for each.
struct Bench<'a> {
    args: &'a OpsArgs,
    console: &'a Console,
    device: &'a Device,
    ceiling: Option<f64>,
    policy: Policy,
    /// Keeps results instead of measuring.
    results: Option<&'a Results>,
}

/// Measures every operation.
pub fn measure(args: &OpsArgs, console: &Console) -> Result<()> {
    let device = device::open(&args.shape.device)?;
    let model = ModelConfig::factory_preset(&args.shape.arch)?;
    let rows = args.batch.get() * (model.num_patches() + 1);
    let policy = Policy::from(args.shape.dtype.compute());
    let ceiling = device
        .is_cpu()
        .then(|| Ceiling::measure(&model, rows, true, policy.compute).gflop_per_s());
    if !args.shape.json {
        let bare = ceiling.map_or_else(String::new, |ceiling| {
            format!("; bare products reach {ceiling:.0} GFLOP/s")
        });
        console.say(format!(
            "{} batch {} {} on {} with {} threads{bare}\n\
             {:24}{:22}{:>12}{:>12}{:>11}{:>8}",
            args.shape.arch,
            args.batch,
            args.shape.dtype.name_on(&device),
            device::name(&device),
            threads(&device),
            "",
            "",
            "forward, ms",
            "train, ms",
            "GFLOP/s",
            "share"
        ));
    }
    let bench = Bench {
        args,
        console,
        device: &device,
        ceiling,
        policy,
        results: None,
    };
    bench.all(&model)?;
    if !args.shape.json
        && let Some(mib) = peak_rss_mib()
    {
        console.say(format!("peak memory {mib:.0} MiB"));
    }
    Ok(())
}

/// Compares every operation with its definition on the CPU. Returns an error if one is wrong.
pub fn verify(args: &OpsArgs, console: &Console) -> Result<()> {
    let device = device::open(&args.shape.device)?;
    let model = ModelConfig::factory_preset(&args.shape.arch)?;
    let compute = args.shape.dtype.compute().available_on(&device);
    let bench = |device, compute, results| Bench {
        args,
        console,
        device,
        ceiling: None,
        policy: Policy::from(compute),
        results: Some(results),
    };
    let (expected, found) = (Results::default(), Results::default());
    let reference = bench(&Device::Cpu, Compute::F32, &expected);
    Backend::Reference.with(|| reference.all(&model))?;
    bench(&device, compute, &found).all(&model)?;
    if !args.shape.json {
        console.say(format!(
            "{} batch {} {} on {}: largest differences from the definitions, as shares of the largest values\n\
             {:24}{:22}{:>12}{:>12}",
            args.shape.arch,
            args.batch,
            args.shape.dtype.name_on(&device),
            device::name(&device),
            "",
            "",
            "value",
            "gradients",
        ));
    }
    let mut wrong = Vec::new();
    for comparison in found.compare(&expected) {
        let holds = comparison.holds(compute);
        if !holds {
            wrong.push(comparison.op);
        }
        let Comparison {
            op,
            shape,
            value,
            gradient,
        } = comparison;
        if args.shape.json {
            let line = serde_json::json!({
                "op": op, "shape": shape, "value": value, "gradients": gradient, "holds": holds
            });
            console.say(line.to_string());
            continue;
        }
        let gradient = gradient.map_or_else(|| "-".to_owned(), |share| format!("{share:.1e}"));
        let mark = if holds { "" } else { "  wrong" };
        console.say(format!(
            "{op:24}{shape:22}{value:>12.1e}{gradient:>12}{mark}"
        ));
    }
    ensure!(
        wrong.is_empty(),
        "wrong on this device: {}",
        wrong.join(", ")
    );
    Ok(())
}

fn norm((weight, bias): &(Var, Var)) -> Norm<'_> {
    Norm {
        weight,
        bias,
        eps: EPS,
    }
}

fn pair((weight, bias): &(Var, Var)) -> (&Tensor, &Tensor) {
    (weight, bias)
}

impl Bench<'_> {
    /// Runs every operation.
    fn all(&self, model: &ModelConfig) -> Result<()> {
        self.encoder(model)?;
        self.decoder(model)?;
        self.ends(model)?;
        self.optimizer(model)
    }

    /// Returns a variable of `shape` with small values.
    fn var(&self, shape: &[usize]) -> Result<Var> {
        let len: usize = shape.iter().product();
        let values = (0..len).map(|i| ((i * 7919) % 2003) as f32 / 1e4 - 0.1);
        let values: Vec<f32> = values.collect();
        let var = Var::from_vec(values, shape, self.device)?;
        if let Some(results) = self.results {
            results.remember(&var);
        }
        Ok(var)
    }

    /// Returns the weight (d_out, d_in) and the bias (d_out) of a linear layer.
    fn layer(&self, d_in: usize, d_out: usize) -> Result<(Var, Var)> {
        Ok((self.var(&[d_out, d_in])?, self.var(&[d_out])?))
    }

    /// Measures an encoder block and each operation inside it.
    fn encoder(&self, model: &ModelConfig) -> Result<()> {
        let (b, n, d) = (
            self.args.batch.get(),
            model.num_patches() + 1,
            model.embed_dim,
        );
        let hidden = model.mlp_width(d);
        let heads = model.num_heads;
        let x = self.var(&[b, n, d])?;
        let gains = (self.var(&[d])?, self.var(&[d])?);
        let (qkv, proj) = (self.layer(d, 3 * d)?, self.layer(d, d)?);
        let (fc1, fc2) = (self.layer(d, hidden)?, self.layer(hidden, d)?);
        let packed = self.var(&[b, n, 3 * d])?;
        let shape = format!("{b}x{n}x{d}");
        let rows = b * n;
        let attention = 4 * b * n * n * d;
        self.op("layer_norm", &shape, 0, || {
            layer_norm(&x, &gains.0, &gains.1, EPS)
        })?;
        self.op(
            "linear",
            &format!("{shape} to {}", 3 * d),
            2 * rows * d * 3 * d,
            || linear(&x, &qkv.0, &qkv.1, self.policy.compute),
        )?;
        self.op(
            "self_attention",
            &format!("{shape}, {heads} heads"),
            attention,
            || self_attention(&packed, heads, None, self.policy.compute),
        )?;
        let flops = 2 * rows * d * 4 * d + attention;
        self.op(
            "attention_block",
            &format!("{shape}, {heads} heads"),
            flops,
            || {
                attention_block(
                    &x,
                    norm(&gains),
                    pair(&qkv),
                    pair(&proj),
                    heads,
                    self.policy,
                )
            },
        )?;
        let mlp_flops = 4 * rows * d * hidden;
        let one_block = format!("{shape}, one block");
        self.op("transformer", &one_block, flops + mlp_flops, || {
            let block = BlockWeights {
                norm1: norm(&gains),
                qkv: pair(&qkv),
                proj: pair(&proj),
                num_heads: heads,
                norm2: norm(&gains),
                fc1: pair(&fc1),
                fc2: pair(&fc2),
                policy: self.policy,
            };
            transformer(&x.flatten_to(1)?, &[(b, n)], &[block])?.reshape((b, n, d))
        })?;
        let flops = mlp_flops;
        self.op("mlp_block", &format!("{shape} via {hidden}"), flops, || {
            mlp_block(&x, norm(&gains), pair(&fc1), pair(&fc2), self.policy)
        })
    }

    /// Measures the operations that only the decoder has, such as cross-attention and dropout.
    fn decoder(&self, model: &ModelConfig) -> Result<()> {
        let (b, n, d) = (
            self.args.batch.get(),
            model.num_patches() + 1,
            model.decoder_embed_dim,
        );
        let heads = model.decoder_num_heads;
        let dropout = Some(Dropout { p: 0.1, key: 1 });
        let (x, kv) = (self.var(&[b, n, d])?, self.var(&[b, n, 2 * d])?);
        let gains = (self.var(&[d])?, self.var(&[d])?);
        let (fc1, fc2) = (
            self.layer(d, FEED_FORWARD_DIM)?,
            self.layer(FEED_FORWARD_DIM, d)?,
        );
        let shape = format!("{b}x{n}x{d}");
        self.op("residual_layer_norm", &shape, 0, || {
            residual_layer_norm(&x, &x, &gains.0, &gains.1, EPS, dropout)
        })?;
        let flops = 4 * b * n * n * d;
        self.op(
            "cross_attention",
            &format!("{shape}, {heads} heads"),
            flops,
            || cross_attention(&x, &kv, heads, dropout, self.policy.compute),
        )?;
        let flops = 4 * b * n * d * FEED_FORWARD_DIM;
        self.op(
            "mlp",
            &format!("{shape} via {FEED_FORWARD_DIM}"),
            flops,
            || mlp(&x, pair(&fc1), pair(&fc2), dropout, self.policy),
        )?;
        self.op("dropout", &shape, 0, || {
            kernels::dropout(&x, Dropout { p: 0.1, key: 1 })
        })
    }

    /// Measures the patch embedding and the loss.
    fn ends(&self, model: &ModelConfig) -> Result<()> {
        let (b, n, d, p) = (
            self.args.batch.get(),
            model.num_patches(),
            model.embed_dim,
            model.patch_size,
        );
        let values = model.patch_values();
        let patches = self.var(&[b, n, values])?.as_detached_tensor();
        let (weight, bias) = (self.var(&[d, 3, p, p])?, self.var(&[d])?);
        let pos = self.var(&[n, d])?.as_detached_tensor();
        let shape = format!("{b}x{n}x{values}");
        self.op(
            "patch_embed",
            &format!("{shape} to {d}"),
            2 * b * n * values * d,
            || patch_embed(&patches, None, &weight, &bias, &pos, self.policy.compute),
        )?;
        let pred = self.var(&[b, n, values])?;
        self.op("pixel_loss", &shape, 0, || {
            pixel_loss(&pred, &patches, true)
        })
    }

    /// Measures the optimizer on as many values as the encoder blocks have.
    fn optimizer(&self, model: &ModelConfig) -> Result<()> {
        let d = model.embed_dim;
        let tensors = (0..model.depth)
            .map(|_| {
                let var = || self.var(&[12 * d, d]);
                let squares = Var::from_tensor(&var()?.as_tensor().sqr()?)?;
                Ok([var()?, var()?, var()?, squares])
            })
            .collect::<Result<Vec<[Var; 4]>>>()?;
        let step = AdamWStep {
            lr: 1e-4,
            beta1: 0.9,
            beta2: 0.95,
            eps: 1e-8,
            weight_decay: 0.05,
            step: 3,
        };
        let updates: Vec<AdamWUpdate> = tensors
            .iter()
            .map(|[param, grad, exp_avg, exp_avg_sq]| AdamWUpdate {
                param,
                grad,
                exp_avg,
                exp_avg_sq,
                step,
            })
            .collect();
        let shape = format!("{:.1} M values", (model.depth * 12 * d * d) as f64 / 1e6);
        let grads: Vec<&Tensor> = tensors
            .iter()
            .map(|[_, grad, ..]| grad.as_tensor())
            .collect();
        if let Some(results) = self.results {
            let norm = Tensor::new(&[grad_norm(&grads)?.read()? as f32], &Device::Cpu)?;
            results.keep_all("grad_norm", &shape, &[&norm])?;
            adamw_all(&updates, &GradScale::default(), None)?;
            let vars: Vec<&Tensor> = tensors[0].iter().map(Var::as_tensor).collect();
            return results.keep_all("adamw", &shape, &vars);
        }
        let seconds = self.seconds(|| Ok(adamw_all(&updates, &GradScale::default(), None)?))?;
        self.say("adamw", shape.clone(), (seconds, seconds), 0)?;
        let seconds = self.seconds(|| Ok(grad_norm(&grads).map(drop)?))?;
        self.say("grad_norm", shape, (seconds, seconds), 0)
    }

    /// Measures `op` alone and with its backward pass.
    ///
    /// `flops` counts the operations of the products in the forward pass. The backward pass has twice as many.
    fn op(
        &self,
        name: &'static str,
        shape: &str,
        flops: usize,
        op: impl Fn() -> candle_core::Result<Tensor>,
    ) -> Result<()> {
        if let Some(results) = self.results {
            return results.keep(name, shape, &op()?);
        }
        let forward = self.seconds(|| Ok(op().map(drop)?))?;
        let target = op()?.zeros_like()?;
        let mut gradients = Gradients::new();
        let train = self.seconds(|| {
            let y = op()?;
            let loss = if y.elem_count() == 1 {
                y
            } else {
                pixel_loss(&y, &target, false)?
            };
            gradients.clear();
            Ok(gradients.accumulate(&loss)?)
        })?;
        self.say(name, shape.to_owned(), (forward, train), 3 * flops)
    }

    fn seconds(&self, mut run: impl FnMut() -> Result<()>) -> Result<f64> {
        for _ in 0..self.args.shape.warmup {
            run()?;
        }
        self.device.synchronize()?;
        let times = (0..self.args.shape.steps.get())
            .map(|_| {
                let start = Instant::now();
                run()?;
                self.device.synchronize()?;
                Ok(start.elapsed().as_secs_f64())
            })
            .collect::<Result<_>>()?;
        Ok(median(times))
    }

    fn say(
        &self,
        op: &'static str,
        shape: String,
        (forward, train): (f64, f64),
        flops: usize,
    ) -> Result<()> {
        let gflop_per_s = (flops > 0).then(|| flops as f64 / train / 1e9);
        let record = OpRecord {
            op,
            shape,
            forward_ms: 1e3 * forward,
            train_ms: 1e3 * train,
            gflop_per_s,
            gemm_share: gflop_per_s
                .zip(self.ceiling)
                .map(|(speed, ceiling)| speed / ceiling),
        };
        if self.args.shape.json {
            self.console.say(serde_json::to_string(&record)?);
            return Ok(());
        }
        let optional = |value: Option<f64>, unit| {
            value.map_or_else(|| "-".to_owned(), |value| format!("{value:.0}{unit}"))
        };
        self.console.say(format!(
            "{:24}{:22}{:>12.2}{:>12.2}{:>11}{:>8}",
            record.op,
            record.shape,
            record.forward_ms,
            record.train_ms,
            optional(record.gflop_per_s, ""),
            optional(record.gemm_share.map(|share| 100.0 * share), " %")
        ));
        Ok(())
    }
}
