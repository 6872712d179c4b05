//! Compares the samplers with golden rows of the reference (`sampler.json`). All comparisons are exact.

use super::*;
use crate::fixtures::{Golden, int, pair};
use serde_json::Value;

/// A generator that plays back recorded draws: a uniform `u`, or the start of an interval of `below`.
struct Recorded(std::vec::IntoIter<u32>);

fn push_uniform(words: &mut Vec<u32>, u: &Value) {
    words.push(((u.as_f64().unwrap() * f64::from(1u32 << 24)) as u32) << 8);
}

fn push_below(words: &mut Vec<u32>, value: &Value, range: &Value) {
    let (value, range) = (value.as_u64().unwrap(), range.as_u64().unwrap());
    words.push(((value << 32).div_ceil(range)) as u32);
}

impl RngCore for Recorded {
    fn next_u32(&mut self) -> u32 {
        self.0.next().expect("more draws than recorded")
    }
    fn next_u64(&mut self) -> u64 {
        unreachable!("samplers draw 32-bit words")
    }
    fn fill_bytes(&mut self, _: &mut [u8]) {
        unreachable!("samplers draw 32-bit words")
    }
}

fn crop_of(row: &Value) -> CropBox {
    CropBox {
        top: int(&row["i"]),
        left: int(&row["j"]),
        height: int(&row["h"]),
        width: int(&row["w"]),
    }
}

/// Creates a sampler with the recorded range of log ratios.
///
/// PyTorch's f32 logarithm differs by up to one unit in the last place from the correctly rounded one, which this crate
/// uses.
fn recorded_sampler(kind: Sampler, row: &Value, golden: &Value) -> BoxSampler {
    let ratio = pair(&row["ratio"]);
    let ours = BoxSampler::new(kind, pair(&row["scale"]), ratio);
    let key = ["(0.75, 1.3333333333333333)", "(0.5, 2.0)"][usize::from(ratio[0] == 0.5)];
    let log_ratio = pair(&golden["log_ratio_f32"][key]).map(|log| log as f32);
    for (ours, recorded) in ours.log_ratio.into_iter().zip(log_ratio) {
        assert!(
            ours.to_bits().abs_diff(recorded.to_bits()) <= 1,
            "{ours} {recorded}"
        );
    }
    BoxSampler { log_ratio, ..ours }
}

fn check_draw(sampler: &BoxSampler, draw: &Value) {
    let number = |key: &str| draw[key].as_f64().unwrap() as f32;
    assert_eq!(sampler.area(number("u_area")), number("area_fraction"));
    assert_eq!(sampler.log_aspect(number("u_ratio")), number("log_ratio"));
    let ulps = exp(number("log_ratio"))
        .to_bits()
        .abs_diff(number("aspect_ratio").to_bits());
    assert!(ulps <= 1, "{draw}");
}

#[test]
fn golden_rejection_rows() {
    for golden in Golden::all() {
        let rows = golden.rows("sampler.json", "effective_sampler_rows");
        rejection_rows(&rows, &golden.json("sampler.json"));
    }
}

fn rejection_rows(rows: &[Value], golden: &Value) {
    for row in rows {
        let sampler = recorded_sampler(Sampler::Rejection, row, golden);
        let (width, height) = (int(&row["width"]), int(&row["height"]));
        let mut words = Vec::new();
        for draw in row["draws"].as_array().unwrap() {
            check_draw(&sampler, draw);
            let (area, aspect) = (&draw["area_fraction"], &draw["aspect_ratio"]);
            let sides = sampler.sides(
                width,
                height,
                area.as_f64().unwrap() as f32,
                aspect.as_f64().unwrap() as f32,
            );
            assert_eq!(sides, (int(&draw["w"]), int(&draw["h"])));
            push_uniform(&mut words, &draw["u_area"]);
            push_uniform(&mut words, &draw["u_ratio"]);
        }
        if row["fallback"] == false {
            push_below(&mut words, &row["i"], &row["i_range_exclusive"]);
            push_below(&mut words, &row["j"], &row["j_range_exclusive"]);
        }
        let mut rng = Recorded(words.into_iter());
        assert_eq!(
            sampler.sample(width, height, &mut rng),
            crop_of(row),
            "{row}"
        );
        assert_eq!(rng.0.len(), 0, "every recorded draw is used: {row}");
    }
    assert!(rows.iter().any(|row| row["fallback"] == true));
}

#[test]
fn golden_uniform_rows() {
    for golden in Golden::all() {
        let rows = golden.rows(
            "sampler.json",
            "single_draw_sampler_rows_as_written_but_never_run",
        );
        uniform_rows(&rows, &golden.json("sampler.json"));
    }
}

fn uniform_rows(rows: &[Value], golden: &Value) {
    let (mut compared, mut empty) = (0, 0);
    for row in rows {
        let sampler = recorded_sampler(Sampler::Uniform, row, golden);
        check_draw(&sampler, row);
        let (w, h) = (int(&row["w"]), int(&row["h"]));
        if w == 0 || h == 0 {
            // The box is empty. Ours has one pixel instead, so one row or column fewer is left for its place, and only
            // its sides can be compared.
            let (width, height) = (int(&row["width"]), int(&row["height"]));
            let mut words = Vec::new();
            push_uniform(&mut words, &row["u_area"]);
            push_uniform(&mut words, &row["u_ratio"]);
            words.extend([u32::MAX, u32::MAX]);
            let ours = sampler.sample(width, height, &mut Recorded(words.into_iter()));
            assert_eq!((ours.width, ours.height), (w.max(1), h.max(1)), "{row}");
            assert_eq!(ours.left + ours.width, width, "{row}");
            assert_eq!(ours.top + ours.height, height, "{row}");
            empty += 1;
            continue;
        }
        let mut words = Vec::new();
        push_uniform(&mut words, &row["u_area"]);
        push_uniform(&mut words, &row["u_ratio"]);
        push_below(&mut words, &row["i"], &row["i_range_exclusive"]);
        push_below(&mut words, &row["j"], &row["j_range_exclusive"]);
        let mut rng = Recorded(words.into_iter());
        let (width, height) = (int(&row["width"]), int(&row["height"]));
        assert_eq!(
            sampler.sample(width, height, &mut rng),
            crop_of(row),
            "{row}"
        );
        compared += 1;
    }
    assert!(compared > 0);
    assert_eq!(compared + empty, rows.len());
}
