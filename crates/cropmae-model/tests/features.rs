//! Features and attention maps of images, apart from the golden cases.

use candle_core::{D, DType, Device, Tensor};
use candle_nn::VarMap;
use cropmae_config::{Method, ModelConfig, Seed};
use cropmae_model::parameters::frozen;
use cropmae_model::{
    Encoder, FeatureExtractor, ModelError, RawPixels, VitFeatures, init_parameters, normalize_rgb,
    patchify, pos_embed,
};

fn config() -> ModelConfig {
    ModelConfig {
        image_size: 32,
        patch_size: 8,
        embed_dim: 24,
        depth: 2,
        num_heads: 3,
        ..ModelConfig::preset("vits16").expect("preset")
    }
}

fn images(height: usize, width: usize) -> Tensor {
    let pixels: Vec<f32> = (0..3 * height * width)
        .map(|i| (i as f32 * 0.37).sin())
        .collect();
    Tensor::from_vec(pixels, (1, 3, height, width), &Device::Cpu).expect("images")
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    let flat = tensor.flatten_all().and_then(|t| t.to_vec1());
    flat.expect("f32")
}

/// Computes softmax(q k / sqrt(Dh)) of the last block from the class token to the patches, step by step: (H, N).
fn attention_by_hand(vars: &VarMap, x: &Tensor) -> candle_core::Result<Tensor> {
    let vars = vars.data().lock().expect("lock");
    let var = |name: &str| vars[&format!("blocks.1.{name}")].as_detached_tensor();
    let x = x.squeeze(0)?; // (1 + N, D)
    let centered = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let deviation = (centered.sqr()?.mean_keepdim(D::Minus1)? + 1e-6)?.sqrt()?;
    let x = centered
        .broadcast_div(&deviation)?
        .broadcast_mul(&var("norm1.weight"))?
        .broadcast_add(&var("norm1.bias"))?;
    let qkv = x
        .matmul(&var("attn.qkv.weight").t()?)?
        .broadcast_add(&var("attn.qkv.bias"))?;
    let head = |third: usize, head: usize| qkv.narrow(1, 24 * third + 8 * head, 8);
    let rows = (0..3)
        .map(|h| {
            let scores = (head(0, h)?.narrow(0, 0, 1)?.matmul(&head(1, h)?.t()?)? / 8f64.sqrt())?;
            let weights = scores.exp()?;
            weights.broadcast_div(&weights.sum_keepdim(1)?)
        })
        .collect::<candle_core::Result<Vec<_>>>()?;
    let maps = Tensor::cat(&rows, 0)?;
    maps.narrow(1, 1, maps.dim(1)? - 1)
}

#[test]
fn class_attention_equals_the_formula() {
    let vars = init_parameters(&config(), Method::Mae, Seed(4), &Device::Cpu).expect("init");
    let encoder = Encoder::new(&config(), &frozen(&vars, &Device::Cpu)).expect("encoder");
    let images = images(16, 40);
    let found = VitFeatures::new("test", encoder.clone())
        .cls_attention(&images)
        .expect("attention");
    assert_eq!((found.grid, found.values.dims()), ((2, 5), &[1, 3, 10][..]));

    let (patches, grid) = patchify(&images, 8).expect("patches");
    let pos = pos_embed::interpolate(encoder.pos_embed(), grid).expect("pos");
    let tokens = encoder.embed(&patches, &pos, None).expect("tokens");
    let before_last = encoder.blocks()[0].forward(&tokens).expect("block");
    let expected = attention_by_hand(&vars, &before_last).expect("by hand");
    for (a, b) in flat(&found.values).into_iter().zip(flat(&expected)) {
        assert!((a - b).abs() < 1e-6, "{a}, by hand {b}");
    }
}

#[test]
fn one_extractor_serves_images_of_many_sizes() {
    // The extractor keeps the position embedding of the last grid. A change of the grid must not use the wrong one.
    let features = |f: &VitFeatures, side| flat(&f.features(&images(side, 24)).expect("f").values);
    let make = || VitFeatures::random(&config(), Seed(4), &Device::Cpu).expect("random");
    let shared = make();
    for side in [16, 32, 16, 8] {
        assert_eq!(features(&shared, side), features(&make(), side), "{side}");
    }
}

#[test]
fn raw_pixels_average_tiles() {
    let (h, w) = (8, 16);
    let pixels: Vec<f32> = (0..3 * h * w).map(|i| i as f32).collect();
    let images = Tensor::from_vec(pixels, (1, 3, h, w), &Device::Cpu).expect("images");
    let extractor = RawPixels::new(8, 2).expect("extractor");
    let found = extractor.features(&images).expect("features");
    assert_eq!((found.grid, extractor.dim()), ((1, 2), 12));
    let rows: Vec<Vec<f32>> = found
        .values
        .squeeze(0)
        .and_then(|v| v.to_vec2())
        .expect("rows");
    // Tile (1, 0) of cell 1 has rows 4..8 and columns 8..12. The mean is the value at its center.
    for channel in 0..3 {
        let expected = (channel * h * w) as f32 + 5.5 * w as f32 + 9.5;
        assert_eq!(rows[1][2 * 3 + channel], expected);
    }
    assert!(RawPixels::new(8, 3).is_err());
    let odd = Tensor::zeros((1, 3, 8, 12), DType::F32, &Device::Cpu).expect("images");
    assert!(matches!(
        extractor.features(&odd),
        Err(ModelError::Input { .. })
    ));
}

#[test]
fn photos_are_normalized_and_cut_to_whole_patches() {
    let (height, width) = (19, 25);
    let rgb: Vec<u8> = (0..3 * height * width)
        .map(|i| (i * 7 % 256) as u8)
        .collect();
    let image = normalize_rgb(&rgb, (height, width), 8, &Device::Cpu).expect("image");
    assert_eq!(image.dims(), [1, 3, 16, 24]);
    let values = flat(&image);
    let (mean, std) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
    for (channel, row, column) in [(0, 0, 0), (1, 3, 23), (2, 15, 7)] {
        let level = f32::from(rgb[(row * width + column) * 3 + channel]) / 255.0;
        let expected = (level - mean[channel]) / std[channel];
        let found = values[(channel * 16 + row) * 24 + column];
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    }
    for (bytes, sides) in [
        (&rgb[1..], (height, width)),
        (&rgb[..], (7, 475 / 7)),
        (&[], (0, 0)),
    ] {
        let error = normalize_rgb(bytes, sides, 8, &Device::Cpu).expect_err("refused");
        assert!(matches!(error, ModelError::Input { .. }), "{error}");
    }
}
