//! Tests of propagate.

use candle_core::{DType, Device, Tensor};
use cropmae_kernels::{Backend, LabelSource, Propagation, Ties, propagate};

use crate::KERNELS;
use crate::support::{BACKENDS, assert_close, bits, flat, tensor, twice, values, var};

/// The order of ties that the evaluation on the CPU has.
const TIES: Ties = Ties { run: 72, panel: 32 };

/// One propagation. Source i is listed `counts[i]` times without and within the radius.
struct Case {
    grid: (usize, usize),
    channels: usize,
    classes: usize,
    counts: Vec<(usize, usize)>,
    radius: f64,
    top_k: usize,
    temperature: f32,
}

impl Case {
    fn cells(&self) -> usize {
        self.grid.0 * self.grid.1
    }

    fn propagation(&self) -> Propagation {
        Propagation {
            grid: self.grid,
            radius: self.radius,
            top_k: self.top_k,
            temperature: self.temperature,
            ties: TIES,
        }
    }

    /// Features of unit length (N, C).
    fn features(&self, seed: u64) -> Tensor {
        let rows = values(self.cells() * self.channels, seed);
        let rows = rows.chunks(self.channels).flat_map(|row| {
            let length = row.iter().map(|v| v * v).sum::<f32>().sqrt();
            row.iter().map(move |v| v / length)
        });
        let shape = (self.cells(), self.channels);
        Tensor::from_vec(rows.collect(), shape, &Device::Cpu).unwrap()
    }

    fn inputs(&self, seed: u64) -> (Tensor, Vec<(Tensor, Tensor)>) {
        let sources = (0..self.counts.len() as u64).map(|i| {
            let labels = tensor(&[self.cells(), self.classes], seed + 2 * i + 2);
            (self.features(seed + 2 * i + 1), labels)
        });
        (self.features(seed), sources.collect())
    }

    fn run(&self, query: &Tensor, sources: &[(Tensor, Tensor)]) -> Tensor {
        let sources: Vec<LabelSource> = sources
            .iter()
            .zip(&self.counts)
            .map(
                |((features, labels), &(unrestricted, restricted))| LabelSource {
                    features,
                    labels,
                    unrestricted,
                    restricted,
                },
            )
            .collect();
        propagate(query, &sources, &self.propagation()).unwrap()
    }

    /// Sorts all affinities in f64. Returns `None` if the last source that votes and the next one are about equal in any
    /// cell, so that either is right.
    fn brute_force(&self, query: &Tensor, sources: &[(Tensor, Tensor)]) -> Option<Tensor> {
        let (channels, classes) = (self.channels, self.classes);
        let query = flat(query);
        let sources: Vec<_> = sources.iter().map(|(f, l)| (flat(f), flat(l))).collect();
        let mut result = vec![0.0; self.cells() * classes];
        for cell in 0..self.cells() {
            let mut ranked = Vec::new();
            for (index, (features, _)) in sources.iter().enumerate() {
                for other in 0..self.cells() {
                    let rows = (cell / self.grid.1).abs_diff(other / self.grid.1) as f64;
                    let columns = (cell % self.grid.1).abs_diff(other % self.grid.1) as f64;
                    let (unrestricted, restricted) = self.counts[index];
                    let within = rows.hypot(columns) < self.radius;
                    let copies = unrestricted + if within { restricted } else { 0 };
                    let a = &query[cell * channels..][..channels];
                    let b = &features[other * channels..][..channels];
                    let affinity: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
                    ranked.extend(std::iter::repeat_n((affinity, index, other), copies));
                }
            }
            ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
            if let Some(&[last, next]) = ranked.get(self.top_k - 1..=self.top_k)
                && (last.1, last.2) != (next.1, next.2)
                && last.0 - next.0 < 1e-6
            {
                return None;
            }
            ranked.truncate(self.top_k);
            let weight =
                |affinity: f64| ((affinity - ranked[0].0) / f64::from(self.temperature)).exp();
            let total: f64 = ranked.iter().map(|it| weight(it.0)).sum();
            for &(affinity, index, other) in &ranked {
                for class in 0..classes {
                    result[cell * classes + class] +=
                        weight(affinity) / total * sources[index].1[other * classes + class];
                }
            }
        }
        Some(Tensor::from_vec(result, (self.cells(), classes), &Device::Cpu).unwrap())
    }

    /// Compares the kernels and the reference with brute force. Seeds that lead to ties are left out.
    fn check(&self, what: &str) {
        let found = (0..20).find_map(|seed| {
            let (query, sources) = self.inputs(100 * seed);
            let expected = self.brute_force(&query, &sources)?;
            Some((query, sources, expected))
        });
        let (query, sources, expected) = found.expect("features without ties");
        for [first, second] in twice(|| self.run(&query, &sources)) {
            assert_close(&first, &expected, 2e-6, what);
            assert_eq!(bits(&first), bits(&second), "{what}: twice");
        }
        let reference = |dtype| {
            let cast = |x: &Tensor| x.to_dtype(dtype).unwrap();
            let sources: Vec<_> = sources.iter().map(|(f, l)| (cast(f), cast(l))).collect();
            Backend::Reference.with(|| self.run(&cast(&query), &sources))
        };
        // The temperature is f32.
        assert_close(&reference(DType::F64), &expected, 1e-12, what);
        assert_close(&reference(DType::F32), &expected, 1e-5, what);
    }
}

#[test]
fn propagation_equals_brute_force() {
    let case =
        |grid, channels, classes, counts: &[(usize, usize)], radius, top_k, temperature| Case {
            grid,
            channels,
            classes,
            counts: counts.to_vec(),
            radius,
            top_k,
            temperature,
        };
    let cases = [
        case((1, 1), 6, 1, &[(1, 0)], 1.0, 1, 0.7),
        // One frame, which is listed once with and once without a radius.
        case((5, 7), 6, 3, &[(1, 1)], 2.0, 7, 0.7),
        // More sources are asked for than there are.
        case((2, 3), 12, 2, &[(1, 0), (0, 1)], 1.5, 40, 0.3),
        case((3, 3), 16, 4, &[(0, 1), (0, 1)], 0.5, 10, 0.7),
        // The radius is larger than the grid.
        case((9, 11), 384, 21, &[(0, 1), (0, 1), (1, 3)], 100.0, 10, 0.07),
        // Tiles that are not full, and tiles beyond the radius, in both directions.
        case((6, 23), 30, 3, &[(0, 1), (0, 2), (1, 18)], 4.0, 7, 0.7),
        // All sources within the radius count, some of them in tiles that are just near enough.
        case((6, 23), 9, 2, &[(0, 1)], 12.0, 200, 0.7),
        case((23, 6), 9, 2, &[(0, 1)], 12.0, 200, 0.7),
        case((29, 5), 13, 40, &[(0, 1), (1, 0)], 3.5, 5, 0.05),
        case((8, 8), 48, 5, &[(0, 1); 5], 2.5, 20, 0.7),
        // Padding fills all places.
        case((4, 6), 7, 2, &[(1, 20)], 2.0, 7, 0.7),
    ];
    for (number, case) in cases.iter().enumerate() {
        case.check(&format!("case {number}, {:?}", case.grid));
    }
}

#[test]
fn labels_follow_equal_affinities_in_the_order_of_ties() {
    // Each cell has a label of its own, which says which cells a query averages.
    for grid in [(3, 50), (50, 3), (13, 13)] {
        let case = Case {
            grid,
            channels: 8,
            classes: 2 * grid.0 * grid.1,
            counts: vec![(0, 1), (1, 2)],
            radius: 2.5,
            top_k: 9,
            temperature: 0.7,
        };
        let same = Tensor::ones((case.cells(), 8), DType::F32, &Device::Cpu).unwrap();
        let one_hot = Tensor::eye(case.classes, DType::F32, &Device::Cpu).unwrap();
        let sources: Vec<_> = (0..2)
            .map(|i| {
                let labels = one_hot.narrow(0, i * case.cells(), case.cells()).unwrap();
                (same.clone(), labels)
            })
            .collect();
        let found = KERNELS.with(|| case.run(&same, &sources));
        let expected = Backend::Reference.with(|| case.run(&same, &sources));
        assert_close(&found, &expected, 1e-6, &format!("{grid:?}"));
    }
}

#[test]
fn strided_and_shifted_inputs() {
    let case = Case {
        grid: (4, 5),
        channels: 12,
        classes: 3,
        counts: vec![(1, 0), (0, 2)],
        radius: 3.0,
        top_k: 4,
        temperature: 0.7,
    };
    let (query, sources) = case.inputs(1);
    let expected = KERNELS.with(|| case.run(&query, &sources));
    let transposed = |x: &Tensor| x.t().unwrap().contiguous().unwrap().t().unwrap();
    // The features begin at an element that is not a multiple of four.
    let shifted = |x: &Tensor| {
        let flat = x.flatten_all().unwrap();
        let head = flat.narrow(0, 0, 1).unwrap();
        let long = Tensor::cat(&[&head, &flat], 0).unwrap();
        let shifted = long.narrow(0, 1, flat.elem_count()).unwrap();
        shifted.reshape(x.shape()).unwrap()
    };
    for change in [transposed as fn(&Tensor) -> Tensor, shifted] {
        let sources: Vec<_> = sources
            .iter()
            .map(|(f, l)| (change(f), change(l)))
            .collect();
        let found = KERNELS.with(|| case.run(&change(&query), &sources));
        assert_eq!(bits(&found), bits(&expected));
    }
}

#[test]
fn wrong_arguments_are_refused() {
    let (features, labels) = (tensor(&[6, 4], 1), tensor(&[6, 2], 2));
    let source = LabelSource {
        features: &features,
        labels: &labels,
        unrestricted: 1,
        restricted: 0,
    };
    let good = Propagation {
        grid: (2, 3),
        radius: 2.0,
        top_k: 3,
        temperature: 0.7,
        ties: TIES,
    };
    let refused =
        |query: &Tensor, sources: &[LabelSource], propagation: Propagation, words: &[&str]| {
            for backend in BACKENDS {
                let result = backend.with(|| propagate(query, sources, &propagation));
                let message = result.unwrap_err().to_string();
                let first_line = message.lines().next().unwrap_or_default();
                for word in ["propagate"].iter().chain(words) {
                    assert!(
                        first_line.contains(word),
                        "{backend:?}: {first_line:?}: {word:?}"
                    );
                }
            }
        };
    let with = |change: fn(&mut Propagation)| {
        let mut changed = good;
        change(&mut changed);
        changed
    };
    refused(
        &features,
        &[source],
        with(|p| p.radius = 0.0),
        &["radius 0"],
    );
    refused(
        &features,
        &[source],
        with(|p| p.temperature = f32::NAN),
        &["temperature NaN"],
    );
    refused(&features, &[source], with(|p| p.top_k = 0), &["top_k 0"]);
    refused(&features, &[source], with(|p| p.ties.run = 0), &["run: 0"]);
    refused(&features, &[source], with(|p| p.grid = (0, 3)), &["0x3"]);
    refused(
        &features,
        &[source],
        with(|p| p.grid = (2, 4)),
        &["query", "[6, 4]", "[8, 4]"],
    );
    refused(&features, &[], good, &["no sources"]);
    let unlisted = LabelSource {
        unrestricted: 0,
        ..source
    };
    refused(&features, &[source, unlisted], good, &["listed 0 times"]);
    let few = tensor(&[5, 2], 3);
    let short = LabelSource {
        labels: &few,
        ..source
    };
    refused(
        &features,
        &[source, short],
        good,
        &["labels", "[5, 2]", "[6, 2]"],
    );
    let wide = tensor(&[6, 5], 3);
    let other = LabelSource {
        features: &wide,
        ..source
    };
    refused(&features, &[other], good, &["features", "[6, 5]", "[6, 4]"]);
    refused(&var(&[6, 4], 1), &[source], good, &["query", "tracked"]);
}
