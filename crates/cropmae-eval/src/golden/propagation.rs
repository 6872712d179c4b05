//! Group F: the search for sources, averaging and upsampling.

use std::collections::BTreeMap;

use super::fixtures::{Tensor, assert_close, count, folders, json, number, numbers, tensors};
use crate::labels::{LabelSet, WideLabels};
use crate::propagation::inspect::{affinity_matrix, within_radius};
use crate::propagation::{
    Grid, Neighbor, PackedFeatures, Propagator, Source, VideoPropagation, stretched,
};
use crate::size::Size;
use cropmae_config::{FrameSize, Protocol};

/// Returns the protocol of DAVIS with other numbers.
pub(super) fn protocol(
    top_k: usize,
    radius: f64,
    temperature: f64,
    context_frames: usize,
) -> Protocol {
    Protocol {
        frame_size: FrameSize::LongerSide(0),
        top_k,
        radius,
        temperature,
        context_frames,
        ..Protocol::davis()
    }
}

/// Converts (C, frames, h*w) to (h*w, C) for each frame.
fn per_frame(values: &[f32], channels: usize, frames: usize, cells: usize) -> Vec<Vec<f32>> {
    (0..frames)
        .map(|t| {
            (0..cells * channels)
                .map(|i| values[(i % channels * frames + t) * cells + i / channels])
                .collect()
        })
        .collect()
}

#[test]
fn golden_propagation() {
    let mut cases = 0;
    for folder in folders("f_propagation") {
        let meta = json(&folder.join("meta.json"));
        for (name, case) in meta["cases"].as_object().unwrap() {
            let case = Case::new(
                name,
                case,
                tensors(&folder.join(format!("{name}.safetensors"))),
            );
            let predictions = case.check_search();
            assert_close(
                name,
                &predictions.concat(),
                &case.t["pred_soft"].values,
                1e-5,
            );
            case.check_padding(run);
            case.check_stretched();
            case.check_affinities();
            check_upsampling(
                &case,
                &predictions,
                &meta["label_map_colours_in_class_order"],
            );
            cases += 1;
        }
    }
    assert!(cases > 0);
}

/// One case of the group.
pub(super) struct Case<'a> {
    pub name: &'a str,
    pub t: BTreeMap<String, Tensor>,
    pub grid: Grid,
    pub channels: usize,
    pub classes: usize,
    pub context: usize,
    /// The number of leading keys of every frame without a radius.
    pub long_term: Vec<usize>,
    pub protocol: Protocol,
    /// The frames whose affinities have no ties.
    comparable: Vec<usize>,
    /// The features (h*w, C) of each frame, including the padding.
    pub rows: Vec<Vec<f32>>,
    feats: Vec<PackedFeatures>,
}

impl<'a> Case<'a> {
    pub fn new(name: &'a str, case: &serde_json::Value, t: BTreeMap<String, Tensor>) -> Self {
        let [channels, total, height, width] = t["feats"].shape[..] else {
            panic!("{name}: feats {:?}", t["feats"].shape)
        };
        let grid = Grid { height, width };
        let list =
            |key: &str| -> Vec<usize> { case[key].as_array().unwrap().iter().map(count).collect() };
        let context = count(&case["n_context"]);
        let rows = per_frame(&t["feats"].f32(), channels, total, grid.cells());
        Self {
            name,
            grid,
            channels,
            classes: t["labels_frame0"].shape[2],
            context,
            long_term: list("long_mem"),
            protocol: Protocol {
                long_term_frames: list("long_mem"),
                ..protocol(
                    count(&case["topk"]),
                    number(&case["radius"]),
                    number(&case["temp"]),
                    context,
                )
            },
            comparable: list("frames_where_ids_are_comparable"),
            feats: rows
                .iter()
                .map(|f| PackedFeatures::normalized(f, grid, channels).unwrap())
                .collect(),
            rows,
            t,
        }
    }

    /// Returns the number of frames without the padding.
    pub fn frames(&self) -> usize {
        self.feats.len() - self.context
    }

    /// Returns the key frames of a frame, as indices that include the padding.
    pub fn keys(&self, frame: usize) -> Vec<usize> {
        let per_frame = self.t["key_indices"].shape[1];
        self.t["key_indices"].values[frame * per_frame..][..per_frame]
            .iter()
            .map(|&index| index as usize)
            .collect()
    }

    fn sources<'s>(&'s self, frame: usize, labels: &'s [Vec<f32>]) -> Vec<Source<'s>> {
        let keys = self.keys(frame).into_iter().enumerate();
        keys.map(|(key, index)| {
            let long = key < self.long_term.len();
            let counts = (usize::from(long), usize::from(!long));
            Source::new(&self.feats[index], &labels[index], counts.0, counts.1)
        })
        .collect()
    }

    /// Checks the sources and weights of every frame, and returns the predictions.
    fn check_search(&self) -> Vec<Vec<f32>> {
        let propagator = Propagator::new(self.grid, &self.protocol);
        let first = self.t["labels_frame0"].f32();
        let mut labels = vec![first.clone(); self.context + 1];
        let mut predictions = vec![first];
        for frame in 0..self.frames() {
            let sources = self.sources(frame, &labels);
            let query = &self.feats[frame + self.context];
            let found = propagator.neighbors(query, &sources);
            for (cell, neighbors) in found.cells.iter().enumerate() {
                self.check_cell(frame, cell, neighbors);
            }
            if frame > 0 {
                let prediction = propagator.propagate(query, &sources, self.classes);
                labels.push(prediction.clone());
                predictions.push(prediction);
            }
        }
        predictions
    }

    fn check_cell(&self, frame: usize, cell: usize, neighbors: &[(Neighbor, f32)]) {
        let (top_k, cells) = (self.protocol.top_k, self.grid.cells());
        let atol = if self.protocol.temperature < 0.1 {
            5e-6
        } else {
            2e-6
        };
        assert_eq!(neighbors.len(), top_k);
        for (rank, (neighbor, weight)) in neighbors.iter().enumerate() {
            let at = (frame * top_k + rank) * cells + cell;
            let what = format!("{} frame {frame} cell {cell} rank {rank}", self.name);
            assert_close(&what, &[*weight], &self.t["weights"].values[at..=at], atol);
            if self.comparable.contains(&frame) {
                let id = neighbor.source as usize * cells + neighbor.cell as usize;
                assert_eq!(id, self.t["ids"].values[at] as usize, "{what}");
            }
        }
    }

    /// Checks that real copies of frame 0 in the padding give the same results as counting frame 0 several times.
    pub fn check_padding(&self, run: Run) {
        let (padding, real) = self.rows.split_at(self.context);
        if !padding.iter().all(|row| *row == real[0]) {
            return;
        }
        let found = run(
            real,
            self.t["labels_frame0"].f32(),
            self.grid,
            self.channels,
            &self.protocol,
        );
        assert_close(
            self.name,
            &found.concat(),
            &self.t["pred_soft"].values,
            1e-5,
        );
    }

    /// Checks the option that stretches soft labels to 0..1.
    fn check_stretched(&self) {
        let Some(expected) = self.t.get("pred_soft_norm_mask") else {
            return;
        };
        let propagator = Propagator::new(self.grid, &self.protocol);
        let first = self.t["labels_frame0"].f32();
        let mut labels = vec![first.clone(); self.context + 1];
        labels[0] = stretched(&first, self.classes);
        let mut found = labels[0].clone();
        for frame in 1..self.frames() {
            let query = &self.feats[frame + self.context];
            let prediction =
                propagator.propagate(query, &self.sources(frame, &labels), self.classes);
            found.extend(stretched(&prediction, self.classes));
            labels.push(prediction);
        }
        assert_close(self.name, &found, &expected.values, 1e-5);
    }

    /// Checks the affinities before the radius and the temperature are applied, and the radius.
    fn check_affinities(&self) {
        let found: Vec<f64> = within_radius(self.grid, self.protocol.radius)
            .into_iter()
            .map(|within| f64::from(u8::from(within)))
            .collect();
        assert!(found == self.t["radius_mask"].values, "{}", self.name);
        for (name, expected) in &self.t {
            let Some(frame) = name.strip_prefix("affinity_t") else {
                continue;
            };
            let (frame, _) = frame.split_once('_').unwrap();
            let frame: usize = frame.parse().unwrap();
            let query = &self.feats[frame + self.context];
            let keys = self.keys(frame).into_iter();
            let found: Vec<f32> = keys
                .flat_map(|key| affinity_matrix(query, &self.feats[key]))
                .collect();
            assert_close(name, &found, &expected.values, 2e-6);
        }
    }
}

/// Returns the soft labels of every frame of a video from the features (h*w, C) of each frame, the labels of frame 0,
/// the grid, the number of channels and the protocol.
pub(super) type Run = fn(&[Vec<f32>], Vec<f32>, Grid, usize, &Protocol) -> Vec<Vec<f32>>;

/// Propagates with the search on the CPU.
pub(super) fn run(
    rows: &[Vec<f32>],
    first: Vec<f32>,
    grid: Grid,
    channels: usize,
    protocol: &Protocol,
) -> Vec<Vec<f32>> {
    let classes = first.len() / grid.cells();
    let mut packed = rows
        .iter()
        .map(|rows| PackedFeatures::normalized(rows, grid, channels).unwrap());
    let start = packed.next().unwrap();
    let mut video = VideoPropagation::new(protocol, start, first, classes);
    let mut found = vec![video.first_labels().to_vec()];
    found.extend(packed.map(|features| video.advance(features).to_vec()));
    found
}

fn check_upsampling(case: &Case<'_>, predictions: &[Vec<f32>], colors: &serde_json::Value) {
    let Case {
        name,
        grid,
        classes,
        t,
        ..
    } = case;
    let (grid, classes) = (*grid, *classes);
    let shape = &t["upsampled_8x_argmax"].shape;
    let size = Size {
        height: shape[1],
        width: shape[2],
    };
    let set = LabelSet {
        ids: (0..classes as u8).collect(),
    };
    let mut row = vec![0.0; size.width];
    for (frame, soft) in predictions.iter().enumerate() {
        let wide = WideLabels::new(soft, classes, grid, size);
        // (H, W, L)
        let mut values = vec![0.0; size.area() * classes];
        for y in 0..size.height {
            for class in 0..classes {
                wide.row(y, class, &mut row);
                for (x, value) in row.iter().enumerate() {
                    values[(y * size.width + x) * classes + class] = *value;
                }
            }
        }
        if let Some(expected) = t.get(&format!("upsampled_8x_frame{frame}")) {
            assert_close(name, &values, &expected.values, 1e-5);
        }
        let hard = set.hard_labels(soft, grid, size);
        let expected = &t["upsampled_8x_argmax"].u8()[frame * size.area()..][..size.area()];
        for ((found, expected), scores) in hard.ids.iter().zip(expected).zip(values.chunks(classes))
        {
            let mut sorted = scores.to_vec();
            sorted.sort_by(|a, b| b.total_cmp(a));
            assert!(
                found == expected || sorted[0] - sorted[1] < 1e-5,
                "{name} frame {frame}"
            );
        }
        if let Some(expected) = t.get(&format!("mask_image_frame{frame}_rgb_as_written")) {
            let image = expected
                .values
                .chunks(3)
                .zip(&hard.ids)
                .zip(values.chunks(classes));
            for ((expected, &id), scores) in image {
                let mut sorted = scores.to_vec();
                sorted.sort_by(|a, b| b.total_cmp(a));
                let color = numbers(&colors[usize::from(id)]);
                assert!(color == expected || sorted[0] - sorted[1] < 1e-5, "{name}");
            }
        }
    }
}
