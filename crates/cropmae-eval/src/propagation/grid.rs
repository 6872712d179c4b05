//! The feature grid, and the pairs of its cells that are within a radius of each other.
//!
//! The search numbers the cells along the shorter side of the grid ("lines" of cells). A panel of neighboring numbers
//! then covers few lines, and for the usual 30x55 grid and radius 20, whole lines are either inside or outside. 60 % of
//! all pairs are computed, and 45 % are within the radius.

use super::affinity::{PANEL, QUERIES};
use crate::size::Size;

/// The height and width of a feature map in cells (patches).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// The number of rows of cells.
    pub height: usize,
    /// The number of columns of cells.
    pub width: usize,
}

impl Grid {
    /// Returns the grid of an encoder's input.
    pub fn of(input: Size, patch_size: usize) -> Self {
        Self {
            height: input.height / patch_size,
            width: input.width / patch_size,
        }
    }

    /// Returns the number of cells.
    pub fn cells(self) -> usize {
        self.height * self.width
    }

    /// Returns the row and column of the `number`-th cell in search order.
    fn row_column(self, number: usize) -> (usize, usize) {
        if self.width > self.height {
            (number % self.height, number / self.height)
        } else {
            (number / self.width, number % self.width)
        }
    }

    /// Returns the row-major index of the `number`-th cell in search order.
    pub(super) fn cell(self, number: usize) -> usize {
        let (row, column) = self.row_column(number);
        row * self.width + column
    }

    /// Returns the number of panels of source cells.
    pub(super) fn panels(self) -> usize {
        self.cells().div_ceil(PANEL)
    }

    /// Returns the number of blocks of query cells.
    pub(super) fn blocks(self) -> usize {
        self.cells().div_ceil(QUERIES)
    }
}

/// The cells of a grid that are within one radius of each other.
#[derive(Debug)]
pub(super) struct Neighborhood {
    pub grid: Grid,
    /// The row and column of each cell, in search order.
    positions: Vec<(i32, i32)>,
    /// Squared distances below this are within the radius.
    limit: i64,
    /// The pairs (blocks, panels) of which any cells can be within the radius.
    near: Vec<bool>,
}

impl Neighborhood {
    pub fn new(grid: Grid, radius: f64) -> Self {
        let positions: Vec<(i32, i32)> = (0..grid.cells())
            .map(|number| grid.row_column(number))
            .map(|(row, column)| (row as i32, column as i32))
            .collect();
        // Squared grid distances are integers, so d² < r² is the same as d² < ceil(r²), without rounding.
        let limit = (radius * radius).ceil() as i64;
        let boxes =
            |size: usize| -> Vec<Bounds> { positions.chunks(size).map(Bounds::of).collect() };
        let panels = boxes(PANEL);
        let near = boxes(QUERIES)
            .iter()
            .flat_map(|block| panels.iter().map(|panel| block.distance2(panel) < limit))
            .collect();
        Self {
            grid,
            positions,
            limit,
            near,
        }
    }

    /// Returns `true` if any query of `block` may have a cell of `panel` within the radius.
    pub fn near(&self, block: usize, panel: usize) -> bool {
        self.near[block * self.grid.panels() + panel]
    }

    /// Returns `true` if the distance of two cells, in search order, is less than the radius.
    pub fn within(&self, query: usize, source: usize) -> bool {
        let (a, b) = (self.positions[query], self.positions[source]);
        distance2(a.0 - b.0, a.1 - b.1) < self.limit
    }
}

fn distance2(rows: i32, columns: i32) -> i64 {
    i64::from(rows) * i64::from(rows) + i64::from(columns) * i64::from(columns)
}

/// The smallest box around some cells.
struct Bounds {
    rows: (i32, i32),
    columns: (i32, i32),
}

impl Bounds {
    fn of(positions: &[(i32, i32)]) -> Self {
        let start = Self {
            rows: (i32::MAX, i32::MIN),
            columns: (i32::MAX, i32::MIN),
        };
        positions.iter().fold(start, |b, &(row, column)| Self {
            rows: (b.rows.0.min(row), b.rows.1.max(row)),
            columns: (b.columns.0.min(column), b.columns.1.max(column)),
        })
    }

    fn distance2(&self, other: &Self) -> i64 {
        let gap = |a: (i32, i32), b: (i32, i32)| (a.0 - b.1).max(b.0 - a.1).max(0);
        distance2(gap(self.rows, other.rows), gap(self.columns, other.columns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_order_visits_every_cell_once() {
        for (height, width) in [(3, 5), (5, 3), (4, 4), (1, 7), (30, 55)] {
            let grid = Grid { height, width };
            let mut cells: Vec<usize> = (0..grid.cells()).map(|n| grid.cell(n)).collect();
            cells.sort_unstable();
            assert_eq!(cells, (0..grid.cells()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn coarse_test_never_drops_a_pair() {
        for (grid, radius) in [
            (
                Grid {
                    height: 9,
                    width: 31,
                },
                4.0,
            ),
            (
                Grid {
                    height: 31,
                    width: 9,
                },
                2.5,
            ),
            (
                Grid {
                    height: 30,
                    width: 55,
                },
                20.0,
            ),
        ] {
            let hood = Neighborhood::new(grid, radius);
            let mut pairs = 0usize;
            for query in 0..grid.cells() {
                for source in 0..grid.cells() {
                    let (a, b) = (hood.positions[query], hood.positions[source]);
                    let exact = f64::from(a.0 - b.0).hypot(f64::from(a.1 - b.1)) < radius;
                    assert_eq!(exact, hood.within(query, source));
                    assert!(!exact || hood.near(query / QUERIES, source / PANEL));
                    pairs += usize::from(exact);
                }
            }
            let computed = hood.near.iter().filter(|&&near| near).count() * QUERIES * PANEL;
            assert!(computed >= pairs && (grid.height != 30 || computed * 10 < pairs * 14));
        }
    }
}
