//! The k strongest sources of each query, kept while affinities stream by.

use super::affinity::Tile;

/// One source cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbour {
    /// Position of the source frame in the list of sources.
    pub source: u32,
    /// Row-major index of the cell.
    pub cell: u32,
}

/// The `k` strongest sources of a run of queries, strongest first. Of equal affinities the first offered
/// wins, so that the result depends on the order of sources alone.
#[derive(Debug)]
pub(super) struct TopK {
    k: usize,
    /// (queries, k), falling; -inf where nothing was offered yet.
    affinities: Vec<f32>,
    neighbors: Vec<Neighbour>,
}

impl TopK {
    pub fn new(queries: usize, k: usize) -> Self {
        Self {
            k,
            affinities: vec![f32::NEG_INFINITY; queries * k],
            neighbors: vec![Neighbour { source: 0, cell: 0 }; queries * k],
        }
    }

    /// Affinities and sources of a query, strongest first; fewer than k if fewer were offered.
    pub fn ranked(&self, query: usize) -> (&[f32], &[Neighbour]) {
        let range = query * self.k..(query + 1) * self.k;
        let affinities = &self.affinities[range.clone()];
        let found = affinities.partition_point(|&a| a > f32::NEG_INFINITY);
        (&affinities[..found], &self.neighbors[range][..found])
    }

    /// What an affinity must exceed to enter.
    #[inline(always)]
    pub fn weakest(&self, query: usize) -> f32 {
        self.affinities[(query + 1) * self.k - 1]
    }

    /// Offers a tile: `accept(query in tile, lane)` says how often the source counts, and which it is; it is
    /// asked only about affinities that would enter.
    #[inline(always)]
    pub fn offer(
        &mut self,
        first_query: usize,
        tile: &Tile,
        accept: impl Fn(usize, usize) -> Option<(usize, Neighbour)>,
    ) {
        for (slot, row) in tile.iter().enumerate() {
            let weakest = self.weakest(first_query + slot);
            // Almost every row fails here; the fold has no early exit so that it becomes vector code.
            if !row.iter().fold(false, |any, &a| any | (a > weakest)) {
                continue;
            }
            for (lane, &affinity) in row.iter().enumerate() {
                if affinity > self.weakest(first_query + slot)
                    && let Some((copies, neighbor)) = accept(slot, lane)
                {
                    self.insert(first_query + slot, affinity, copies, neighbor);
                }
            }
        }
    }

    /// Enters an affinity above [`Self::weakest`], as often as its source counts.
    #[inline(never)]
    pub fn insert(&mut self, query: usize, affinity: f32, copies: usize, neighbor: Neighbour) {
        let range = query * self.k..(query + 1) * self.k;
        let affinities = &mut self.affinities[range.clone()];
        let neighbors = &mut self.neighbors[range];
        let at = affinities.partition_point(|&a| a >= affinity);
        let copies = copies.min(self.k - at);
        affinities[at..].rotate_right(copies);
        affinities[at..at + copies].fill(affinity);
        neighbors[at..].rotate_right(copies);
        neighbors[at..at + copies].fill(neighbor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_strongest_and_the_first_of_equals() {
        let mut top = TopK::new(1, 4);
        let at = |cell| Neighbour { source: 0, cell };
        for (cell, affinity) in [0.1, 0.5, 0.3, 0.5, 0.2, 0.9].into_iter().enumerate() {
            top.insert(0, affinity, 1, at(cell as u32));
        }
        let (affinities, neighbors) = top.ranked(0);
        assert_eq!(affinities, [0.9, 0.5, 0.5, 0.3]);
        assert_eq!(neighbors, [at(5), at(1), at(3), at(2)]);
    }

    #[test]
    fn copies_fill_several_places_and_no_more_than_there_are() {
        let mut top = TopK::new(1, 4);
        let at = |cell| Neighbour { source: 0, cell };
        top.insert(0, 0.5, 1, at(0));
        top.insert(0, 0.7, 2, at(1));
        assert_eq!(top.ranked(0).0, [0.7, 0.7, 0.5]);
        top.insert(0, 0.6, 21, at(2));
        assert_eq!(top.ranked(0).0, [0.7, 0.7, 0.6, 0.6]);
        assert_eq!(top.ranked(0).1, [at(1), at(1), at(2), at(2)]);
    }
}
