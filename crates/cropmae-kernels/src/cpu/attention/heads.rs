//! Attention on the CPU: the distribution of samples, heads and tiles of queries to tasks.

use std::array;
use std::ops::Range;

use candle_core::Shape;
use rayon::prelude::*;

use super::tile::{Head, Operands, TileGrads, exponentials};
use crate::args::Dropout;
use crate::compute::Compute;
use crate::cpu::matrix::{Mat, MatMut};
use crate::cpu::output::Unset;
use crate::cpu::product::ROWS;
use crate::cpu::shared::PartMut;
use crate::cpu::simd::vectorized;

/// The number of scores of a tile of queries, which are 384 KiB, to stay in the cache of one core.
const TILE_LEN: usize = 96 * 1024;

/// Rows of `stride` elements, of which D, starting at `offset`, are the queries, keys or values.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct Rows<'a> {
    data: &'a [f32],
    stride: usize,
    offset: usize,
}

impl<'a> Rows<'a> {
    /// Returns the parts of `width` elements that are side by side in each row of `data`.
    pub(in crate::cpu) fn unpack<const PARTS: usize>(
        data: &'a [f32],
        width: usize,
    ) -> [Self; PARTS] {
        array::from_fn(|part| Self {
            data,
            stride: PARTS * width,
            offset: part * width,
        })
    }

    /// Returns `rows` x `cols` elements at (`row`, `col`).
    pub(super) fn block(self, (row, col): (usize, usize), (rows, cols): (usize, usize)) -> Mat<'a> {
        let first = row * self.stride + self.offset + col;
        Mat::strided(&self.data[first..], rows, cols, self.stride)
    }
}

/// The shapes and the dropout of one attention.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct Heads {
    pub(super) batch: usize,
    pub(super) queries: usize,
    pub(super) keys: usize,
    pub(super) num_heads: usize,
    pub(super) head_dim: usize,
    pub(super) dropout: Option<Dropout>,
    pub(super) compute: Compute,
}

impl Heads {
    pub(in crate::cpu) fn new(
        (batch, queries, keys): (usize, usize, usize),
        width: usize,
        num_heads: usize,
        dropout: Option<Dropout>,
        compute: Compute,
    ) -> Self {
        Self {
            batch,
            queries,
            keys,
            num_heads,
            head_dim: width / num_heads,
            dropout,
            compute,
        }
    }

    /// Returns D.
    pub(in crate::cpu) fn width(&self) -> usize {
        self.num_heads * self.head_dim
    }

    /// Returns B * N * D.
    pub(in crate::cpu) fn output_len(&self) -> usize {
        self.batch * self.queries * self.width()
    }

    /// Returns the range of the packed q, k and v for the elements `tokens` of a (T, D) matrix.
    pub(in crate::cpu) fn packed(tokens: &Range<usize>) -> Range<usize> {
        3 * tokens.start..3 * tokens.end
    }

    /// Returns the shape (B, N, D).
    pub(super) fn output_shape(&self) -> Shape {
        (self.batch, self.queries, self.width()).into()
    }

    /// Returns the shape (B, H, N, M).
    pub(super) fn map_shape(&self) -> Shape {
        (self.batch, self.num_heads, self.queries, self.keys).into()
    }

    /// Returns the factor of the scores, 1 / sqrt(Dh).
    pub(super) fn scale(&self) -> f32 {
        1.0 / (self.head_dim as f32).sqrt()
    }

    /// Returns the number of queries whose scores exist at the same time.
    fn tile(&self) -> usize {
        let fitting = (TILE_LEN / self.keys).next_multiple_of(ROWS);
        fitting.clamp(4 * ROWS, self.queries.max(4 * ROWS))
    }

    /// Writes the output (B, N, D) and returns it with lse (B, H, N).
    pub(in crate::cpu) fn forward<'y>(
        &self,
        [q, k, v]: [Rows; 3],
        mut y: Unset<'y>,
    ) -> (&'y mut [f32], Vec<f32>) {
        assert_eq!(y.len(), self.output_len());
        let mut lse = vec![0.0; self.batch * self.num_heads * self.queries];
        let [part] = PartMut::split(&mut y, self.width());
        lse.par_chunks_mut(self.queries)
            .enumerate()
            .for_each(|(number, lse)| {
                let head = Head::new(self, number);
                let (k_t, v) = (head.right(head.keys(k).t()), head.right(head.keys(v)));
                let tiles = lse.par_chunks_mut(self.tile()).enumerate();
                tiles.for_each(|(i, lse)| {
                    let tile = head.tile(i * self.tile(), lse.len());
                    // SAFETY: each task has a different head or different queries, so blocks do not overlap.
                    let y = unsafe { part.block(tile.query_origin(), tile.query_dims(), false) };
                    tile.forward(q, (&k_t, &v), y, lse);
                });
            });
        // SAFETY: the blocks of all tiles of all heads are the whole output, and each tile has written its block.
        (unsafe { y.assume_written() }, lse)
    }

    /// Writes the gradients of q, k and v from the output `y`, its gradient and lse.
    pub(in crate::cpu) fn backward(
        &self,
        [q, k, v]: [Rows; 3],
        (y, lse): (&[f32], &[f32]),
        dy: &[f32],
        [dq, dk, dv]: [&PartMut; 3],
    ) {
        lse.par_chunks(self.queries)
            .enumerate()
            .for_each(|(number, lse)| {
                let head = Head::new(self, number);
                let operands = Operands {
                    k: head.right(head.keys(k)),
                    k_t: head.right(head.keys(k).t()),
                    v_t: head.right(head.keys(v).t()),
                };
                for (i, lse) in lse.chunks(self.tile()).enumerate() {
                    let tile = head.tile(i * self.tile(), lse.len());
                    // SAFETY: each task has a different head, and its tiles run one after the other.
                    let grads = unsafe {
                        TileGrads {
                            dq: dq.block(tile.query_origin(), tile.query_dims(), false),
                            // The first tile of a head sets dk and dv, and the others add to them.
                            dk: dk.block(head.key_origin(), head.key_dims(), i > 0),
                            dv: dv.block(head.key_origin(), head.key_dims(), i > 0),
                            beta: if i > 0 { 1.0 } else { 0.0 },
                        }
                    };
                    tile.backward(q, &operands, (y, lse), dy, grads);
                }
            });
    }

    /// Returns the probabilities (B, H, N, M).
    pub(super) fn probabilities(&self, q: Rows, k: Rows) -> Vec<f32> {
        let (n, m) = (self.queries, self.keys);
        let mut map = vec![0.0; self.batch * self.num_heads * n * m];
        map.par_chunks_mut(n * m)
            .enumerate()
            .for_each(|(number, scores)| {
                let head = Head::new(self, number);
                let k_t = head.right(head.keys(k).t());
                head.tile(0, n).scores(q, &k_t, MatMut::new(scores, n, m));
                vectorized!({
                    for row in scores.chunks_exact_mut(m) {
                        let (_, sum) = exponentials(row, self.scale());
                        row.iter_mut().for_each(|p| *p /= sum);
                    }
                });
            });
        map
    }
}
