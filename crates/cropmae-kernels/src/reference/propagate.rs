//! Label propagation with all affinities in one matrix.

use candle_core::{D, Result, Tensor};

use crate::args::{LabelSource, Propagation};

/// Returns the soft labels (N, L) of `query` (N, C) from those of `sources`.
pub(crate) fn propagate(
    query: &Tensor,
    sources: &[LabelSource],
    propagation: &Propagation,
) -> Result<Tensor> {
    let stack = |part: fn(&LabelSource) -> Tensor| {
        Tensor::cat(&sources.iter().map(part).collect::<Vec<_>>(), 0)
    };
    let features = stack(|source| source.features.clone())?; // (S N, C)
    let labels = stack(|source| source.labels.clone())?; // (S N, L)
    let listed = Listed::new(sources, propagation);
    let (rows, width) = (propagation.cells(), listed.width);
    let columns = Tensor::from_vec(listed.columns, (rows, width), query.device())?;
    let bias = Tensor::from_vec(listed.bias, (rows, width), query.device())?;
    let affinities = query.matmul(&features.t()?)?; // (N, S N)
    let affinities = (affinities.gather(&columns, 1)? + bias.to_dtype(query.dtype())?)?;
    // The sort is stable, so that equal affinities stay in the order of the list.
    let best = affinities.arg_sort_last_dim(false)?;
    let best = best
        .narrow(1, 0, propagation.top_k.min(width))?
        .contiguous()?; // (N, K)
    let scaled = (affinities.gather(&best, 1)? / f64::from(propagation.temperature))?;
    let weights = scaled
        .broadcast_sub(&scaled.max_keepdim(D::Minus1)?)?
        .exp()?;
    let weights = weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)?;
    let chosen = columns.gather(&best, 1)?.flatten_all()?;
    let labels = labels.index_select(&chosen, 0)?; // (N K, L)
    let labels = labels.reshape((rows, weights.dim(1)?, labels.dim(1)?))?;
    labels.broadcast_mul(&weights.unsqueeze(2)?)?.sum(1)
}

/// For each query, the sources that count, in the order of ties and as often as they count.
struct Listed {
    /// The columns of the affinity matrix (N, width).
    columns: Vec<u32>,
    /// What is added to the affinities (N, width): -inf where the list of a query is filled up.
    bias: Vec<f32>,
    width: usize,
}

impl Listed {
    fn new(sources: &[LabelSource], propagation: &Propagation) -> Self {
        let rows: Vec<Vec<u32>> = (0..propagation.cells())
            .map(|query| row(query, sources, propagation))
            .collect();
        let width = rows.iter().map(Vec::len).max().unwrap_or(0);
        let fill = |row: &Vec<u32>| vec![f32::NEG_INFINITY; width - row.len()];
        let bias = rows.iter().flat_map(|row| {
            let counts = vec![0.0; row.len()];
            counts.into_iter().chain(fill(row))
        });
        Self {
            bias: bias.collect(),
            columns: rows
                .iter()
                .flat_map(|row| row.iter().copied().chain(vec![0; width - row.len()]))
                .collect(),
            width,
        }
    }
}

/// Returns the columns that count for `query`, a row-major index.
fn row(query: usize, sources: &[LabelSource], propagation: &Propagation) -> Vec<u32> {
    let (height, width) = propagation.grid;
    let cells = propagation.cells();
    let position = |cell: usize| (cell / width, cell % width);
    let cell = |number: usize| {
        if width > height {
            number % height * width + number / height
        } else {
            number
        }
    };
    let number = |(row, column): (usize, usize)| {
        if width > height {
            column * height + row
        } else {
            row * width + column
        }
    };
    let ties = propagation.ties;
    let (row, column) = position(query);
    let home = number((row, column)) / ties.run * ties.run / ties.panel * ties.panel;
    let mut columns = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        for other in (home..cells).chain(0..home).map(cell) {
            let (other_row, other_column) = position(other);
            let distance = row.abs_diff(other_row).pow(2) + column.abs_diff(other_column).pow(2);
            let mut copies = source.unrestricted;
            if distance < propagation.limit() {
                copies += source.restricted;
            }
            let copies = copies.min(propagation.top_k);
            columns.extend(std::iter::repeat_n((index * cells + other) as u32, copies));
        }
    }
    columns
}
