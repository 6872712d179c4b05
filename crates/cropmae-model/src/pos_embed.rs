//! Fixed 2-D sin-cos position embeddings (MAE, appendix A.1, after Vaswani et al., 2017) and their
//! bicubic resampling to other grids for evaluation (DINO, Caron et al., ICCV 2021, public code).

use candle_core::{Device, Tensor};

use crate::{ModelError, Result};

/// Computes the embedding (1, 1 + grid², dim) of a square grid: the class token, which is zero, then the cells in
/// row-major order.
///
/// The first half of each vector encodes the column x and the second half the row y. Each half holds sin(p·w_k), then
/// cos(p·w_k), with w_k = 10000^(-k / (dim/4)), computed in f64 and rounded once.
///
/// # Errors
/// Returns [`ModelError::Config`] if `dim` is not a positive multiple of 4.
pub fn sin_cos(dim: usize, grid: usize, device: &Device) -> Result<Tensor> {
    if dim == 0 || !dim.is_multiple_of(4) {
        return Err(ModelError::Config {
            field: "embed_dim",
            found: dim,
            expected: "a multiple of 4 (sin-cos position embedding)".to_owned(),
        });
    }
    let quarter = dim / 4;
    let frequencies: Vec<f64> = (0..quarter)
        .map(|k| 10000f64.powf(-(k as f64) / quarter as f64))
        .collect();
    let half = |position: usize| {
        let angle = move |w: &f64| position as f64 * w;
        let sines = frequencies.iter().map(move |w| angle(w).sin() as f32);
        sines.chain(frequencies.iter().map(move |w| angle(w).cos() as f32))
    };
    let mut values = vec![0f32; dim];
    values.reserve(grid * grid * dim);
    for y in 0..grid {
        for x in 0..grid {
            values.extend(half(x).chain(half(y)));
        }
    }
    Ok(Tensor::from_vec(values, (1, 1 + grid * grid, dim), device)?)
}

/// Resamples `pos_embed` (1, 1 + G², D) to a grid of `height` x `width` cells: (1, 1 + height·width, D).
///
/// The interpolation is bicubic with a = -0.75, clamped borders and no antialiasing. The class token does not change.
/// Cell i of the new grid is read at (i + 0.5) / scale - 0.5 with scale = (cells + 0.1) / G. The 0.1, which keeps a
/// rounding error from losing a cell, shifts every value and is part of all published results. For the grid of
/// `pos_embed` itself, the embedding is returned unchanged.
///
/// # Errors
/// Returns [`ModelError::Input`] if `pos_embed` does not have a square grid and a class token.
pub fn interpolate(pos_embed: &Tensor, (height, width): (usize, usize)) -> Result<Tensor> {
    let (_, tokens, dim) = pos_embed.dims3()?;
    let grid = tokens.saturating_sub(1).isqrt();
    if grid == 0 || 1 + grid * grid != tokens {
        return Err(ModelError::Input {
            what: "pos_embed",
            found: pos_embed.dims().to_vec(),
            expected: "(1, 1 + G * G, D)".to_owned(),
        });
    }
    if (height, width) == (grid, grid) {
        return Ok(pos_embed.clone());
    }
    let source: Vec<f32> = pos_embed.flatten_all()?.to_vec1()?;
    let (cls, source) = source.split_at(dim);
    let (rows, columns) = (taps(grid, height), taps(grid, width));

    // The filter is separable: resample along y, then along x.
    let mut stretched = vec![0f64; height * grid * dim]; // (height, G, D)
    for (out, row) in stretched.chunks_exact_mut(grid * dim).zip(&rows) {
        for &(y, weight) in row {
            for (out, &value) in out.iter_mut().zip(&source[y * grid * dim..]) {
                *out += weight * f64::from(value);
            }
        }
    }
    let mut values = cls.to_vec();
    values.reserve(height * width * dim);
    let mut cell = vec![0f64; dim];
    for line in stretched.chunks_exact(grid * dim) {
        for column in &columns {
            cell.fill(0.0);
            for &(x, weight) in column {
                for (out, &value) in cell.iter_mut().zip(&line[x * dim..]) {
                    *out += weight * value;
                }
            }
            values.extend(cell.iter().map(|&value| value as f32));
        }
    }
    Ok(Tensor::from_vec(
        values,
        (1, 1 + height * width, dim),
        pos_embed.device(),
    )?)
}

/// Returns, for each of `cells` outputs, the four sources along one axis of `grid` cells and their weights.
fn taps(grid: usize, cells: usize) -> Vec<[(usize, f64); 4]> {
    const A: f64 = -0.75;
    let near = |t: f64| ((A + 2.0) * t - (A + 3.0)) * t * t + 1.0;
    let far = |t: f64| ((A * t - 5.0 * A) * t + 8.0 * A) * t - 4.0 * A;
    let scale = (cells as f64 + 0.1) / grid as f64;
    (0..cells)
        .map(|i| {
            let position = (i as f64 + 0.5) / scale - 0.5;
            let t = position - position.floor();
            let source =
                |offset: f64| (position.floor() + offset).clamp(0.0, (grid - 1) as f64) as usize;
            [
                (source(-1.0), far(t + 1.0)),
                (source(0.0), near(t)),
                (source(1.0), near(1.0 - t)),
                (source(2.0), far(2.0 - t)),
            ]
        })
        .collect()
}
