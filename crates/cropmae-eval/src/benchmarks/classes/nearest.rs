//! Classification by k nearest neighbors (Wu et al., CVPR 2018, section 3.4), as in DINO.

use candle_core::{Device, Tensor};
use cropmae_config::ClassesProtocol;
use rayon::prelude::*;

use super::NeighborsScore;
use super::features::Vectors;
use crate::error::EvalError;

/// The number of queries whose similarities are in memory at the same time.
const CHUNK: usize = 256;

/// Returns the top-1 accuracy of `val` by votes of `train`, for each k.
pub(super) fn score(
    train: &Vectors,
    val: &Vectors,
    classes: usize,
    protocol: &ClassesProtocol,
) -> Result<Vec<NeighborsScore>, EvalError> {
    let largest = protocol.neighbors.iter().copied().max().unwrap_or(0);
    let mut correct = vec![0usize; protocol.neighbors.len()];
    let (bank, queries) = (unit_rows(train), unit_rows(val));
    for (rows, labels) in queries
        .chunks(CHUNK * val.channels)
        .zip(val.labels.chunks(CHUNK))
    {
        let similarities = products(rows, &bank, val.channels)?;
        let hits: Vec<Vec<bool>> = similarities
            .par_chunks(train.labels.len())
            .zip(labels)
            .map(|(similarities, &label)| {
                let nearest = strongest(similarities, largest);
                let vote =
                    |k: &usize| vote(&nearest, &train.labels, *k, classes, protocol.temperature);
                protocol
                    .neighbors
                    .iter()
                    .map(|k| vote(k) == label)
                    .collect()
            })
            .collect();
        for hits in hits {
            for (correct, hit) in correct.iter_mut().zip(hits) {
                *correct += usize::from(hit);
            }
        }
    }
    let scores = protocol.neighbors.iter().zip(correct);
    Ok(scores
        .map(|(&k, correct)| NeighborsScore {
            k,
            top1: correct as f64 / val.labels.len() as f64,
        })
        .collect())
}

/// Returns the product (m, n) of `queries` (m, C) and the transpose of `bank` (n, C).
fn products(queries: &[f32], bank: &[f32], channels: usize) -> Result<Vec<f32>, EvalError> {
    let rows = |values: &[f32]| {
        Tensor::from_slice(values, (values.len() / channels, channels), &Device::Cpu)
    };
    rows(queries)
        .and_then(|queries| queries.matmul(&rows(bank)?.t()?)?.flatten_all()?.to_vec1())
        .map_err(|error| EvalError::Numerics {
            what: "similarities of the nearest neighbors",
            message: error.to_string(),
        })
}

fn unit_rows(vectors: &Vectors) -> Vec<f32> {
    let mut rows = vectors.values.clone();
    rows.par_chunks_mut(vectors.channels).for_each(|row| {
        let norm = row.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-12);
        row.iter_mut().for_each(|v| *v /= norm);
    });
    rows
}

/// Returns the `k` largest values and their positions in descending order. Equal values keep their order.
fn strongest(values: &[f32], k: usize) -> Vec<(f32, usize)> {
    let mut found: Vec<(f32, usize)> = Vec::with_capacity(k + 1);
    for (place, &value) in values.iter().enumerate() {
        if found.len() == k && found.last().is_some_and(|&(weakest, _)| value <= weakest) {
            continue;
        }
        let at = found.partition_point(|&(other, _)| other >= value);
        found.insert(at, (value, place));
        found.truncate(k);
    }
    found
}

/// Returns the class with the most votes among the first `k`, or the first such class if several are equal.
fn vote(
    nearest: &[(f32, usize)],
    labels: &[usize],
    k: usize,
    classes: usize,
    temperature: f64,
) -> usize {
    let mut votes = vec![0.0f64; classes];
    for &(similarity, place) in nearest.iter().take(k) {
        votes[labels[place]] += (f64::from(similarity) / temperature).exp();
    }
    let winner = votes
        .iter()
        .enumerate()
        .rev()
        .max_by(|a, b| a.1.total_cmp(b.1));
    winner.map_or(0, |(class, _)| class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn votes_are_weighted_by_similarity() {
        let labels = [0, 1, 1, 0];
        let nearest = [(0.9, 0), (0.5, 1), (0.5, 2), (0.1, 3)];
        // At a low temperature the nearest neighbor decides, and at a high temperature the majority.
        assert_eq!(vote(&nearest, &labels, 3, 2, 0.07), 0);
        assert_eq!(vote(&nearest, &labels, 3, 2, 100.0), 1);
        assert_eq!(vote(&nearest, &labels, 1, 2, 100.0), 0);
    }

    #[test]
    fn the_strongest_come_in_order() {
        let found = strongest(&[0.1, 0.7, 0.3, 0.7, 0.2], 3);
        assert_eq!(found, [(0.7, 1), (0.7, 3), (0.3, 2)]);
        assert_eq!(strongest(&[0.5], 3), [(0.5, 0)]);
    }

    #[test]
    fn clusters_are_told_apart() {
        // The vectors have two directions with a little noise. Their scale must have no effect.
        let vectors = |count: usize, scale: f32| Vectors {
            values: (0..count)
                .flat_map(|i| {
                    let spread = 0.2 * (i as f32 / count as f32);
                    match i % 2 {
                        0 => [scale, spread],
                        _ => [spread, scale],
                    }
                })
                .collect(),
            channels: 2,
            labels: (0..count).map(|i| i % 2).collect(),
        };
        let protocol = ClassesProtocol {
            neighbors: vec![1, 5, 100],
            ..ClassesProtocol::default()
        };
        let scores = score(&vectors(40, 1.0), &vectors(10, 3.0), 2, &protocol).unwrap();
        assert!(scores.iter().all(|score| score.top1 == 1.0), "{scores:?}");
    }
}
