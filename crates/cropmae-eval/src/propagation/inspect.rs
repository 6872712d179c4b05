//! Computes for tests what the search never stores.

use pulp::{Arch, Simd, WithSimd};

use super::PackedFeatures;
use super::affinity::{PANEL, QUERIES, Tile, affinities};
use super::grid::{Grid, Neighborhood};

/// Returns the affinities (source cells, query cells) of two frames, row-major.
pub(crate) fn affinity_matrix(query: &PackedFeatures, source: &PackedFeatures) -> Vec<f32> {
    Arch::new().dispatch(Matrix { query, source })
}

struct Matrix<'a> {
    query: &'a PackedFeatures,
    source: &'a PackedFeatures,
}

impl WithSimd for Matrix<'_> {
    type Output = Vec<f32>;

    fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
        let grid = self.query.grid;
        let mut matrix = vec![f32::NAN; grid.cells() * grid.cells()];
        let mut tile: Tile = [[0.0; PANEL]; QUERIES];
        for block in 0..grid.blocks() {
            let queries = self.query.panels.queries(block..block + 1);
            for panel in 0..grid.panels() {
                affinities(simd, &queries, self.source.panels.panel(panel), &mut tile);
                let cells =
                    |first: usize, count| (first..grid.cells().min(first + count)).enumerate();
                for (row, query) in cells(block * QUERIES, QUERIES) {
                    for (lane, source) in cells(panel * PANEL, PANEL) {
                        matrix[grid.cell(source) * grid.cells() + grid.cell(query)] =
                            tile[row][lane];
                    }
                }
            }
        }
        matrix
    }
}

/// Returns for each pair of cells, row-major, whether it is within the radius.
pub(crate) fn within_radius(grid: Grid, radius: f64) -> Vec<bool> {
    let hood = Neighborhood::new(grid, radius);
    let mut within = vec![false; grid.cells() * grid.cells()];
    for query in 0..grid.cells() {
        for source in 0..grid.cells() {
            within[grid.cell(query) * grid.cells() + grid.cell(source)] =
                hood.within(query, source);
        }
    }
    within
}
