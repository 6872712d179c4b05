//! Affinities of a block of query cells with a panel of source cells: the inner product over channels.
//!
//! One register tile of a matrix product. Features are packed once per frame into the order in which the
//! tile reads them (a frame is a source 20 times), so nothing is repacked, transposed or written out as a
//! matrix: the tile's 6 x 32 values go straight to the top-k. Every value is one chain of fused
//! multiply-adds over the channels, whatever the width of the machine's vectors.

use pulp::Simd;

/// Source cells of a panel: two AVX-512, four AVX or eight NEON vectors.
pub(super) const PANEL: usize = 32;

/// Query cells of a block: with two vectors of sources 12 accumulators, which fit 16 registers.
pub(super) const QUERIES: usize = 6;

/// Affinities of one block with one panel.
pub(super) type Tile = [[f32; PANEL]; QUERIES];

/// `queries` (C, 6), `panel` (C, 32) -> `tile` (6, 32).
#[inline(always)]
pub(super) fn affinities<S: Simd>(
    simd: S,
    queries: &[[f32; QUERIES]],
    panel: &[[f32; PANEL]],
    tile: &mut Tile,
) {
    let step = 2 * S::F32_LANES;
    for start in (0..PANEL).step_by(step) {
        let mut sums = [[simd.splat_f32s(0.0); 2]; QUERIES];
        for (query, sources) in queries.iter().zip(panel) {
            let (sources, _) = S::as_simd_f32s(&sources[start..start + step]);
            let (low, high) = (sources[0], sources[1]);
            for (sum, &value) in sums.iter_mut().zip(query) {
                let value = simd.splat_f32s(value);
                sum[0] = simd.mul_add_e_f32s(value, low, sum[0]);
                sum[1] = simd.mul_add_e_f32s(value, high, sum[1]);
            }
        }
        for (row, sum) in tile.iter_mut().zip(sums) {
            let (row, _) = S::as_mut_simd_f32s(&mut row[start..start + step]);
            row.copy_from_slice(&sum);
        }
    }
}
