//! Measures crop pairs per second on one core, as a whole and by stage.
//!
//! The photos are those under `CROPMAE_SHARED/data/imagenet_photos` (by default `../shared` beside the workspace).

use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use cropmae_config::{DataConfig, Experiment, Interpolation, Seed, Stream, Views};
use cropmae_data::boxes::{BoxSampler, CropBox};
use cropmae_data::{Dataset, Loader, LoaderConfig, Pixels, decode, patchify, resize};
use image::RgbImage;

/// Returns the published ImageNet recipe.
fn recipe() -> DataConfig {
    let mut data = Experiment::demo(&[]).expect("the embedded experiment").data;
    data.views = Views::GlobalToLocal;
    data.global_scale = [0.1, 1.0];
    data.local_scale = [0.3, 0.6];
    data
}

fn pairs(criterion: &mut Criterion) {
    let Some(photos) = cropmae_fixtures::shared("data/imagenet_photos") else {
        return;
    };
    let dataset = Arc::new(Dataset::open(&photos, &recipe()).expect("photos"));
    let files: Vec<PathBuf> = (0..dataset.len())
        .map(|i| photos.join(dataset.name(i)))
        .collect();

    let mut group = criterion.benchmark_group("pairs");
    group
        .sample_size(10)
        .throughput(Throughput::Elements(dataset.len() as u64));
    let config = LoaderConfig {
        batch_size: 49,
        image_size: 224,
        patch_size: 16,
        pixels: Pixels::Normalized,
        seed: Seed(0),
        prefetch_batches: 1,
        workers: 1,
        rank: 0,
        world_size: 1,
    };
    let loader = Loader::new(dataset, config).expect("one worker");
    let mut epoch = 0;
    group.bench_function("loader, one worker", |bencher| {
        bencher.iter(|| {
            epoch += 1;
            loader
                .epoch(epoch, 0)
                .for_each(|batch| drop(black_box(batch)));
        });
    });

    group.bench_function("read and decode", |bencher| {
        bencher.iter(|| {
            files
                .iter()
                .for_each(|file| drop(black_box(decode::read(file, 200))))
        });
    });

    let pictures: Vec<RgbImage> = files
        .iter()
        .map(|file| decode::read(file, 200).expect("a photo"))
        .collect();
    let sampler = BoxSampler::new(recipe().sampler, [0.1, 1.0], recipe().aspect_ratio);
    let mut rng = Seed(0).rng(Stream::Views, 0, 0);
    let crops: Vec<CropBox> = pictures
        .iter()
        .map(|p| sampler.sample(p.width(), p.height(), &mut rng))
        .collect();
    let global = |(picture, crop): (&RgbImage, &CropBox)| {
        resize::resize_crop(picture, *crop, 224, 224, Interpolation::Bilinear)
    };
    group.bench_function("resize the global crop", |bencher| {
        bencher.iter(|| {
            pictures
                .iter()
                .zip(&crops)
                .for_each(|pair| drop(black_box(global(pair))))
        });
    });

    let view = global((&pictures[0], &crops[0]));
    let local = CropBox {
        top: 30,
        left: 40,
        height: 140,
        width: 160,
    };
    group.bench_function("resize the local crop", |bencher| {
        bencher.iter(|| {
            for _ in &pictures {
                black_box(resize::resize_crop(
                    &view,
                    local,
                    224,
                    224,
                    Interpolation::Bilinear,
                ));
            }
        });
    });

    let mut patches = vec![0.0f32; 224 * 224 * 3];
    group.bench_function("patchify both views", |bencher| {
        bencher.iter(|| {
            for _ in &pictures {
                patchify::patchify(black_box(&view), 16, false, &mut patches);
                patchify::patchify(black_box(&view), 16, true, &mut patches);
            }
        });
    });
    group.finish();
}

criterion_group!(benches, pairs);
criterion_main!(benches);
