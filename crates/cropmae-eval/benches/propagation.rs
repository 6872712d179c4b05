//! Measures label propagation for one frame at the size of DAVIS: 30x55 cells, 384 channels, 21 source frames.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use cropmae_config::Protocol;
use cropmae_eval::propagation::{Grid, PackedFeatures, VideoPropagation};

fn noise(state: &mut u32, count: usize) -> Vec<f32> {
    (0..count)
        .map(|_| {
            *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (*state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

fn propagate(criterion: &mut Criterion) {
    let protocol = Protocol::davis();
    let (channels, classes) = (384, 4);
    let mut group = criterion.benchmark_group("propagate one frame");
    group.sample_size(10);
    for (name, height, width) in [("patch 16", 30, 55), ("patch 8", 60, 110)] {
        let grid = Grid { height, width };
        let mut state = 1;
        let mut frame = || {
            let features = noise(&mut state, grid.cells() * channels);
            PackedFeatures::normalized(&features, grid, channels).unwrap_or_else(|e| panic!("{e}"))
        };
        let labels = vec![0.25; grid.cells() * classes];
        let mut video = VideoPropagation::new(&protocol, frame(), labels, classes);
        for _ in 0..=protocol.context_frames {
            video.advance(frame());
        }
        let next = frame();
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || next.clone(),
                |features| black_box(video.advance(features)[0]),
                criterion::BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, propagate);
criterion_main!(benches);
