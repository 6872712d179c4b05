//! Tests that the mask is the same on every backend and that its statistics are right. The comparison of every op also
//! checks that the forward and the backward pass use the same mask.

use candle_core::{DType, Device, Tensor};
use cropmae_kernels::{Dropout, dropout};
use proptest::prelude::*;

use crate::support::{BACKENDS, bits, check, flat, tensor, var};

fn mask(p: f32, key: u64, rows: usize, cols: usize) -> Vec<f64> {
    let ones = Tensor::ones((rows, cols), DType::F32, &Device::Cpu).unwrap();
    flat(&dropout(&ones, Dropout { p, key }).unwrap())
}

#[test]
fn backward_uses_the_mask_of_the_forward() {
    let drop = Dropout { p: 0.5, key: 9 };
    check(&[var(&[2, 70, 5], 1)], |i| dropout(&i[0], drop));
}

/// The reference computes the hash from halves of words, so every bit is compared.
#[test]
fn masks_are_the_same_on_all_backends() {
    let shapes: [&[usize]; 6] = [
        &[1],
        &[7, 3],
        &[2, 3, 4, 197],
        &[1000, 256],
        // The columns need more than 16 bits.
        &[2, 70_001],
        &[70_001, 2],
    ];
    for shape in shapes {
        let x = tensor(shape, 3);
        for key in [0, 1, 0x0123_4567_89ab_cdef, u64::MAX] {
            for p in [0.0, 0.1, 0.5, 0.999_999_9] {
                let masked = || bits(&dropout(&x, Dropout { p, key }).unwrap());
                let [kernels, composed] = BACKENDS.map(|backend| backend.with(masked));
                assert!(kernels == composed, "{shape:?}, key {key}, p {p}");
            }
        }
    }
}

#[test]
fn keep_rate_is_right_overall_and_in_each_row_and_column() {
    let (rows, cols) = (400, 600);
    for p in [0.0, 0.1, 0.5, 0.9] {
        let mask = mask(p, 42, rows, cols);
        let kept = |share: &[f64]| share.iter().filter(|&&v| v != 0.0).count() as f64;
        let keep = f64::from(1.0 - p);
        assert!(
            mask.iter()
                .all(|&v| v == 0.0 || (v * keep - 1.0).abs() < 1e-6)
        );
        // The limit is six standard deviations of a binomial share.
        let slack = |n: usize| 6.0 * (keep * (1.0 - keep) / n as f64).sqrt() + 1e-12;
        assert!((kept(&mask) / mask.len() as f64 - keep).abs() <= slack(mask.len()));
        for row in mask.chunks(cols) {
            assert!((kept(row) / cols as f64 - keep).abs() <= slack(cols));
        }
        for col in 0..cols {
            let column: Vec<f64> = mask.iter().skip(col).step_by(cols).copied().collect();
            assert!((kept(&column) / rows as f64 - keep).abs() <= slack(rows));
        }
    }
}

#[test]
fn neighbors_are_independent() {
    let (rows, cols) = (300, 300);
    let mask = mask(0.5, 7, rows, cols);
    let sign = |i: usize| if mask[i] == 0.0 { -1.0 } else { 1.0 };
    for offset in [1, 2, 4, 16, cols, cols + 1, 2 * cols] {
        let n = mask.len() - offset;
        let correlation: f64 = (0..n).map(|i| sign(i) * sign(i + offset)).sum::<f64>() / n as f64;
        assert!(
            correlation.abs() < 6.0 / (n as f64).sqrt(),
            "offset {offset}: {correlation}"
        );
    }
}

proptest! {
    #[test]
    fn different_keys_give_unrelated_masks(a: u64, b: u64) {
        prop_assume!(a != b);
        let (rows, cols) = (20, 500);
        let same = mask(0.5, a, rows, cols)
            .iter()
            .zip(&mask(0.5, b, rows, cols))
            .filter(|(x, y)| x == y)
            .count() as f64;
        let n = (rows * cols) as f64;
        prop_assert!((same / n - 0.5).abs() < 6.0 * 0.5 / n.sqrt());
        prop_assert_eq!(mask(0.5, a, 3, 5), mask(0.5, a, 3, 5));
    }
}
