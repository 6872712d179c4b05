//! One tile: some queries of one head of one sample, against all keys.

use super::heads::{Heads, Rows};
use crate::cpu::gemm::{Mat, MatMut, Threads, gemm};
use crate::cpu::scratch::Scratch;
use crate::cpu::simd::{self, vectorised};

/// Replaces scores by exp(score - largest) and returns the largest and the sum.
#[inline(always)]
pub(super) fn exponentials(row: &mut [f32]) -> (f32, f32) {
    let max = simd::max(row);
    for score in row.iter_mut() {
        *score = simd::exp(*score - max);
    }
    (max, simd::sum(row, |e| e))
}

/// Some queries of one head of one sample.
pub(super) struct Tile<'a> {
    heads: &'a Heads,
    sample: usize,
    head: usize,
    /// First query, inside of the sample.
    first: usize,
    len: usize,
}

/// Where a tile's gradients go.
pub(super) struct TileGrads<'a> {
    pub(super) dq: MatMut<'a>,
    pub(super) dk: MatMut<'a>,
    pub(super) dv: MatMut<'a>,
    /// Factor of the old dk and dv.
    pub(super) beta: f32,
}

impl<'a> Tile<'a> {
    /// `head` counts over samples and heads.
    pub(super) fn new(heads: &'a Heads, head: usize, first: usize, len: usize) -> Self {
        let (sample, head) = (head / heads.num_heads, head % heads.num_heads);
        Self {
            heads,
            sample,
            head,
            first,
            len,
        }
    }

    pub(super) fn query_origin(&self) -> (usize, usize) {
        (
            self.sample * self.heads.queries + self.first,
            self.head * self.heads.head_dim,
        )
    }

    pub(super) fn query_dims(&self) -> (usize, usize) {
        (self.len, self.heads.head_dim)
    }

    pub(super) fn key_origin(&self) -> (usize, usize) {
        (
            self.sample * self.heads.keys,
            self.head * self.heads.head_dim,
        )
    }

    pub(super) fn key_dims(&self) -> (usize, usize) {
        (self.heads.keys, self.heads.head_dim)
    }

    /// Row of the dropout mask of the tile's query `i`: counts over (sample, head, query).
    fn mask_row(&self, i: usize) -> usize {
        (self.sample * self.heads.num_heads + self.head) * self.heads.queries + self.first + i
    }

    /// `scores` (len, M) = q k^T / sqrt(Dh).
    pub(super) fn scores(&self, q: Rows, k: Rows, scores: &mut [f32]) {
        let q = q.block(self.query_origin(), self.query_dims());
        let k = k.block(self.key_origin(), self.key_dims());
        let scores = MatMut::new(scores, self.len, self.heads.keys);
        gemm(
            scores,
            0.0,
            self.heads.scale(),
            q,
            k.t(),
            Threads::One,
            self.heads.compute,
        );
    }

    pub(super) fn forward(&self, [q, k, v]: [Rows; 3], mut y: MatMut, lse: &mut [f32]) {
        let m = self.heads.keys;
        let mut probs = Scratch::new(self.len * m);
        let mut sums = Scratch::new(self.len);
        self.scores(q, k, &mut probs);
        // Rows stay without their divisor until they are Dh wide.
        vectorised!({
            for (i, row) in probs.chunks_exact_mut(m).enumerate() {
                let (max, sum) = exponentials(row);
                lse[i] = max + sum.ln();
                sums[i] = sum;
                if let Some(dropout) = self.heads.dropout {
                    dropout.row(self.mask_row(i)).apply(row);
                }
            }
        });
        let v = v.block(self.key_origin(), self.key_dims());
        gemm(
            y.reborrow(),
            0.0,
            1.0,
            Mat::new(&probs, self.len, m),
            v,
            Threads::One,
            self.heads.compute,
        );
        for (y, sum) in y.rows_mut().zip(sums.iter()) {
            y.iter_mut().for_each(|y| *y /= sum);
        }
    }

    pub(super) fn backward(
        &self,
        [q, k, v]: [Rows; 3],
        (y, lse): (&[f32], &[f32]),
        dy: &[f32],
        grads: TileGrads,
    ) {
        let (len, m) = (self.len, self.heads.keys);
        let TileGrads { dq, dk, dv, beta } = grads;
        let stride = self.heads.width();
        let [dy_rows] = Rows::unpack(dy, stride);
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
            self.heads.compute,
        );
        let (row, col) = self.query_origin();
        vectorised!({
            let rows = probs.chunks_exact_mut(m).zip(dscores.chunks_exact_mut(m));
            for (i, ((p, ds), &lse)) in rows.zip(lse).enumerate() {
                let first = (row + i) * stride + col;
                let head = first..first + self.heads.head_dim;
                let delta = simd::sum2(&y[head.clone()], &dy[head], |y, dy| y * dy);
                self.backward_row(i, p, ds, lse, delta);
            }
        });
        let compute = self.heads.compute;
        let probs = Mat::new(&probs, len, m);
        let dscores = Mat::new(&dscores, len, m);
        gemm(dv, beta, 1.0, probs.t(), dy_block, Threads::One, compute);
        let q = q.block(self.query_origin(), self.query_dims());
        let k = k.block(self.key_origin(), self.key_dims());
        gemm(dq, 0.0, 1.0, dscores, k, Threads::One, compute);
        gemm(dk, beta, 1.0, dscores.t(), q, Threads::One, compute);
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
