//! Measures the time of J and F for one object in one frame of 480x854 pixels.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use cropmae_eval::Size;
use cropmae_eval::metrics::{BitMask, boundary_measure, jaccard};

/// Returns an ellipse with a wavy outline, moved by `shift` pixels.
fn blob(size: Size, shift: usize) -> BitMask {
    let ids: Vec<u8> = (0..size.area())
        .map(|i| {
            let (y, x) = ((i / size.width) as f64, (i % size.width + shift) as f64);
            let (dy, dx) = ((y - 240.0) / 150.0, (x - 420.0) / 260.0);
            let wave = 1.0 + 0.1 * (12.0 * dy.atan2(dx)).sin();
            u8::from(dy.hypot(dx) < wave)
        })
        .collect();
    BitMask::of_id(&ids, size, 1)
}

fn measures(criterion: &mut Criterion) {
    let size = Size {
        height: 480,
        width: 854,
    };
    let (gt, pred) = (blob(size, 0), blob(size, 7));
    criterion.bench_function("J", |bencher| {
        bencher.iter(|| jaccard(black_box(&gt), black_box(&pred), None));
    });
    criterion.bench_function("F", |bencher| {
        bencher.iter(|| boundary_measure(black_box(&gt), black_box(&pred), None));
    });
}

criterion_group!(benches, measures);
criterion_main!(benches);
