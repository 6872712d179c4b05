//! Label propagation (Jabri et al., arXiv 2006.14613, section 3): each cell of a frame takes the labels of the most
//! similar cells of other frames.
//!
//! The affinity of two cells is the inner product of their features. The k strongest of all sources together vote with
//! the softmax of affinity / temperature. A frame that is listed n times counts as n sources in each of its cells.

use candle_core::{Result, Tensor, bail};

use crate::args::{LabelSource, Propagation};
use crate::backend::Backend;
use crate::check::Inputs;
use crate::{gpu, reference};

/// Returns the soft labels (N, L) of the frame with the features `query` (N, C), from those of `sources`.
///
/// N cells are in row-major order of the grid, with C channels and L labels each. Features are compared as they are:
/// scale them to unit length for cosines. Sources at a distance of the radius or more count only as often as their frame
/// is listed without a radius. If fewer than k sources count, all of them vote. Equal affinities are ordered by
/// [`crate::Ties`], so that the result is determined. It has no gradient.
///
/// Only backends that [`Backend::propagates`] have kernels. The others store all affinities.
///
/// # Errors
/// Returns an error if a shape or type does not fit, a tensor is tracked, there are no sources, a source is listed 0
/// times, or the radius, k, the temperature or a number of [`crate::Ties`] is not above 0.
pub fn propagate(
    query: &Tensor,
    sources: &[LabelSource],
    propagation: &Propagation,
) -> Result<Tensor> {
    const OP: &str = "propagate";
    let inputs = Inputs::new(OP, "query", query)?;
    check_numbers(OP, propagation)?;
    let cells = propagation.cells();
    let channels = inputs.last_dim("query", query)?;
    inputs.shape("query", query, &[cells, channels])?;
    inputs.untracked("query", query)?;
    let Some(first) = sources.first() else {
        bail!("{OP}: there are no sources, expected at least one");
    };
    let classes = inputs.last_dim("labels", first.labels)?;
    for source in sources {
        inputs.shape("features", source.features, &[cells, channels])?;
        inputs.shape("labels", source.labels, &[cells, classes])?;
        inputs.untracked("features", source.features)?;
        inputs.untracked("labels", source.labels)?;
        if source.unrestricted == 0 && source.restricted == 0 {
            bail!("{OP}: a source is listed 0 times, expected at least once");
        }
    }
    match inputs.backend {
        Backend::Gpu => gpu::propagate(query, sources, propagation),
        Backend::Cpu | Backend::Reference => reference::propagate(query, sources, propagation),
    }
}

fn check_numbers(op: &str, propagation: &Propagation) -> Result<()> {
    let Propagation {
        grid: (height, width),
        radius,
        top_k,
        temperature,
        ties,
    } = *propagation;
    // Squared distances must fit 32 bits.
    if [height, width]
        .iter()
        .any(|side| !(1..=32_767).contains(side))
    {
        bail!("{op}: a grid of {height}x{width} cells, expected sides of 1 to 32767");
    }
    let positive = |number: f64| number.is_finite() && number > 0.0;
    if !positive(radius) || !positive(f64::from(temperature)) {
        bail!("{op}: radius {radius}, temperature {temperature}: expected numbers above 0");
    }
    if [top_k, ties.run, ties.panel].contains(&0) {
        bail!("{op}: top_k {top_k} with {ties:?}: expected numbers above 0");
    }
    Ok(())
}
