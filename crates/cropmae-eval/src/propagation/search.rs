//! Searches all sources for a run of query blocks, which is one task.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::affinity::{PANEL, QUERIES, Tile, affinities, affinity};
use super::grid::Neighborhood;
use super::sketch::{DIMENSIONS, Sketch};
use super::top_k::{Neighbor, TopK};
use super::{Query, Source};

/// The number of pairs of a tile above which all of its affinities are computed at once.
const FEW: u32 = 32;

/// A search, compiled once per instruction set.
pub(super) struct Search<'a> {
    hood: &'a Neighborhood,
    top_k: usize,
    query: Query<'a>,
    sources: &'a [Source<'a>],
    blocks: Range<usize>,
    /// (blocks, C, 12)
    queries: Vec<[f32; QUERIES]>,
    /// (blocks, 60, 12), where affinities can be bounded.
    coordinates: Vec<[f32; QUERIES]>,
}

impl<'a> Search<'a> {
    pub fn new(
        hood: &'a Neighborhood,
        top_k: usize,
        query: Query<'a>,
        sources: &'a [Source<'a>],
        blocks: Range<usize>,
    ) -> Self {
        let coordinates = query
            .sketch
            .map(|sketch| sketch.coordinates.queries(blocks.clone()));
        Self {
            hood,
            top_k,
            queries: query.features.panels.queries(blocks.clone()),
            coordinates: coordinates.unwrap_or_default(),
            query,
            sources,
            blocks,
        }
    }

    /// Returns the source cell for a query and how often it counts, or `None` for padding and beyond the radius.
    #[inline(always)]
    fn accept(&self, index: usize, query: usize, number: usize) -> Option<(usize, Neighbor)> {
        let grid = self.hood.grid;
        if query >= grid.cells() || number >= grid.cells() {
            return None; // padding of the last block or panel
        }
        let source = &self.sources[index];
        let copies = if self.hood.within(query, number) {
            source.unrestricted + source.restricted
        } else {
            source.unrestricted
        };
        let neighbor = Neighbor {
            source: index as u32,
            cell: grid.cell(number) as u32,
        };
        (copies > 0).then_some((copies, neighbor))
    }

    /// Offers the pairs of a block and a panel whose upper bounds are above the k-th best affinity.
    ///
    /// Returns `false` without any effect if there are too many pairs to compute one by one.
    #[inline(always)]
    fn offer_promising<S: Simd>(
        &self,
        simd: S,
        (index, panel, slot): (usize, usize, usize),
        sketches: (&Sketch, &Sketch),
        tile: &mut Tile,
        top: &mut TopK,
    ) -> bool {
        let (query_sketch, source_sketch) = sketches;
        let coordinates = &self.coordinates[slot * DIMENSIONS..][..DIMENSIONS];
        affinities(
            simd,
            coordinates,
            source_sketch.coordinates.panel(panel),
            tile,
        );
        let first = (self.blocks.start + slot) * QUERIES;
        let rows = QUERIES.min(self.hood.grid.cells() - first);
        let tails = source_sketch.tails(panel);
        let mut promising = [0; QUERIES];
        for (row, (bounds, count)) in tile.iter_mut().zip(&mut promising).enumerate().take(rows) {
            let (tail, weakest) = (
                query_sketch.tail(first + row),
                top.weakest(slot * QUERIES + row),
            );
            for (bound, source_tail) in bounds.iter_mut().zip(tails) {
                *bound += tail * source_tail;
            }
            // There is no early exit, so that the compiler vectorizes the loop.
            *count = bounds
                .iter()
                .fold(0u32, |n, &bound| n + u32::from(bound > weakest));
        }
        if promising.iter().sum::<u32>() > FEW {
            return false;
        }
        let source = self.sources[index].features;
        for row in (0..rows).filter(|&row| promising[row] > 0) {
            for (lane, &bound) in tile[row].iter().enumerate() {
                let number = panel * PANEL + lane;
                if bound > top.weakest(slot * QUERIES + row)
                    && let Some((copies, neighbor)) = self.accept(index, first + row, number)
                {
                    let query = self.query.features.row(first + row);
                    let affinity = affinity(simd, query, source.row(number));
                    if affinity > top.weakest(slot * QUERIES + row) {
                        top.insert(slot * QUERIES + row, affinity, copies, neighbor);
                    }
                }
            }
        }
        true
    }
}

impl WithSimd for Search<'_> {
    type Output = TopK;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> TopK {
        let panels = self.hood.grid.panels();
        let channels = self.query.features.channels();
        let mut top = TopK::new(self.blocks.len() * QUERIES, self.top_k);
        let mut tile: Tile = [[0.0; PANEL]; QUERIES];
        // Start at the position of the queries. Near cells are the most similar, and a high k-th best early saves work.
        let home = self.blocks.start * QUERIES / PANEL;
        for (index, source) in self.sources.iter().enumerate() {
            let sketches = self.query.sketch.zip(source.sketch);
            for panel in (home..panels).chain(0..home) {
                for (slot, block) in self.blocks.clone().enumerate() {
                    if source.unrestricted == 0 && !self.hood.near(block, panel) {
                        continue;
                    }
                    if let Some(sketches) = sketches {
                        let place = (index, panel, slot);
                        if self.offer_promising(simd, place, sketches, &mut tile, &mut top) {
                            continue;
                        }
                    }
                    let queries = &self.queries[slot * channels..][..channels];
                    affinities(
                        simd,
                        queries,
                        source.features.panels.panel(panel),
                        &mut tile,
                    );
                    top.offer(slot * QUERIES, &tile, |query, lane| {
                        self.accept(index, block * QUERIES + query, panel * PANEL + lane)
                    });
                }
            }
        }
        top
    }
}
