//! Weight files: round trips, and the errors for invalid files.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use cropmae_config::{Method, ModelConfig, Seed};
use cropmae_model::weights::{self, Part, WeightsInfo};
use cropmae_model::{FeatureExtractor, ModelError, VitFeatures, init_parameters, named_parameters};

fn info(method: Method) -> WeightsInfo {
    WeightsInfo {
        method: Some(method),
        model: ModelConfig {
            image_size: 32,
            patch_size: 8,
            embed_dim: 16,
            depth: 1,
            num_heads: 2,
            mlp_ratio: 4.0,
            layer_norm_eps: 1e-6,
            decoder_embed_dim: 8,
            decoder_depth: 1,
            decoder_num_heads: 2,
            decoder_dropout: 0.1,
        },
        provenance: BTreeMap::from([("epoch".to_owned(), "3".to_owned())]),
    }
}

fn write(path: &Path, info: &WeightsInfo) {
    let vars = init_parameters(
        &info.model,
        info.method.expect("method"),
        Seed(1),
        &Device::Cpu,
    )
    .expect("init");
    weights::save(path, info, &vars).expect("save");
}

fn contents(path: &Path) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(path, &Device::Cpu).expect("tensors")
}

#[test]
fn files_round_trip_and_repeat_to_the_byte() {
    let folder = tempfile::tempdir().expect("folder");
    for method in [Method::CropMae, Method::SiamMae, Method::Mae] {
        let (path, again) = (folder.path().join("a"), folder.path().join("b"));
        write(&path, &info(method));
        write(&again, &info(method));
        assert_eq!(
            std::fs::read(&path).expect("a"),
            std::fs::read(&again).expect("b")
        );
        assert_eq!(weights::load_info(&path).expect("info"), info(method));
        let loaded = weights::load(&path, Part::Whole, &Device::Cpu).expect("load");
        assert_eq!(loaded.info, info(method));
        let vars = loaded.into_vars().expect("vars");
        let fresh =
            init_parameters(&info(method).model, method, Seed(1), &Device::Cpu).expect("init");
        let pairs = named_parameters(&vars)
            .into_iter()
            .zip(named_parameters(&fresh));
        for ((name, a), (_, b)) in pairs {
            let values = |t: &Tensor| {
                t.flatten_all()
                    .and_then(|t| t.to_vec1::<f32>())
                    .expect("f32")
            };
            assert_eq!(values(&a), values(&b), "{name}");
        }
        let leftovers = std::fs::read_dir(folder.path()).expect("folder").count();
        assert_eq!(leftovers, 2, "no partial file stays behind");
    }
}

#[test]
fn an_encoder_alone_can_be_read() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("weights.safetensors");
    write(&path, &info(Method::Mae));
    let images = Tensor::ones((1, 3, 16, 24), DType::F32, &Device::Cpu).expect("images");
    let whole = VitFeatures::load(&path, &Device::Cpu).expect("encoder");
    let expected = whole.features(&images).expect("features");
    assert_eq!(
        (expected.grid, expected.values.dims()),
        ((2, 3), &[1, 6, 16][..])
    );

    // From a file without a decoder, only the encoder can be loaded.
    let encoder: HashMap<String, Tensor> = contents(&path)
        .into_iter()
        .filter(|(name, _)| !name.starts_with("decoder") && name != "mask_token")
        .collect();
    let bare = folder.path().join("encoder.safetensors");
    candle_core::safetensors::save(&encoder, &bare).expect("save");
    let load = |part| weights::load_as(&bare, info(Method::Mae), part, &Device::Cpu);
    assert!(load(Part::Encoder).is_ok());
    assert!(matches!(load(Part::Whole), Err(ModelError::Missing { .. })));
    // Random weights from the same seed give the same encoder.
    let random =
        VitFeatures::random(&info(Method::Mae).model, Seed(1), &Device::Cpu).expect("random");
    let values = |f: &VitFeatures| -> Vec<f32> {
        let values = f.features(&images).expect("features").values;
        values.flatten_all().and_then(|v| v.to_vec1()).expect("f32")
    };
    assert_eq!(values(&whole), values(&random));
}

#[test]
fn errors_name_the_problem() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("weights.safetensors");
    let good = info(Method::CropMae);
    write(&path, &good);
    let load = |path: &Path| weights::load(path, Part::Whole, &Device::Cpu).map(drop);
    let load_as = |info: WeightsInfo| {
        let loaded = weights::load_as(&path, info, Part::Whole, &Device::Cpu);
        loaded.expect_err("another architecture").to_string()
    };

    // The file is truncated in the length, in the header and in the data.
    let bytes = std::fs::read(&path).expect("bytes");
    for len in [0, 4, 100, bytes.len() / 2, bytes.len() - 1] {
        let cut = folder.path().join("cut.safetensors");
        std::fs::write(&cut, &bytes[..len]).expect("write");
        let error = load(&cut).expect_err("cut short");
        assert!(
            matches!(error, ModelError::Damaged { .. }),
            "{len}: {error}"
        );
        assert!(error.to_string().contains("cut.safetensors"), "{error}");
    }
    let absent = load(&folder.path().join("absent")).expect_err("absent");
    assert!(matches!(absent, ModelError::Io { .. }), "{absent}");

    let mut wider = good.clone();
    wider.model.embed_dim = 24;
    let error = load_as(wider);
    assert!(error.contains("blocks.0.attn.proj.bias"), "{error}");
    assert!(error.contains("found shape [16], expected [24]"), "{error}");
    let mut deeper = good.clone();
    deeper.model.depth = 2;
    let error = load_as(deeper);
    assert!(
        error.contains("blocks.1.attn.proj.bias is missing (and 11 more)"),
        "{error}"
    );
    let mut shallower = good.clone();
    shallower.model.decoder_depth = 0;
    let error = load_as(shallower);
    assert!(
        error.contains("is unknown to the model (and 17 more)"),
        "{error}"
    );
    let mut impossible = good.clone();
    impossible.model.num_heads = 3;
    assert!(load_as(impossible).contains("model.embed_dim = 16"));

    // Files of other programs.
    let mut tensors = contents(&path);
    let foreign = folder.path().join("foreign.safetensors");
    candle_core::safetensors::save(&tensors, &foreign).expect("save");
    let error = load(&foreign).expect_err("no metadata");
    assert!(matches!(error, ModelError::Metadata { .. }), "{error}");
    let half = tensors["norm.bias"].to_dtype(DType::F16).expect("f16");
    tensors.insert("norm.bias".to_owned(), half);
    candle_core::safetensors::save(&tensors, &foreign).expect("save");
    let loaded = weights::load_as(&foreign, good.clone(), Part::Whole, &Device::Cpu);
    let error = loaded.expect_err("half precision").to_string();
    assert!(
        error.contains("norm.bias: found F16, expected F32"),
        "{error}"
    );

    // A model that does not match the metadata is not written.
    let mae = init_parameters(&good.model, Method::Mae, Seed(1), &Device::Cpu).expect("init");
    let other = folder.path().join("other.safetensors");
    assert!(matches!(
        weights::save(&other, &good, &mae),
        Err(ModelError::Missing { .. })
    ));
    assert!(!other.exists());
}

#[test]
fn flipped_bits_are_detected() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("weights.safetensors");
    write(&path, &info(Method::Mae));
    let good = std::fs::read(&path).expect("bytes");
    let header = 8 + usize::from_le_bytes(good[..8].try_into().expect("length"));
    // Check every byte at the start and take prime strides through the rest.
    let places = (0..400).chain((400..header).step_by(11));
    for place in places.chain((header..good.len()).step_by(4099)) {
        let mut bytes = good.clone();
        bytes[place] ^= 1 << (place % 8);
        std::fs::write(&path, &bytes).expect("write");
        // A flipped bit may change the model in the metadata, but the weights must not load.
        let loaded = weights::load(&path, Part::Encoder, &Device::Cpu);
        assert!(
            loaded.is_err(),
            "the flipped bit in byte {place} was not detected"
        );
    }
    std::fs::write(&path, &good).expect("write");
    assert!(weights::load(&path, Part::Whole, &Device::Cpu).is_ok());
}

#[test]
fn a_failed_save_leaves_existing_files_unchanged() {
    let folder = tempfile::tempdir().expect("folder");
    // There is a folder at the path of the file, so the rename fails after everything was written.
    let path = folder.path().join("weights.safetensors");
    std::fs::create_dir(&path).expect("folder");
    let info = info(Method::Mae);
    let vars = init_parameters(&info.model, Method::Mae, Seed(1), &Device::Cpu).expect("init");
    let error = weights::save(&path, &info, &vars).expect_err("a folder is in the way");
    assert!(matches!(error, ModelError::Io { .. }), "{error}");
    let left = std::fs::read_dir(folder.path()).expect("folder").count();
    assert_eq!(left, 1, "nothing but the folder");
}
