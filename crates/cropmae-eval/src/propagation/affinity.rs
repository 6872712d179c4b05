//! Affinities of a block of query cells with a panel of source cells, which are inner products over channels.
//!
//! This is one register tile of a matrix product. Features are packed once per frame in the order in which the tile
//! reads them, because a frame is a source 20 times. The 12 x 32 values of the tile go directly to the top k, so nothing
//! is packed again, transposed or stored as a matrix. Every value is one chain of multiply-adds over the channels. It
//! does not depend on the width of the vectors where multiply-adds are fused (all but x86 without AVX2).

use pulp::Simd;

/// The number of source cells of a panel: two AVX-512, four AVX or eight NEON vectors.
pub(super) const PANEL: usize = 32;

/// The number of query cells of a block. With two vectors of sources there are 24 accumulators, which fit 32 registers.
pub(super) const QUERIES: usize = 12;

/// The affinities of one block with one panel.
pub(super) type Tile = [[f32; PANEL]; QUERIES];

/// Computes `tile` (12, 32) from `queries` (C, 12) and `panel` (C, 32).
#[inline(always)]
pub(super) fn affinities<S: Simd>(
    simd: S,
    queries: &[[f32; QUERIES]],
    panel: &[[f32; PANEL]],
    tile: &mut Tile,
) {
    const HALF: usize = QUERIES / 2;
    if S::F32_LANES == 16 || cfg!(target_arch = "aarch64") {
        rows::<S, QUERIES>(simd, queries, 0, panel, tile);
    } else {
        // AVX has only 16 registers, so compute half the rows at a time.
        rows::<S, HALF>(simd, queries, 0, panel, tile);
        rows::<S, HALF>(simd, queries, HALF, panel, tile);
    }
}

/// Computes `ROWS` rows of the tile, starting at `first`, with two vectors of sources at a time.
#[inline(always)]
fn rows<S: Simd, const ROWS: usize>(
    simd: S,
    queries: &[[f32; QUERIES]],
    first: usize,
    panel: &[[f32; PANEL]],
    tile: &mut Tile,
) {
    let step = 2 * S::F32_LANES;
    for start in (0..PANEL).step_by(step) {
        let mut sums = [[simd.splat_f32s(0.0); 2]; ROWS];
        for (query, sources) in queries.iter().zip(panel) {
            let (sources, _) = S::as_simd_f32s(&sources[start..start + step]);
            let (low, high) = (sources[0], sources[1]);
            for (sum, &value) in sums.iter_mut().zip(&query[first..first + ROWS]) {
                let value = simd.splat_f32s(value);
                sum[0] = simd.mul_add_e_f32s(value, low, sum[0]);
                sum[1] = simd.mul_add_e_f32s(value, high, sum[1]);
            }
        }
        for (row, sum) in tile[first..first + ROWS].iter_mut().zip(sums) {
            let (row, _) = S::as_mut_simd_f32s(&mut row[start..start + step]);
            row.copy_from_slice(&sum);
        }
    }
}

/// Returns the affinity of one pair, as a pairwise sum of 64 chains for any width of vectors.
#[inline(always)]
pub(super) fn affinity<S: Simd>(simd: S, a: &[f32], b: &[f32]) -> f32 {
    const CHAINS: usize = 64;
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<CHAINS>(), b.as_chunks::<CHAINS>());
    let mut sums = [0.0; CHAINS];
    {
        let (sums, _) = S::as_mut_simd_f32s(&mut sums);
        for (a, b) in a.iter().zip(b) {
            let ((a, _), (b, _)) = (S::as_simd_f32s(a), S::as_simd_f32s(b));
            for ((sum, &a), &b) in sums.iter_mut().zip(a).zip(b) {
                *sum = simd.mul_add_e_f32s(a, b, *sum);
            }
        }
    }
    let mut width = CHAINS / 2;
    while width > 0 {
        for i in 0..width {
            sums[i] += sums[i + width];
        }
        width /= 2;
    }
    a_rest
        .iter()
        .zip(b_rest)
        .fold(sums[0], |sum, (a, b)| sum + a * b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulp::{Arch, WithSimd};

    struct Run<'a>(&'a [[f32; QUERIES]], &'a [[f32; PANEL]]);

    impl WithSimd for Run<'_> {
        type Output = Tile;

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> Tile {
            let mut tile = [[f32::NAN; PANEL]; QUERIES];
            affinities(simd, self.0, self.1, &mut tile);
            tile
        }
    }

    struct Pair<'a>(&'a [f32], &'a [f32]);

    impl WithSimd for Pair<'_> {
        type Output = f32;

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> f32 {
            affinity(simd, self.0, self.1)
        }
    }

    #[test]
    fn every_instruction_set_gives_the_inner_products() {
        let channels = 37;
        let value = |i: usize| ((i * 7919 % 1009) as f32 / 1009.0) - 0.5;
        let queries: Vec<[f32; QUERIES]> = (0..channels)
            .map(|c| std::array::from_fn(|q| value(c * QUERIES + q)))
            .collect();
        let panel: Vec<[f32; PANEL]> = (0..channels)
            .map(|c| std::array::from_fn(|s| value(c * PANEL + s + 17)))
            .collect();
        let mut sets = vec![Arch::Scalar, Arch::new()];
        #[cfg(target_arch = "x86_64")]
        sets.extend(pulp::x86::V3::try_new().map(Arch::V3));
        for set in sets {
            let (a, b): (Vec<f32>, Vec<f32>) = (0..channels * 4)
                .map(|i| (value(i), value(i * 3 + 1)))
                .unzip();
            let expected: f64 = a.iter().zip(&b).map(|(a, b)| f64::from(a * b)).sum();
            let found = f64::from(set.dispatch(Pair(&a, &b)));
            assert!(
                (found - expected).abs() < 1e-5,
                "{set:?}: {found} {expected}"
            );
            let tile = set.dispatch(Run(&queries, &panel));
            for (q, row) in tile.iter().enumerate() {
                for (s, found) in row.iter().enumerate() {
                    let products = queries
                        .iter()
                        .zip(&panel)
                        .map(|(a, b)| f64::from(a[q] * b[s]));
                    let expected: f64 = products.sum();
                    assert!(
                        (f64::from(*found) - expected).abs() < 1e-5,
                        "{set:?} {q} {s}"
                    );
                }
            }
        }
    }
}
