//! Tests of patches of bytes.

use candle_core::{Device, Tensor};
use cropmae_kernels::{Backend, Compute, PatchPixels, backward, masked_pixel_loss, patch_embed};

use crate::support::{BACKENDS, bits, tensor, var};

/// Every byte in every channel, and some table.
fn pixels(shape: (usize, usize, usize)) -> PatchPixels {
    let (b, n, v) = shape;
    let bytes: Vec<u8> = (0..b * n * v).map(|i| (i * 7 / 3) as u8).collect();
    PatchPixels::Bytes {
        bytes: Tensor::from_vec(bytes, shape, &Device::Cpu).unwrap(),
        table: tensor(&[3, 256], 9),
    }
}

#[test]
fn bytes_are_the_pixels_of_their_table() {
    let (b, n, v) = (2, 20, 48);
    let pixels = pixels((b, n, v));
    let normalized = PatchPixels::Values(pixels.normalized().unwrap());
    let PatchPixels::Bytes { bytes, table } = &pixels else {
        unreachable!()
    };
    // One value looked up by hand.
    let byte: u8 = bytes
        .get(1)
        .unwrap()
        .get(3)
        .unwrap()
        .get(5)
        .unwrap()
        .to_scalar()
        .unwrap();
    let channel = table.get(5 % 3).unwrap().get(byte.into()).unwrap();
    let value = normalized
        .patches()
        .get(1)
        .unwrap()
        .get(3)
        .unwrap()
        .get(5)
        .unwrap();
    assert_eq!(bits(&value), bits(&channel));

    let (weight, bias) = (var(&[5, 3, 4, 4], 1), var(&[5], 2));
    let (pos, pred) = (tensor(&[n, 5], 3), var(&[b, 3, v], 4));
    let ids = Tensor::new(&[[19u32, 0, 7], [1, 18, 3]], &Device::Cpu).unwrap();
    for backend in BACKENDS {
        let all = |pixels: &PatchPixels| {
            backend.with(|| {
                let embed = |ids| patch_embed(pixels, ids, &weight, &bias, &pos, Compute::F32);
                let embedded = embed(Some(&ids)).unwrap();
                let loss = masked_pixel_loss(&pred, pixels, &ids, true).unwrap();
                let plain = masked_pixel_loss(&pred, pixels, &ids, false).unwrap();
                let sum = (embedded.sqr().unwrap().sum_all().unwrap() + &loss).unwrap();
                let grads = backward(&sum).unwrap();
                let grads = [&weight, &bias, &pred].map(|var| grads.get(var).unwrap().clone());
                let whole = embed(None).unwrap();
                [embedded, whole, loss, plain]
                    .into_iter()
                    .chain(grads)
                    .map(|x| bits(&x))
                    .collect::<Vec<_>>()
            })
        };
        assert!(all(&pixels) == all(&normalized), "{backend:?}");
    }
}

#[test]
fn bytes_without_a_table_of_three_channels_are_refused() {
    let PatchPixels::Bytes { bytes, .. } = pixels((1, 2, 12)) else {
        unreachable!()
    };
    let (weight, bias, pos) = (
        tensor(&[5, 3, 2, 2], 1),
        tensor(&[5], 2),
        tensor(&[2, 5], 3),
    );
    let embed = |bytes: &Tensor, table| {
        let bytes = bytes.clone();
        let pixels = PatchPixels::Bytes { bytes, table };
        Backend::Reference
            .with(|| patch_embed(pixels, None, &weight, &bias, &pos, Compute::F32))
            .unwrap_err()
            .to_string()
    };
    let message = embed(&bytes, tensor(&[256], 4));
    assert!(
        message.contains("table") && message.contains("[3, 256]"),
        "{message}"
    );
    let words = bytes.to_dtype(candle_core::DType::U32).unwrap();
    let message = embed(&words, tensor(&[3, 256], 4));
    assert!(
        message.contains("U32") && message.contains("u8"),
        "{message}"
    );
}
