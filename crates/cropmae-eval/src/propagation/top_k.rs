//! Keeps the k strongest sources of each query during the search.

use super::affinity::Tile;

/// A source cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbor {
    /// The position of the source frame in the list of sources.
    pub source: u32,
    /// The row-major index of the cell.
    pub cell: u32,
}

/// The `k` strongest sources of a run of queries, strongest first.
///
/// Of equal affinities, the first one wins, so the result only depends on the order of sources.
#[derive(Debug)]
pub(super) struct TopK {
    k: usize,
    /// The affinities (queries, k) in descending order, filled up with -inf.
    affinities: Vec<f32>,
    neighbors: Vec<Neighbor>,
}

impl TopK {
    pub fn new(queries: usize, k: usize) -> Self {
        Self {
            k,
            affinities: vec![f32::NEG_INFINITY; queries * k],
            neighbors: vec![Neighbor { source: 0, cell: 0 }; queries * k],
        }
    }

    /// Returns the affinities and sources of a query, strongest first. There are fewer than k if fewer were offered.
    pub fn ranked(&self, query: usize) -> (&[f32], &[Neighbor]) {
        let range = query * self.k..(query + 1) * self.k;
        let affinities = &self.affinities[range.clone()];
        let found = affinities.partition_point(|&a| a > f32::NEG_INFINITY);
        (&affinities[..found], &self.neighbors[range][..found])
    }

    /// Returns the value that an affinity must exceed to be among the top k.
    #[inline(always)]
    pub fn weakest(&self, query: usize) -> f32 {
        self.affinities[(query + 1) * self.k - 1]
    }

    /// Offers a tile of affinities.
    ///
    /// `accept(query in tile, lane)` returns how often the source counts and the source. It is called only for
    /// affinities that would be among the top k.
    #[inline(always)]
    pub fn offer(
        &mut self,
        first_query: usize,
        tile: &Tile,
        accept: impl Fn(usize, usize) -> Option<(usize, Neighbor)>,
    ) {
        for (slot, row) in tile.iter().enumerate() {
            let weakest = self.weakest(first_query + slot);
            // Almost every row fails here. The fold has no early exit, so that the compiler vectorizes it.
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

    /// Inserts an affinity above [`Self::weakest`], as often as its source counts.
    #[inline(never)]
    pub fn insert(&mut self, query: usize, affinity: f32, copies: usize, neighbor: Neighbor) {
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
        let at = |cell| Neighbor { source: 0, cell };
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
        let at = |cell| Neighbor { source: 0, cell };
        top.insert(0, 0.5, 1, at(0));
        top.insert(0, 0.7, 2, at(1));
        assert_eq!(top.ranked(0).0, [0.7, 0.7, 0.5]);
        top.insert(0, 0.6, 21, at(2));
        assert_eq!(top.ranked(0).0, [0.7, 0.7, 0.6, 0.6]);
        assert_eq!(top.ranked(0).1, [at(1), at(1), at(2), at(2)]);
    }
}
