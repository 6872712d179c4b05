//! A tile of attention, which is some queries of one head of one sample with all keys.

use super::heads::{Heads, Rows};
use crate::cpu::gemm::{Right, Threads, gemm, multiply};
use crate::cpu::matrix::{Mat, MatMut, padded};
use crate::cpu::scratch::Scratch;
use crate::cpu::simd::{self, vectorized};

/// Replaces scores by exp(score - largest), after multiplying them by `scale`, and returns the largest and the sum.
#[inline(always)]
pub(super) fn exponentials(row: &mut [f32], scale: f32) -> (f32, f32) {
    let max = simd::max(row);
    let sum = simd::map_sum(row, |score| simd::exp((score - max) * scale));
    (max * scale, sum)
}

/// A head of one sample.
#[derive(Clone, Copy)]
pub(super) struct Head<'a> {
    heads: &'a Heads,
    sample: usize,
    index: usize,
}

impl<'a> Head<'a> {
    /// Creates a head. `number` counts over samples and heads.
    pub(super) fn new(heads: &'a Heads, number: usize) -> Self {
        Self {
            heads,
            sample: number / heads.num_heads,
            index: number % heads.num_heads,
        }
    }

    pub(super) fn key_origin(&self) -> (usize, usize) {
        (
            self.sample * self.heads.keys,
            self.index * self.heads.head_dim,
        )
    }

    pub(super) fn key_dims(&self) -> (usize, usize) {
        (self.heads.keys, self.heads.head_dim)
    }

    /// Returns the keys or values (M, Dh) of the head.
    pub(super) fn keys<'d>(&self, rows: Rows<'d>) -> Mat<'d> {
        rows.block(self.key_origin(), self.key_dims())
    }

    /// Returns a right operand for all tiles of the head.
    pub(super) fn right<'d>(&self, source: Mat<'d>) -> Right<'d> {
        Right::new(source, Threads::One, self.heads.compute)
    }

    /// Returns the tile of `len` queries of the sample, starting at `first`.
    pub(super) fn tile(self, first: usize, len: usize) -> Tile<'a> {
        Tile {
            head: self,
            first,
            len,
        }
    }
}

/// Some queries of a head.
pub(super) struct Tile<'a> {
    head: Head<'a>,
    first: usize,
    len: usize,
}

/// The right operands of the backward pass of a head.
pub(super) struct Operands<'a> {
    pub(super) k: Right<'a>,
    pub(super) k_t: Right<'a>,
    pub(super) v_t: Right<'a>,
}

/// The gradients that a tile writes.
pub(super) struct TileGrads<'a> {
    pub(super) dq: MatMut<'a>,
    pub(super) dk: MatMut<'a>,
    pub(super) dv: MatMut<'a>,
    /// The factor of the old dk and dv.
    pub(super) beta: f32,
}

impl Tile<'_> {
    pub(super) fn query_origin(&self) -> (usize, usize) {
        let Head {
            heads,
            sample,
            index,
        } = self.head;
        (sample * heads.queries + self.first, index * heads.head_dim)
    }

    pub(super) fn query_dims(&self) -> (usize, usize) {
        (self.len, self.head.heads.head_dim)
    }

    fn queries<'d>(&self, rows: Rows<'d>) -> Mat<'d> {
        rows.block(self.query_origin(), self.query_dims())
    }

    /// Returns the row of the dropout mask of query `i` of the tile, which counts over (sample, head, query).
    fn mask_row(&self, i: usize) -> usize {
        let Head {
            heads,
            sample,
            index,
        } = self.head;
        (sample * heads.num_heads + index) * heads.queries + self.first + i
    }

    /// Computes `scores` (len, M) = q k^T, without the factor 1 / sqrt(Dh).
    pub(super) fn scores(&self, q: Rows, k_t: &Right, scores: MatMut) {
        multiply(scores, (0.0, 1.0), self.queries(q), k_t, Threads::One);
    }

    pub(super) fn forward(&self, q: Rows, (k_t, v): (&Right, &Right), y: MatMut, lse: &mut [f32]) {
        let (heads, m) = (self.head.heads, self.head.heads.keys);
        let mut probs = Scratch::new(self.len * padded(m));
        let mut sums = Scratch::new(self.len);
        self.scores(q, k_t, MatMut::padded(&mut probs, self.len, m));
        // Divide the rows later, when they have only the width Dh.
        vectorized!({
            for (i, row) in probs.chunks_exact_mut(padded(m)).enumerate() {
                let row = &mut row[..m];
                let (max, sum) = exponentials(row, heads.scale());
                lse[i] = max + sum.ln();
                sums[i] = sum;
                if let Some(dropout) = heads.dropout {
                    dropout.row(self.mask_row(i)).apply(row);
                }
            }
        });
        let probs = Mat::strided(&probs, self.len, m, padded(m));
        let mut y = multiply(y, (0.0, 1.0), probs, v, Threads::One);
        for (y, sum) in y.rows_mut().zip(sums.iter()) {
            y.iter_mut().for_each(|y| *y /= sum);
        }
    }

    pub(super) fn backward(
        &self,
        q: Rows,
        operands: &Operands,
        (y, lse): (&[f32], &[f32]),
        dy: &[f32],
        grads: TileGrads,
    ) {
        let heads = self.head.heads;
        let (len, m, row_stride) = (self.len, heads.keys, padded(heads.keys));
        let TileGrads { dq, dk, dv, beta } = grads;
        let stride = heads.width();
        let [dy_rows] = Rows::unpack(dy, stride);
        let dy_block = self.queries(dy_rows);
        let mut probs = Scratch::new(len * row_stride);
        let mut dscores = Scratch::new(len * row_stride);
        self.scores(q, &operands.k_t, MatMut::padded(&mut probs, len, m));
        // This is the gradient of the probabilities, before it becomes that of the scores.
        let dprobs = MatMut::padded(&mut dscores, len, m);
        multiply(dprobs, (0.0, 1.0), dy_block, &operands.v_t, Threads::One);
        let (row, col) = self.query_origin();
        vectorized!({
            let rows = probs
                .chunks_exact_mut(row_stride)
                .zip(dscores.chunks_exact_mut(row_stride));
            for (i, ((p, ds), &lse)) in rows.zip(lse).enumerate() {
                let first = (row + i) * stride + col;
                let head = first..first + heads.head_dim;
                let delta = simd::sum2(&y[head.clone()], &dy[head], |y, dy| y * dy);
                self.backward_row(i, &mut p[..m], &mut ds[..m], lse, delta);
            }
        });
        let probs = Mat::strided(&probs, len, m, row_stride);
        let dscores = Mat::strided(&dscores, len, m, row_stride);
        let product = |c, beta, a, b| gemm(c, beta, 1.0, a, b, Threads::One, heads.compute);
        product(dv, beta, probs.t(), dy_block);
        multiply(dq, (0.0, 1.0), dscores, &operands.k, Threads::One);
        product(dk, beta, dscores.t(), self.queries(q));
    }

    /// Turns scores into probabilities (after dropout), and their gradient `ds` into that of q k^T.
    #[inline(always)]
    fn backward_row(&self, i: usize, p: &mut [f32], ds: &mut [f32], lse: f32, delta: f32) {
        let scale = self.head.heads.scale();
        match self.head.heads.dropout {
            None => {
                for (p, ds) in p.iter_mut().zip(ds) {
                    *p = simd::exp(*p * scale - lse);
                    *ds = *p * (*ds - delta) * scale;
                }
            }
            Some(dropout) => {
                let mask = dropout.row(self.mask_row(i));
                for (j, (p, ds)) in p.iter_mut().zip(ds).enumerate() {
                    let (prob, factor) = (simd::exp(*p * scale - lse), mask.factor(j));
                    *p = prob * factor;
                    *ds = prob * (*ds * factor - delta) * scale;
                }
            }
        }
    }
}
