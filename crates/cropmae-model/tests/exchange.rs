//! Exports in the layouts of other libraries and imports of them, and imports of damaged files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::Device;
use cropmae_config::{Method, ModelConfig, Seed};
use cropmae_model::weights::{self, Format, ImportOptions, Imported, Weights, WeightsInfo};
use cropmae_model::{ModelError, init_parameters};

fn model() -> ModelConfig {
    ModelConfig {
        image_size: 16,
        patch_size: 8,
        embed_dim: 8,
        depth: 2,
        num_heads: 2,
        mlp_ratio: 4.0,
        layer_norm_eps: 1e-6,
        decoder_embed_dim: 8,
        decoder_depth: 1,
        decoder_num_heads: 2,
        decoder_dropout: 0.1,
    }
}

fn options() -> ImportOptions {
    ImportOptions {
        num_heads: Some(2),
        decoder_num_heads: Some(2),
        ..ImportOptions::default()
    }
}

fn import(path: &Path) -> Result<Imported, ModelError> {
    weights::import(path, &options(), &Device::Cpu)
}

/// Writes random weights of `method` to a file of this program in `folder`.
fn ours(folder: &Path, method: Method) -> PathBuf {
    let info = WeightsInfo {
        method: Some(method),
        model: model(),
        provenance: BTreeMap::new(),
    };
    let path = folder.join("ours.safetensors");
    let vars = init_parameters(&info.model, method, Seed(1), &Device::Cpu).expect("init");
    weights::save(&path, &info, &vars).expect("save");
    path
}

/// Returns the shapes and bits of all tensors.
fn bits(weights: &Weights) -> BTreeMap<String, (Vec<usize>, Vec<u32>)> {
    let of = |tensor: &candle_core::Tensor| {
        let values: Vec<f32> = tensor
            .flatten_all()
            .and_then(|it| it.to_vec1())
            .expect("f32 values");
        let bits = values.into_iter().map(f32::to_bits).collect();
        (tensor.dims().to_vec(), bits)
    };
    let tensors = weights.tensors().iter();
    tensors.map(|(name, it)| (name.clone(), of(it))).collect()
}

#[test]
fn weights_round_trip_to_the_bit() {
    for method in [Method::CropMae, Method::Mae] {
        let folder = tempfile::tempdir().expect("folder");
        let whole = import(&ours(folder.path(), method)).expect("ours").weights;
        let encoder = whole.clone().into_encoder();
        for (format, name, expected) in [
            (Format::Cropmae, "a.safetensors", &whole),
            (Format::Cropmae, "a.pth", &whole),
            (Format::Timm, "b.safetensors", &encoder),
            (Format::Timm, "b.pth", &encoder),
            (Format::HuggingFace, "c", &encoder),
        ] {
            let out = folder.path().join(name);
            weights::export(&whole, format, &out).expect(name);
            let back = import(&out).expect(name);
            assert_eq!(bits(&back.weights), bits(expected), "{method:?} {name}");
            assert_eq!(back.report.left_over, Vec::<String>::new(), "{name}");
            let again = folder.path().join(format!("{name}-again.safetensors"));
            back.weights.save(&again).expect("save");
            let again = import(&again).expect("again");
            assert_eq!(bits(&again.weights), bits(expected), "{method:?} {name}");
        }
    }
}

#[test]
fn existing_files_are_not_overwritten() {
    let folder = tempfile::tempdir().expect("folder");
    let weights = import(&ours(folder.path(), Method::CropMae))
        .expect("ours")
        .weights;
    let out = folder.path().join("there.pth");
    std::fs::write(&out, "mine").expect("write");
    let error = weights::export(&weights, Format::Timm, &out).expect_err("exists");
    assert!(matches!(error, ModelError::Exists { .. }), "{error}");
    assert_eq!(std::fs::read(&out).expect("read"), b"mine");
}

#[test]
fn damaged_pytorch_checkpoints_are_refused_or_read_correctly() {
    let folder = tempfile::tempdir().expect("folder");
    let weights = import(&ours(folder.path(), Method::CropMae))
        .expect("ours")
        .weights;
    let intact = folder.path().join("intact.pth");
    weights::export(&weights, Format::Timm, &intact).expect("export");
    let bytes = std::fs::read(&intact).expect("read");
    let expected = bits(&weights.into_encoder());
    let damaged = folder.path().join("damaged.pth");
    let mut refused = 0;
    let mut try_it = |bytes: &[u8], what: String| {
        std::fs::write(&damaged, bytes).expect("write");
        match import(&damaged) {
            // The checksums of the archive do not cover padding and time stamps.
            Ok(found) => assert_eq!(bits(&found.weights), expected, "{what}"),
            Err(error) => {
                refused += 1;
                assert!(!error.to_string().contains('\n'), "{what}: {error}");
            }
        }
    };
    // A step without a common factor with the alignment of entries reaches every kind of byte.
    for cut in (0..bytes.len()).step_by(211) {
        try_it(&bytes[..cut], format!("cut at {cut}"));
    }
    for (count, at) in (0..bytes.len()).step_by(37).enumerate() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (count % 8);
        try_it(&flipped, format!("flipped at {at}"));
    }
    assert!(refused > bytes.len() / 211, "{refused}");
}

#[test]
fn checkpoints_from_before_the_zip_format_say_how_to_convert_them() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("old.pth");
    let start = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.";
    std::fs::write(&path, start).expect("write");
    let error = import(&path).expect_err("legacy").to_string();
    assert!(error.contains("torch.save(torch.load("), "{error}");
}

#[test]
fn options_cannot_contradict_files_of_this_program() {
    let folder = tempfile::tempdir().expect("folder");
    let path = ours(folder.path(), Method::CropMae);
    for wrong in [
        ImportOptions {
            arch: Some("vitb16".to_owned()),
            ..options()
        },
        ImportOptions {
            arch: Some("vitx".to_owned()),
            ..options()
        },
        ImportOptions {
            num_heads: Some(4),
            ..options()
        },
        ImportOptions {
            decoder_num_heads: Some(4),
            ..options()
        },
        ImportOptions {
            layer_norm_eps: Some(1e-5),
            ..options()
        },
        ImportOptions {
            method: Some(Method::SiamMae),
            ..options()
        },
        ImportOptions {
            key: Some("student".to_owned()),
            ..options()
        },
    ] {
        let found = weights::import(&path, &wrong, &Device::Cpu);
        assert!(
            matches!(found, Err(ModelError::Foreign { .. })),
            "{wrong:?}"
        );
    }
    let right = ImportOptions {
        method: Some(Method::CropMae),
        layer_norm_eps: Some(1e-6),
        ..options()
    };
    weights::import(&path, &right, &Device::Cpu).expect("what the file says");
}

#[test]
fn files_in_shards_give_the_same_weights() {
    let folder = tempfile::tempdir().expect("folder");
    let weights = import(&ours(folder.path(), Method::CropMae))
        .expect("ours")
        .weights;
    let whole = folder.path().join("whole");
    weights::export(&weights, Format::HuggingFace, &whole).expect("export");
    let tensors = candle_core::safetensors::load(whole.join("model.safetensors"), &Device::Cpu)
        .expect("load");
    let parts = folder.path().join("parts");
    std::fs::create_dir(&parts).expect("folder");
    std::fs::copy(whole.join("config.json"), parts.join("config.json")).expect("copy");
    let mut names: Vec<&String> = tensors.keys().collect();
    names.sort();
    let mut weight_map = BTreeMap::new();
    for (i, names) in names.chunks(names.len().div_ceil(3)).enumerate() {
        let file = format!("model-{i}.safetensors");
        let part = names
            .iter()
            .map(|&name| (name.clone(), tensors[name].clone()))
            .collect();
        candle_core::safetensors::save(&part, parts.join(&file)).expect("save");
        weight_map.extend(names.iter().map(|&name| (name.clone(), file.clone())));
    }
    let index = serde_json::json!({ "weight_map": weight_map });
    std::fs::write(
        parts.join("model.safetensors.index.json"),
        index.to_string(),
    )
    .expect("write");
    let back = import(&parts).expect("parts").weights;
    assert_eq!(bits(&back), bits(&weights.into_encoder()));

    std::fs::remove_file(parts.join("model-1.safetensors")).expect("remove");
    let error = import(&parts).expect_err("a part is missing").to_string();
    assert!(error.contains("model-1.safetensors"), "{error}");
}

#[test]
fn long_headers_are_refused_before_they_are_read() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("long.safetensors");
    let header = 17u64 << 20;
    let mut bytes = header.to_le_bytes().to_vec();
    bytes.push(b'{');
    bytes.resize(8 + header as usize, b' ');
    std::fs::write(&path, bytes).expect("write");
    let error = import(&path).expect_err("too long").to_string();
    assert!(error.contains("expected at most"), "{error}");
}
