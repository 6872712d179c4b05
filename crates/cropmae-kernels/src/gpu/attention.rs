//! Multi-head attention without a matrix of all scores: each block of a launch holds a tile of queries or of keys.

use candle_core::{Result, Tensor, bail};

use super::THREADS;
use super::dropout::Mask;
use super::graph::attach;
use super::linear::{float, operand};
use super::queue::{Arg, Buffer, Grid, Queue};
use crate::args::Dropout;
use crate::compute::Compute;

/// Queries or keys of a block (`TILE` of attention.h).
const TILE: usize = 64;

/// Sequences of one length, whose tokens may be some of the rows of a matrix.
#[derive(Clone, Copy)]
pub(super) struct Heads {
    pub(super) batch: usize,
    /// Queries and keys of a sequence.
    pub(super) n: usize,
    pub(super) m: usize,
    pub(super) num_heads: usize,
    /// Width of a head.
    pub(super) width: usize,
    pub(super) dropout: Option<Dropout>,
}

/// Where the rows of a part begin in a packed tensor, in elements, and how far they lie apart.
#[derive(Clone, Copy)]
pub(super) struct Part {
    pub(super) offset: usize,
    pub(super) stride: usize,
}

/// Where q, k and v lie.
#[derive(Clone, Copy)]
pub(super) struct Parts {
    pub(super) q: Part,
    pub(super) k_offset: usize,
    pub(super) v_offset: usize,
    pub(super) kv_stride: usize,
}

impl Parts {
    /// Rows q, k, v of `width` elements each, from row `first` on.
    pub(super) fn packed(width: usize, first: usize) -> Self {
        let (stride, offset) = (3 * width, 3 * width * first);
        Self {
            q: Part { offset, stride },
            k_offset: offset + width,
            v_offset: offset + 2 * width,
            kv_stride: stride,
        }
    }

    /// Rows q, and rows k, v in another tensor.
    fn cross(width: usize) -> Self {
        Self {
            q: Part {
                offset: 0,
                stride: width,
            },
            k_offset: 0,
            v_offset: width,
            kv_stride: 2 * width,
        }
    }
}

/// A kernel's name for each of the widths that it can hold.
type Names = [&'static str; 3];

const FORWARD: Names = ["attention_32", "attention_64", "attention_128"];
const DQ: Names = ["attention_dq_32", "attention_dq_64", "attention_dq_128"];
const DKV: Names = ["attention_dkv_32", "attention_dkv_64", "attention_dkv_128"];

impl Heads {
    fn kernel(&self, [narrow, usual, wide]: Names) -> Result<&'static str> {
        match self.width {
            width if width > 128 => bail!(
                "attention: heads are {width} wide, the kernels of accelerators take up to 128"
            ),
            0..=32 => Ok(narrow),
            33..=64 => Ok(usual),
            _ => Ok(wide),
        }
    }

    fn grid(&self, rows: usize) -> Result<Grid> {
        Grid::new([rows.div_ceil(TILE), self.num_heads, self.batch], THREADS)
    }

    fn scale(&self) -> f32 {
        (self.width as f64).powf(-0.5) as f32
    }

    /// Elements of the log-sum-exp of all rows.
    fn lse_len(&self) -> usize {
        self.batch * self.num_heads * self.n
    }

    fn sizes(&self) -> [Arg<'static>; 4] {
        [self.n, self.m, self.num_heads, self.width].map(Arg::Size)
    }

    /// Attention into the rows of `o` that begin at element `o_offset`. Returns the log-sum-exp of each row.
    pub(super) fn forward(
        &self,
        queue: &Queue,
        [q, kv]: [&Tensor; 2],
        parts: Parts,
        (o, o_offset): (&mut Buffer, usize),
    ) -> Result<Tensor> {
        let mut lse = queue.float(self.lse_len())?;
        let [n, m, num_heads, width] = self.sizes();
        let mask = Mask::of(self.dropout);
        let args = [
            Arg::In(q),
            Arg::In(kv),
            Arg::In(kv),
            Arg::Out(o),
            Arg::Out(&mut lse),
            n,
            m,
            num_heads,
            width,
            Arg::Size(parts.q.offset),
            Arg::Size(parts.q.stride),
            Arg::Size(parts.k_offset),
            Arg::Size(parts.v_offset),
            Arg::Size(parts.kv_stride),
            Arg::Size(o_offset),
            Arg::Size(0),
            Arg::Float(self.scale()),
            mask.key(),
            mask.threshold(),
            mask.kept(),
        ];
        queue.launch(self.kernel(FORWARD)?, self.grid(self.n)?, args)?;
        Ok(lse.into_tensor())
    }

    /// The gradient of q into `dq`, whose rows lie as those of q. Returns the row sums of dy * o.
    fn backward_q(
        &self,
        queue: &Queue,
        kept: &Kept,
        dy: &Tensor,
        dq: &mut Buffer,
    ) -> Result<Tensor> {
        let mut delta = queue.float(self.lse_len())?;
        let [n, m, num_heads, width] = self.sizes();
        let (parts, mask) = (kept.parts, Mask::of(self.dropout));
        let args = [
            Arg::In(kept.q),
            Arg::In(kept.kv),
            Arg::In(kept.kv),
            Arg::In(kept.o),
            Arg::In(dy),
            Arg::In(kept.lse),
            Arg::Out(dq),
            Arg::Out(&mut delta),
            n,
            m,
            num_heads,
            width,
            Arg::Size(parts.q.offset),
            Arg::Size(parts.q.stride),
            Arg::Size(parts.k_offset),
            Arg::Size(parts.v_offset),
            Arg::Size(parts.kv_stride),
            Arg::Size(kept.o_offset),
            Arg::Size(0),
            Arg::Size(parts.q.offset),
            Arg::Size(parts.q.stride),
            Arg::Float(self.scale()),
            mask.key(),
            mask.threshold(),
            mask.kept(),
        ];
        queue.launch(self.kernel(DQ)?, self.grid(self.n)?, args)?;
        Ok(delta.into_tensor())
    }

    /// The gradients of k and v into `dkv`, whose rows lie as those of k and v.
    fn backward_kv(
        &self,
        queue: &Queue,
        kept: &Kept,
        (dy, delta): (&Tensor, &Tensor),
        dkv: &mut Buffer,
    ) -> Result<()> {
        let [n, m, num_heads, width] = self.sizes();
        let (parts, mask) = (kept.parts, Mask::of(self.dropout));
        let args = [
            Arg::In(kept.q),
            Arg::In(kept.kv),
            Arg::In(kept.kv),
            Arg::In(dy),
            Arg::In(kept.lse),
            Arg::In(delta),
            Arg::Out(dkv),
            n,
            m,
            num_heads,
            width,
            Arg::Size(parts.q.offset),
            Arg::Size(parts.q.stride),
            Arg::Size(parts.k_offset),
            Arg::Size(parts.v_offset),
            Arg::Size(parts.kv_stride),
            Arg::Size(kept.o_offset),
            Arg::Size(0),
            Arg::Size(parts.k_offset),
            Arg::Size(parts.v_offset),
            Arg::Size(parts.kv_stride),
            Arg::Float(self.scale()),
            mask.key(),
            mask.threshold(),
            mask.kept(),
        ];
        queue.launch(self.kernel(DKV)?, self.grid(self.m)?, args)
    }

    /// The gradient of packed rows q, k, v into those rows of `dqkv`.
    pub(super) fn backward_packed(
        &self,
        queue: &Queue,
        kept: &Kept,
        dy: &Tensor,
        dqkv: &mut Buffer,
    ) -> Result<()> {
        let delta = self.backward_q(queue, kept, dy, dqkv)?;
        self.backward_kv(queue, kept, (dy, &delta), dqkv)
    }
}

/// What the backward pass needs of the forward pass.
pub(super) struct Kept<'a> {
    pub(super) q: &'a Tensor,
    pub(super) kv: &'a Tensor,
    pub(super) parts: Parts,
    pub(super) o: &'a Tensor,
    /// Where the rows of o, and of its gradient, begin.
    pub(super) o_offset: usize,
    pub(super) lse: &'a Tensor,
}

/// Attention on packed rows q, k, v.
pub(crate) fn self_attention(
    qkv: &Tensor,
    num_heads: usize,
    dropout: Option<Dropout>,
    compute: Compute,
) -> Result<Tensor> {
    let queue = Queue::of(qkv.device(), compute)?;
    let (batch, n, packed) = qkv.dims3()?;
    let d = packed / 3;
    let heads = Heads {
        batch,
        n,
        m: n,
        num_heads,
        width: d / num_heads,
        dropout,
    };
    let qkv = qkv.contiguous()?;
    let rows = operand(&queue, &qkv)?;
    let parts = Parts::packed(d, 0);
    let mut o = queue.operand((batch, n, d))?;
    let lse = heads.forward(&queue, [&rows, &rows], parts, (&mut o, 0))?;
    let o = o.into_tensor();
    let y = float(&queue, &o)?;
    let shape = qkv.shape().clone();
    attach("self_attention", y, &[&qkv], move |dy| {
        let kept = Kept {
            q: &rows,
            kv: &rows,
            parts,
            o: &o,
            o_offset: 0,
            lse: &lse,
        };
        let mut dqkv = queue.operand(&shape)?;
        heads.backward_packed(&queue, &kept, &operand(&queue, dy)?, &mut dqkv)?;
        let dqkv = float(&queue, &dqkv.into_tensor())?;
        Ok([Some(dqkv.into_tensor()), None, None])
    })
}

/// Attention of q on packed rows k, v.
pub(crate) fn cross_attention(
    q: &Tensor,
    kv: &Tensor,
    num_heads: usize,
    dropout: Option<Dropout>,
    compute: Compute,
) -> Result<Tensor> {
    let queue = Queue::of(q.device(), compute)?;
    let (batch, n, d) = q.dims3()?;
    let heads = Heads {
        batch,
        n,
        m: kv.dim(1)?,
        num_heads,
        width: d / num_heads,
        dropout,
    };
    let (q, kv) = (q.contiguous()?, kv.contiguous()?);
    let (q_rows, kv_rows) = (operand(&queue, &q)?, operand(&queue, &kv)?);
    let parts = Parts::cross(d);
    let mut o = queue.operand((batch, n, d))?;
    let lse = heads.forward(&queue, [&q_rows, &kv_rows], parts, (&mut o, 0))?;
    let o = o.into_tensor();
    let y = float(&queue, &o)?;
    let inputs = [q.clone(), kv.clone()];
    attach("cross_attention", y, &inputs.each_ref(), move |dy| {
        let kept = Kept {
            q: &q_rows,
            kv: &kv_rows,
            parts,
            o: &o,
            o_offset: 0,
            lse: &lse,
        };
        let dy = operand(&queue, dy)?;
        let mut dq = queue.operand(q.shape())?;
        let delta = heads.backward_q(&queue, &kept, &dy, &mut dq)?;
        let dq = float(&queue, &dq.into_tensor())?.into_tensor();
        let dkv = if kv.track_op() {
            let mut dkv = queue.operand(kv.shape())?;
            heads.backward_kv(&queue, &kept, (&dy, &delta), &mut dkv)?;
            Some(float(&queue, &dkv.into_tensor())?.into_tensor())
        } else {
            None
        };
        Ok([q.track_op().then_some(dq), dkv, None])
    })
}

/// softmax(q k^T / sqrt(Dh)), (B, H, N, M).
pub(crate) fn attention_map(q: &Tensor, k: &Tensor, num_heads: usize) -> Result<Tensor> {
    let queue = Queue::of(q.device(), Compute::F32)?;
    let ((b, n, d), m) = (q.dims3()?, k.dim(1)?);
    let mut map = queue.float((b, num_heads, n, m))?;
    let args = [
        Arg::In(&q.contiguous()?),
        Arg::In(&k.contiguous()?),
        Arg::Out(&mut map),
        Arg::Size(b * num_heads * n),
        Arg::Size(n),
        Arg::Size(m),
        Arg::Size(num_heads),
        Arg::Size(d / num_heads),
        Arg::Float(((d / num_heads) as f64).powf(-0.5) as f32),
    ];
    queue.launch(
        "attention_map",
        super::layer_norm::by_warps(b * num_heads * n)?,
        args,
    )?;
    Ok(map.into_tensor())
}
