//! Compares views with those of the reference, and checks what each strategy shows.

use super::*;
use crate::fixtures::{Golden, int};
use crate::normalize::TABLE;
use crate::patchify::patchify;
use cropmae_config::{Experiment, Seed, Stream};
use serde_json::Value;

fn config(views: Views) -> DataConfig {
    let mut config = Experiment::demo(&[]).unwrap().data;
    config.views = views;
    config
}

fn strategy(name: &str) -> Views {
    match name {
        "GlobalToLocal" => Views::GlobalToLocal,
        "LocalToGlobal" => Views::LocalToGlobal,
        "RandomViews" => Views::RandomViews,
        "SameViews" => Views::SameViews,
        other => panic!("unknown strategy {other}"),
    }
}

fn crop_of(value: &Value) -> CropBox {
    CropBox {
        top: int(&value["top"]),
        left: int(&value["left"]),
        height: int(&value["height"]),
        width: int(&value["width"]),
    }
}

#[test]
fn golden_views_end_to_end() {
    for golden in Golden::all() {
        for case in golden.rows("resize.json", "end_to_end") {
            end_to_end(&golden, &case);
        }
    }
}

fn end_to_end(golden: &Golden, case: &Value) {
    let sampler = ViewSampler::new(&config(strategy(case["strategy"].as_str().unwrap())), 224);
    let flip = |i: usize| {
        let flips = &case["flips_in_order"];
        let flip = &flips.get(i).unwrap_or(&flips[0]);
        assert_eq!(flip["u"].as_f64().unwrap() < 0.5, flip["flipped"] == true);
        flip["flipped"] == true
    };
    let crops = case["crops_in_order"].as_array().unwrap();
    let plan = Plan {
        global: crop_of(&crops[0]),
        second: crops.get(1).map(crop_of),
        flips: [flip(0), flip(1)],
    };
    let views = sampler.cut(&plan, &[golden.png(&case["input"])]);
    assert_eq!(views.len(), 2);

    // The images are listed in the order of drawing, and the views in the model's order.
    let local_first = case["strategy"] == "LocalToGlobal";
    let pictures = case["crop_pngs_before_flip"].as_array().unwrap();
    for (i, view) in views.iter().enumerate() {
        let drawn = if local_first { 1 - i } else { i };
        let expected = golden.png(pictures.get(drawn).unwrap_or(&pictures[0]));
        assert!(view.pixels == expected, "view {i} of {case}");
    }

    let (mut sum, mut abs_sum) = (0.0, 0.0);
    for (i, view) in views.into_iter().enumerate() {
        let mut patches = vec![0.0; 224 * 224 * 3];
        patchify(&view.pixels, 16, view.flip, &mut patches);
        sum += patches.iter().map(|&v| f64::from(v)).sum::<f64>();
        abs_sum += patches.iter().map(|&v| f64::from(v.abs())).sum::<f64>();
        let corner = &case[format!("output_view{i}_corner_values")];
        for channel in 0..3 {
            let expected = corner[channel].as_f64().unwrap() as f32;
            assert_eq!(patches[channel], expected, "view {i} of {case}");
            let shown = view.clone().into_rgb().get_pixel(0, 0).0[channel];
            assert_eq!(TABLE[channel][usize::from(shown)], expected);
        }
    }
    // The sums of 301056 f64 terms are in another order. The tolerance is far below one level of one pixel (0.017).
    assert!(
        (sum - case["output_sum_f64"].as_f64().unwrap()).abs() < 1e-6,
        "{case}"
    );
    let expected = case["output_abs_sum_f64"].as_f64().unwrap();
    assert!((abs_sum - expected).abs() < 1e-6, "{case}");
}

fn gradient(width: u32, height: u32, blue: u8) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        image::Rgb([(x * 255 / width) as u8, (y * 255 / height) as u8, blue])
    })
}

fn views(kind: Views, frames: &[RgbImage], seed: u64) -> Vec<View> {
    let sampler = ViewSampler::new(&config(kind), 64);
    let mut rng = Seed(seed).rng(Stream::Views, 0, 0);
    let plan = sampler.plan(frames[0].width(), frames[0].height(), &mut rng);
    sampler.cut(&plan, frames)
}

#[test]
fn frame_pairs_share_box_and_flip() {
    for seed in 0..20 {
        let frames = [gradient(120, 90, 10), gradient(120, 90, 250)];
        let [earlier, later] = views(Views::FramePair, &frames, seed).try_into().unwrap();
        assert_eq!(earlier.flip, later.flip);
        for (a, b) in earlier.pixels.pixels().zip(later.pixels.pixels()) {
            assert_eq!((a.0[0], a.0[1]), (b.0[0], b.0[1]), "one box");
            assert_eq!((a.0[2], b.0[2]), (10, 250), "earlier first");
        }
    }
}

#[test]
fn strategies_differ_as_named() {
    let frame = [gradient(120, 90, 0)];
    let mut flips = [0; 4];
    for seed in 0..200 {
        let global = &views(Views::Single, &frame, seed)[0].pixels;
        let pair = |kind| <[View; 2]>::try_from(views(kind, &frame, seed)).unwrap();
        let [first, second] = pair(Views::GlobalToLocal);
        assert!(first.pixels == *global && second.pixels != *global);
        flips[usize::from(first.flip) * 2 + usize::from(second.flip)] += 1;
        let [local, last] = pair(Views::LocalToGlobal);
        assert!(last == first && local == second);
        let [a, b] = pair(Views::RandomViews);
        assert!(a.pixels == *global && b.pixels != *global && b.pixels != second.pixels);
        let [a, b] = pair(Views::SameViews);
        assert!(a == b && a.pixels == *global);
    }
    assert!(
        flips.iter().all(|&n| n > 25),
        "independent flips with even odds: {flips:?}"
    );
}

#[test]
fn only_the_view_that_is_cut_first_is_augmented() {
    let frame = [gradient(120, 90, 0)];
    for (kind, first) in [
        (Views::GlobalToLocal, 0),
        (Views::LocalToGlobal, 1),
        (Views::RandomViews, 0),
        (Views::SameViews, 0),
    ] {
        let mut config = config(kind);
        config.augment.color_jitter = true;
        let sampler = ViewSampler::new(&config, 64);
        let mut rng = Seed(4).rng(Stream::Views, 0, 0);
        let plan = sampler.plan(120, 90, &mut rng);
        let plain = sampler.cut(&plan, &frame);
        let mut views = plain.clone();
        sampler.augment(&mut views, &mut rng);
        assert!(views[first] != plain[first], "{kind:?}");
        assert!(views[1 - first] == plain[1 - first], "{kind:?}");
    }
}
