//! Label propagation: a launch that searches all sources, and one that merges what it finds and averages labels.

use candle_core::{Result, Tensor, bail};

use super::THREADS;
use super::layer_norm::by_warps;
use super::queue::{Arg, Grid, Queue};
use crate::args::{LabelSource, Propagation};
use crate::compute::Compute;

/// Queries of a block (`CELLS` of propagate.h).
const CELLS: usize = 64;

/// The merge numbers candidates in floats, exactly up to here.
const MOST_CANDIDATES: usize = 1 << 24;

/// The soft labels of `query`.
pub(crate) fn propagate(
    query: &Tensor,
    sources: &[LabelSource],
    propagation: &Propagation,
) -> Result<Tensor> {
    let queue = Queue::of(query.device(), Compute::F32)?;
    let Propagation { top_k, ties, .. } = *propagation;
    let (height, width) = propagation.grid;
    let cells = propagation.cells();
    let limit = propagation.limit();
    // A frame has no more candidates than cells, whatever is asked for.
    let slots = top_k.min(cells);
    if sources.len() * slots > MOST_CANDIDATES {
        bail!(
            "propagate: {} sources with {slots} candidates each, expected at most {MOST_CANDIDATES} together",
            sources.len()
        );
    }
    let query = aligned(query)?;
    let features = sources.iter().map(|source| aligned(source.features));
    let features = features.collect::<Result<Vec<_>>>()?;
    let labels = sources.iter().map(|source| source.labels.contiguous());
    let labels = labels.collect::<Result<Vec<_>>>()?;
    let counts = sources.iter().flat_map(|source| {
        // More copies than places change nothing.
        [source.unrestricted, source.restricted].map(|count| count.min(top_k))
    });
    let counts = queue.sizes(&counts.collect::<Vec<_>>())?;
    let lists = (sources.len(), slots, cells);
    let (mut affinities, mut numbers) = (queue.float(lists)?, queue.words(lists)?);
    let args = [
        Arg::In(&query),
        Arg::InList(&features.iter().collect::<Vec<_>>()),
        Arg::In(&counts),
        Arg::Out(&mut affinities),
        Arg::Out(&mut numbers),
        Arg::Size(query.dim(1)?),
        Arg::Size(slots),
        Arg::Size(height),
        Arg::Size(width),
        Arg::Size(limit),
        Arg::Size(ties.run),
        Arg::Size(ties.panel),
    ];
    let grid = Grid::new([cells.div_ceil(CELLS), sources.len(), 1], THREADS)?;
    queue.launch("propagate_search", grid, args)?;
    let (affinities, numbers) = (affinities.into_tensor(), numbers.into_tensor());
    let (mut weights, mut places) = (queue.float((top_k, cells))?, queue.words((top_k, cells))?);
    let classes = labels[0].dim(1)?;
    let mut y = queue.float((cells, classes))?;
    let args = [
        Arg::In(&affinities),
        Arg::In(&numbers),
        Arg::InList(&labels.iter().collect::<Vec<_>>()),
        Arg::In(&counts),
        Arg::Out(&mut weights),
        Arg::Out(&mut places),
        Arg::Out(&mut y),
        Arg::Size(sources.len()),
        Arg::Size(slots),
        Arg::Size(top_k),
        Arg::Float(propagation.temperature),
        Arg::Size(classes),
        Arg::Size(height),
        Arg::Size(width),
        Arg::Size(limit),
    ];
    queue.launch("propagate_average", by_warps(cells)?, args)?;
    Ok(y.into_tensor())
}

/// The tensor, contiguous and at an address from which four elements can be read at once.
fn aligned(x: &Tensor) -> Result<Tensor> {
    if x.is_contiguous() && !x.layout().start_offset().is_multiple_of(4) {
        return x.copy();
    }
    x.contiguous()
}
