//! The arithmetic of attention on the CPU: one head of one sample at a time.

use candle_core::{Result, Shape, bail};
use rayon::prelude::*;

use crate::cpu::gemm::{Mat, MatMut, Threads, gemm};
use crate::cpu::scratch::Scratch;
use crate::cpu::shared::PartMut;
use crate::cpu::{self, simd};
use crate::dropout::Dropout;

/// Scores of a tile of queries, in elements: half a megabyte, to stay in the cache of one core.
const TILE_LEN: usize = 128 * 1024;

/// Rows of `stride` elements of which D, from `offset` on, are the queries, keys or values.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) data: &'a [f32],
    pub(super) stride: usize,
    pub(super) offset: usize,
}

impl<'a> Rows<'a> {
    /// `rows` x `cols` elements at (`row`, `col`).
    fn block(self, (row, col): (usize, usize), (rows, cols): (usize, usize)) -> Mat<'a> {
        let first = row * self.stride + self.offset + col;
        Mat::strided(&self.data[first..], rows, cols, self.stride)
    }
}

/// Shapes and dropout of one attention.
#[derive(Clone, Copy)]
pub(super) struct Heads {
    batch: usize,
    queries: usize,
    keys: usize,
    num_heads: usize,
    head_dim: usize,
    dropout: Option<Dropout>,
}

impl Heads {
    pub(super) fn new(
        op: &'static str,
        (batch, queries, keys): (usize, usize, usize),
        width: usize,
        num_heads: usize,
        dropout: Option<Dropout>,
    ) -> Result<Self> {
        if num_heads == 0 || width == 0 || !width.is_multiple_of(num_heads) {
            bail!("{op}: width {width} does not divide into {num_heads} heads");
        }
        if batch == 0 || queries == 0 || keys == 0 {
            bail!(
                "{op}: batch {batch}, {queries} queries, {keys} keys: expected at least one of each"
            );
        }
        if let Some(dropout) = dropout {
            dropout.check(op)?;
        }
        let head_dim = width / num_heads;
        Ok(Self {
            batch,
            queries,
            keys,
            num_heads,
            head_dim,
            dropout,
        })
    }

    /// D.
    pub(super) fn width(&self) -> usize {
        self.num_heads * self.head_dim
    }

    /// (B, N, D).
    pub(super) fn output_shape(&self) -> Shape {
        (self.batch, self.queries, self.width()).into()
    }

    /// (B, H, N, M).
    pub(super) fn map_shape(&self) -> Shape {
        (self.batch, self.num_heads, self.queries, self.keys).into()
    }

    fn scale(&self) -> f32 {
        1.0 / (self.head_dim as f32).sqrt()
    }

    /// Queries whose scores exist at a time.
    fn tile(&self) -> usize {
        (TILE_LEN / self.keys).clamp(16, self.queries.max(16))
    }

    /// The output (B, N, D) and lse (B, H, N).
    pub(super) fn forward(&self, q: Rows, k: Rows, v: Rows) -> (Vec<f32>, Vec<f32>) {
        let mut y = cpu::output(self.batch * self.queries * self.width());
        let mut lse = cpu::output(self.batch * self.num_heads * self.queries);
        let [part] = PartMut::split(&mut y, self.width());
        lse.par_chunks_mut(self.queries)
            .enumerate()
            .for_each(|(head, lse)| {
                let tiles = lse.par_chunks_mut(self.tile()).enumerate();
                tiles.for_each(|(i, lse)| {
                    let tile = Tile::new(self, head, i * self.tile(), lse.len());
                    // SAFETY: each task has its own head and queries, so blocks do not overlap.
                    let y = unsafe { part.block(tile.query_origin(), tile.query_dims()) };
                    tile.forward(q, k, v, y, lse);
                });
            });
        (y, lse)
    }

    /// Writes the gradients of q, k and v, given the output `y`, its gradient and lse.
    pub(super) fn backward(
        &self,
        [q, k, v]: [Rows; 3],
        (y, lse): (&[f32], &[f32]),
        dy: &[f32],
        [dq, dk, dv]: [&PartMut; 3],
    ) {
        lse.par_chunks(self.queries)
            .enumerate()
            .for_each(|(head, lse)| {
                for (i, lse) in lse.chunks(self.tile()).enumerate() {
                    let tile = Tile::new(self, head, i * self.tile(), lse.len());
                    // SAFETY: each task has its own head, and its tiles run one after the other.
                    let grads = unsafe {
                        TileGrads {
                            dq: dq.block(tile.query_origin(), tile.query_dims()),
                            dk: dk.block(tile.key_origin(), tile.key_dims()),
                            dv: dv.block(tile.key_origin(), tile.key_dims()),
                            // The first tile of a head sets dk and dv, the others add to them.
                            beta: if i == 0 { 0.0 } else { 1.0 },
                        }
                    };
                    tile.backward([q, k, v], (y, lse), dy, grads);
                }
            });
    }

    /// Probabilities (B, H, N, M).
    pub(super) fn probabilities(&self, q: Rows, k: Rows) -> Vec<f32> {
        let (n, m) = (self.queries, self.keys);
        let mut map = cpu::output(self.batch * self.num_heads * n * m);
        map.par_chunks_mut(n * m)
            .enumerate()
            .for_each(|(head, scores)| {
                let tile = Tile::new(self, head, 0, n);
                tile.scores(q, k, scores);
                simd::dispatch(
                    #[inline(always)]
                    || {
                        for row in scores.chunks_exact_mut(m) {
                            let (_, sum) = exponentials(row);
                            row.iter_mut().for_each(|p| *p /= sum);
                        }
                    },
                );
            });
        map
    }
}

/// Replaces scores by exp(score - largest) and returns the largest and the sum.
#[inline(always)]
fn exponentials(row: &mut [f32]) -> (f32, f32) {
    let max = simd::max(row);
    for score in row.iter_mut() {
        *score = simd::exp(*score - max);
    }
    (max, simd::sum(row, |e| e))
}

/// Some queries of one head of one sample.
struct Tile<'a> {
    heads: &'a Heads,
    sample: usize,
    head: usize,
    /// First query, inside of the sample.
    first: usize,
    len: usize,
}

/// Where a tile's gradients go.
struct TileGrads<'a> {
    dq: MatMut<'a>,
    dk: MatMut<'a>,
    dv: MatMut<'a>,
    /// Factor of the old dk and dv.
    beta: f32,
}

impl<'a> Tile<'a> {
    /// `head` counts over samples and heads.
    fn new(heads: &'a Heads, head: usize, first: usize, len: usize) -> Self {
        let (sample, head) = (head / heads.num_heads, head % heads.num_heads);
        Self {
            heads,
            sample,
            head,
            first,
            len,
        }
    }

    fn query_origin(&self) -> (usize, usize) {
        (
            self.sample * self.heads.queries + self.first,
            self.head * self.heads.head_dim,
        )
    }

    fn query_dims(&self) -> (usize, usize) {
        (self.len, self.heads.head_dim)
    }

    fn key_origin(&self) -> (usize, usize) {
        (
            self.sample * self.heads.keys,
            self.head * self.heads.head_dim,
        )
    }

    fn key_dims(&self) -> (usize, usize) {
        (self.heads.keys, self.heads.head_dim)
    }

    /// Row of the dropout mask of the tile's query `i`: counts over (sample, head, query).
    fn mask_row(&self, i: usize) -> usize {
        (self.sample * self.heads.num_heads + self.head) * self.heads.queries + self.first + i
    }

    /// `scores` (len, M) = q k^T / sqrt(Dh).
    fn scores(&self, q: Rows, k: Rows, scores: &mut [f32]) {
        let q = q.block(self.query_origin(), self.query_dims());
        let k = k.block(self.key_origin(), self.key_dims());
        let scores = MatMut::new(scores, self.len, self.heads.keys);
        gemm(scores, 0.0, self.heads.scale(), q, k.t(), Threads::One);
    }

    fn forward(&self, q: Rows, k: Rows, v: Rows, mut y: MatMut, lse: &mut [f32]) {
        let m = self.heads.keys;
        let mut probs = Scratch::new(self.len * m);
        let mut sums = Scratch::new(self.len);
        self.scores(q, k, &mut probs);
        // Rows stay without their divisor until they are Dh wide.
        simd::dispatch(
            #[inline(always)]
            || {
                for (i, row) in probs.chunks_exact_mut(m).enumerate() {
                    let (max, sum) = exponentials(row);
                    lse[i] = max + sum.ln();
                    sums[i] = sum;
                    if let Some(dropout) = self.heads.dropout {
                        dropout.row(self.mask_row(i)).apply(row);
                    }
                }
            },
        );
        let v = v.block(self.key_origin(), self.key_dims());
        gemm(
            y.reborrow(),
            0.0,
            1.0,
            Mat::new(&probs, self.len, m),
            v,
            Threads::One,
        );
        for (y, sum) in y.rows_mut().zip(sums.iter()) {
            y.iter_mut().for_each(|y| *y /= sum);
        }
    }

    fn backward(
        &self,
        [q, k, v]: [Rows; 3],
        (y, lse): (&[f32], &[f32]),
        dy: &[f32],
        grads: TileGrads,
    ) {
        let (len, m) = (self.len, self.heads.keys);
        let TileGrads { dq, dk, dv, beta } = grads;
        let stride = self.heads.width();
        let dy_rows = Rows {
            data: dy,
            stride,
            offset: 0,
        };
        let dy_block = dy_rows.block(self.query_origin(), self.query_dims());
        let mut probs = Scratch::new(len * m);
        let mut dscores = Scratch::new(len * m);
        self.scores(q, k, &mut probs);
        let v = v.block(self.key_origin(), self.key_dims());
        // The gradient of the probabilities, before it becomes that of the scores.
        gemm(
            MatMut::new(&mut dscores, len, m),
            0.0,
            1.0,
            dy_block,
            v.t(),
            Threads::One,
        );
        let (row, col) = self.query_origin();
        simd::dispatch(
            #[inline(always)]
            || {
                let rows = probs.chunks_exact_mut(m).zip(dscores.chunks_exact_mut(m));
                for (i, ((p, ds), &lse)) in rows.zip(lse).enumerate() {
                    let first = (row + i) * stride + col;
                    let head = first..first + self.heads.head_dim;
                    let delta = simd::sum2(&y[head.clone()], &dy[head], |y, dy| y * dy);
                    self.backward_row(i, p, ds, lse, delta);
                }
            },
        );
        let probs = Mat::new(&probs, len, m);
        let dscores = Mat::new(&dscores, len, m);
        gemm(dv, beta, 1.0, probs.t(), dy_block, Threads::One);
        let q = q.block(self.query_origin(), self.query_dims());
        let k = k.block(self.key_origin(), self.key_dims());
        gemm(dq, 0.0, 1.0, dscores, k, Threads::One);
        gemm(dk, beta, 1.0, dscores.t(), q, Threads::One);
    }

    /// Turns scores into probabilities (after dropout) and their gradient `ds` into that of q k^T.
    #[inline(always)]
    fn backward_row(&self, i: usize, p: &mut [f32], ds: &mut [f32], lse: f32, delta: f32) {
        let scale = self.heads.scale();
        match self.heads.dropout {
            None => {
                for (p, ds) in p.iter_mut().zip(ds) {
                    *p = simd::exp(*p - lse);
                    *ds = *p * (*ds - delta) * scale;
                }
            }
            Some(dropout) => {
                let mask = dropout.row(self.mask_row(i));
                for (j, (p, ds)) in p.iter_mut().zip(ds).enumerate() {
                    let (prob, factor) = (simd::exp(*p - lse), mask.factor(j));
                    *p = prob * factor;
                    *ds = prob * (*ds * factor - delta) * scale;
                }
            }
        }
    }
}
