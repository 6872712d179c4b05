//! Groups c and d of the fixtures: sin-cos position embeddings, their interpolation, and the features of
//! images whose size is not that of training.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use crate::common::{
    assert_close, config_of_weights, initial_weights, json, model_meta, roots_of, tensor_files,
    tensors,
};
use candle_core::{Device, Tensor};
use cropmae_config::Method;
use cropmae_model::weights::{self, Part, WeightsInfo};
use cropmae_model::{FeatureExtractor, VitFeatures, pos_embed};

#[test]
fn golden_sin_cos() {
    // The committed model was saved with its embeddings. The full set adds those of ViT-S/16.
    let holds_both = |names: &[String]| {
        ["pos_embed", "decoder_pos_embed"]
            .iter()
            .all(|key| names.iter().any(|name| name == key))
    };
    let folders = ["a_model", "c_vit"].into_iter().flat_map(|group| {
        roots_of(group)
            .into_iter()
            .map(move |root| root.join(group))
    });
    let files: Vec<_> = folders
        .flat_map(|folder| tensor_files(&folder, holds_both))
        .collect();
    assert!(!files.is_empty());
    for path in files {
        let (file, stored) = (path.display(), tensors(&path));
        for name in ["pos_embed", "decoder_pos_embed"] {
            let expected = &stored[name];
            let (_, tokens, dim) = expected.dims3().expect("(1, 1 + N, D)");
            let ours =
                pos_embed::sin_cos(dim, (tokens - 1).isqrt(), &Device::Cpu).expect("sin_cos");
            assert_close(&format!("{file}: {name}"), &ours, expected, 1e-6, 0.0);
        }
    }
}

#[test]
fn golden_interpolation() {
    crate::common::all("d_posembed/interp.safetensors")
        .iter()
        .for_each(|path| interpolations(path));
}

fn interpolations(path: &Path) {
    let meta = json(&path.with_file_name("meta.json"));
    let stored = tensors(path);
    let mut compared = 0;
    for (name, expected) in &stored {
        if name.starts_with("pos_embed") {
            continue;
        }
        let (case, every) = match name.split_once("/every_7th_token") {
            Some((case, _)) => (case, 7),
            None => (name.as_str(), 1),
        };
        let entry = &meta[case];
        let int = |key: &str| entry[key].as_u64().expect(key) as usize;
        let source = &stored[entry["source"].as_str().expect("source")];
        let ours =
            pos_embed::interpolate(source, (int("grid_h"), int("grid_w"))).expect("interpolate");
        assert_eq!(
            ours.dim(1).expect("tokens"),
            1 + int("grid_h") * int("grid_w")
        );
        let rows: Vec<u32> = (0..ours.dim(1).expect("tokens") as u32)
            .step_by(every)
            .collect();
        let rows = Tensor::new(rows, &Device::Cpu).expect("rows");
        let ours = ours
            .squeeze(0)
            .and_then(|x| x.index_select(&rows, 0))
            .expect("rows");
        let (atol, identity) = (5e-5, entry["identity"].as_bool().expect("identity"));
        assert_close(
            name,
            &ours,
            expected,
            if identity { 0.0 } else { atol },
            0.0,
        );
        compared += 1;
    }
    assert!(compared > 0);
}

#[test]
fn golden_features() {
    for root in roots_of("d_posembed") {
        let meta = model_meta(&root, "d_posembed");
        let file = initial_weights(&root, "d_posembed");
        let info = WeightsInfo {
            method: Some(Method::CropMae),
            model: config_of_weights(&file, &meta),
            provenance: BTreeMap::new(),
        };
        let encoder = weights::load_as(&file, info, Part::Encoder, &Device::Cpu)
            .and_then(|weights| weights.encoder(&Device::Cpu))
            .expect("encoder");
        let stored = tensors(&root.join("d_posembed/features.safetensors"));
        let features = VitFeatures::new("tiny", encoder.clone());
        let mut compared = 0;
        for (name, images) in &stored {
            let Some(case) = name.strip_suffix("/input") else {
                continue;
            };
            let found = features.features(images).expect("features");
            let of = |key: &str| &stored[&format!("{case}/{key}")];
            let pos = pos_embed::interpolate(encoder.pos_embed(), found.grid).expect("pos");
            assert_close(
                &format!("{case}/pos_embed"),
                &pos,
                of("pos_embed_used"),
                5e-5,
                0.0,
            );
            let tokens = of("tokens");
            let expected = tokens.narrow(1, 1, tokens.dim(1).expect("tokens") - 1);
            assert_close(case, &found.values, &expected.expect("patches"), 2e-5, 1e-4);
            normalized(case, &found.values, found.grid, &stored);
            compared += 1;
        }
        assert!(compared > 0, "{}", root.display());
    }
}

/// Compares features that are L2-normalized as in the evaluator, in the reference's layout [C, B, h, w].
fn normalized(
    case: &str,
    values: &Tensor,
    (h, w): (usize, usize),
    stored: &HashMap<String, Tensor>,
) {
    let (batch, _, dim) = values.dims3().expect("(B, h·w, C)");
    let norm = values
        .sqr()
        .and_then(|x| x.sum_keepdim(2))
        .and_then(|x| x.sqrt());
    let unit = values.broadcast_div(&norm.expect("norm")).expect("unit");
    let maps = unit
        .reshape((batch, h, w, dim))
        .and_then(|x| x.permute((3, 0, 1, 2)))
        .and_then(|x| x.contiguous())
        .expect("maps");
    assert_close(
        &format!("{case}/feats_l2norm"),
        &maps,
        &stored[&format!("{case}/feats_l2norm")],
        2e-5,
        1e-4,
    );
}
