//! Compares the operations with torchvision's values in `fixtures/data/augment.json`.

use serde_json::Value;

use super::*;

/// The tolerance for f32 arithmetic in another order.
const TOLERANCE: f32 = 2e-6;

fn floats(value: &Value) -> Vec<f32> {
    let values = value.as_array().unwrap().iter();
    values.map(|v| v.as_f64().unwrap() as f32).collect()
}

struct Golden {
    side: usize,
    picture: Vec<f32>,
    values: Value,
}

impl Golden {
    fn read() -> Self {
        let text = include_str!("../../../../fixtures/data/augment.json");
        let values: Value = serde_json::from_str(text).unwrap();
        let picture = floats(&values["picture"])
            .iter()
            .map(|v| v / 255.0)
            .collect();
        let side = values["side"].as_u64().unwrap() as usize;
        Self {
            side,
            picture,
            values,
        }
    }

    /// Compares the result of `ours` for the image in each case of `name`.
    fn compare(&self, name: &str, ours: impl Fn(&Value, Vec<f32>) -> Vec<f32>) {
        let cases = self.values[name].as_array().unwrap();
        assert!(!cases.is_empty());
        for case in cases {
            let out = ours(case, self.picture.clone());
            let expected = floats(&case["out"]);
            assert_eq!(out.len(), expected.len());
            let differences = out.iter().zip(&expected).map(|(a, b)| (a - b).abs());
            let largest = differences.fold(0.0, f32::max);
            assert!(largest <= TOLERANCE, "{name}: {largest}");
        }
    }
}

#[test]
fn golden_colors() {
    let golden = Golden::read();
    for (name, operation) in [
        ("brightness", color::brightness as fn(&mut [f32], f32)),
        ("contrast", color::contrast),
        ("saturation", color::saturation),
        ("hue", color::hue),
    ] {
        golden.compare(name, |case, mut pixels| {
            operation(&mut pixels, case["factor"].as_f64().unwrap() as f32);
            pixels
        });
    }
}

#[test]
fn golden_blur() {
    let golden = Golden::read();
    golden.compare("blur", |case, pixels| {
        let sigma = case["sigma"].as_f64().unwrap() as f32;
        filter::blur::<3>(&pixels, golden.side, BLUR_TAPS, sigma)
    });
}

#[test]
fn golden_elastic() {
    let golden = Golden::read();
    let side = golden.side;
    golden.compare("elastic", |case, pixels| {
        let number = |key: &str| case[key].as_f64().unwrap() as f32;
        let [across, down] = [0, 1].map(|axis| {
            let noise = floats(&case["noise"][axis]);
            elastic::displacements(&noise, side, number("alpha"), number("sigma"))
        });
        elastic::warp(&pixels, (side, side), &across, &down)
    });
}
