//! Properties of `PatchMask` for any batch size, number of patches and order.

use candle_core::{Device, Tensor};
use cropmae_model::{ModelError, PatchMask};
use proptest::prelude::*;

/// Generates a batch size, numbers of patches and visible patches, and one permutation per sample.
fn orders() -> impl Strategy<Value = (usize, usize, usize, Vec<u32>)> {
    (1usize..4, 1usize..20)
        .prop_flat_map(|(batch, n)| {
            let order = Just((0..n as u32).collect::<Vec<_>>()).prop_shuffle();
            (Just(n), 0..n, prop::collection::vec(order, batch))
        })
        .prop_map(|(n, keep, orders)| (orders.len(), n, keep, orders.concat()))
}

fn ids(tensor: &Tensor) -> Vec<Vec<u32>> {
    tensor.to_vec2().expect("ids")
}

proptest! {
    #[test]
    fn kept_and_removed_split_the_patches((batch, n, keep, shuffle) in orders()) {
        let mask = PatchMask::new(&shuffle, batch, n, keep, &Device::Cpu).expect("mask");
        let removed = ids(mask.ids_removed());
        prop_assert_eq!(mask.ids_keep().is_none(), keep == 0);
        let kept = mask.ids_keep().map_or(vec![vec![]; batch], ids);
        for sample in 0..batch {
            let order = &shuffle[sample * n..(sample + 1) * n];
            prop_assert_eq!(&kept[sample], &order[..keep]);
            prop_assert!(removed[sample].is_sorted_by(|a, b| a < b));
            prop_assert_eq!(removed[sample].len(), mask.len_removed());
            let mut all = [kept[sample].clone(), removed[sample].clone()].concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..n as u32).collect::<Vec<_>>());
        }
    }

    #[test]
    fn restore_puts_tokens_where_they_came_from((batch, n, keep, shuffle) in orders()) {
        let mask = PatchMask::new(&shuffle, batch, n, keep, &Device::Cpu).expect("mask");
        // The value of a token is 1000·sample + patch, or 1000·sample + 500 for a class token.
        let name = |sample: usize, id: u32| (1000 * sample) as f32 + id as f32;
        let kept = mask.ids_keep().map_or(vec![vec![]; batch], ids);
        let mut tokens = Vec::new();
        for (sample, kept) in kept.iter().enumerate() {
            tokens.push(name(sample, 500));
            tokens.extend(kept.iter().map(|&id| name(sample, id)));
        }
        let tokens = Tensor::from_vec(tokens, (batch, 1 + keep, 1), &Device::Cpu).expect("tokens");
        let blank = Tensor::full(-1f32, (1, 1, 1), &Device::Cpu).expect("mask token");
        let full = mask.restore(&tokens, &blank).expect("restore");
        prop_assert_eq!(full.dims(), &[batch, 1 + n, 1]);
        let rows: Vec<Vec<f32>> = full.squeeze(2).and_then(|x| x.to_vec2()).expect("rows");
        for (sample, row) in rows.iter().enumerate() {
            prop_assert_eq!(row[0], name(sample, 500));
            for id in 0..n as u32 {
                let visible = kept[sample].contains(&id);
                let expected = if visible { name(sample, id) } else { -1.0 };
                prop_assert_eq!(row[1 + id as usize], expected);
            }
        }
        // `removed_tokens` returns the tokens at the places of the removed patches.
        let places: Vec<f32> = (0..batch)
            .flat_map(|sample| (0..1 + n as u32).map(move |token| name(sample, token)))
            .collect();
        let places = Tensor::from_vec(places, (batch, 1 + n, 1), &Device::Cpu).expect("places");
        let out: Vec<Vec<f32>> = mask
            .removed_tokens(&places)
            .and_then(|x| Ok(x.squeeze(2)?.to_vec2()?))
            .expect("removed");
        for (sample, removed) in ids(mask.ids_removed()).iter().enumerate() {
            let expected: Vec<f32> = removed.iter().map(|&id| name(sample, 1 + id)).collect();
            prop_assert_eq!(&out[sample], &expected);
        }
    }

    #[test]
    fn indices_that_are_not_a_permutation_are_refused((batch, n, keep, mut shuffle) in orders(), at in any::<prop::sample::Index>()) {
        let at = at.index(shuffle.len());
        // Repeat an index, or take one that is out of range if there is only one.
        shuffle[at] = if n == 1 { 1 } else { shuffle[at / n * n + (at + 1) % n] };
        let error = PatchMask::new(&shuffle, batch, n, keep, &Device::Cpu);
        let refused = matches!(error, Err(ModelError::Mask { .. }));
        prop_assert!(refused);
    }
}

#[test]
fn nothing_to_reconstruct_is_refused() {
    let error = PatchMask::new(&[0, 1, 2], 1, 3, 3, &Device::Cpu);
    assert!(matches!(error, Err(ModelError::Mask { .. })));
    let error = PatchMask::new(&[0, 1, 2], 2, 3, 1, &Device::Cpu);
    assert!(matches!(error, Err(ModelError::Mask { .. })));
}

#[test]
fn tokens_of_another_mask_are_refused() {
    let mask = PatchMask::new(&[2, 0, 1], 1, 3, 1, &Device::Cpu).expect("mask");
    let wrong = Tensor::zeros((1, 3, 8), candle_core::DType::F32, &Device::Cpu).expect("zeros");
    let token = Tensor::zeros((1, 1, 8), candle_core::DType::F32, &Device::Cpu).expect("zeros");
    assert!(matches!(
        mask.restore(&wrong, &token),
        Err(ModelError::Input { .. })
    ));
    assert!(matches!(
        mask.removed_tokens(&wrong),
        Err(ModelError::Input { .. })
    ));
}
