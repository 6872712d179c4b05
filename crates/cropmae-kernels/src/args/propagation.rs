//! The arguments of label propagation.

use candle_core::Tensor;

/// A frame whose cells can become sources.
#[derive(Debug, Clone, Copy)]
pub struct LabelSource<'a> {
    /// The features (N, C).
    pub features: &'a Tensor,
    /// The soft labels (N, L).
    pub labels: &'a Tensor,
    /// The number of times that the frame is listed without a radius.
    pub unrestricted: usize,
    /// The number of times that the frame is listed within the radius.
    pub restricted: usize,
}

/// The numbers of label propagation between frames of one grid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Propagation {
    /// The rows and columns of the grid, whose N cells are in row-major order.
    pub grid: (usize, usize),
    /// Restricted sources count at distances less than this, in cells.
    pub radius: f64,
    /// The number of sources that a cell averages.
    pub top_k: usize,
    /// The divisor of affinities before the softmax.
    pub temperature: f32,
    /// The order of sources with equal affinities.
    pub ties: Ties,
}

/// The order of sources with equal affinities.
///
/// Earlier frames of the list come first. The cells of a frame are numbered along the shorter side of the grid, or along
/// rows if the sides are equal, and divided into panels. The queries are divided into runs. The panel that contains the
/// number of the first query of a run comes first for the whole run, then the panels after it, and then those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ties {
    /// The number of queries of a run.
    pub run: usize,
    /// The number of cells of a panel.
    pub panel: usize,
}

impl Propagation {
    /// Returns the number of cells.
    pub(crate) fn cells(&self) -> usize {
        self.grid.0 * self.grid.1
    }

    /// Returns the bound of squared distances within the radius.
    ///
    /// They are integers, so d² < r² is the same as d² < ceil(r²), without rounding.
    pub(crate) fn limit(&self) -> usize {
        // No squared distance is larger than this, see the checks of the op.
        let largest = i32::MAX as f64;
        (self.radius * self.radius).ceil().min(largest) as usize
    }
}
