//! Group c of the fixtures: names, shapes and counts of the full-size architectures, and one draw of the
//! reference's initialization.

use std::collections::BTreeMap;
use std::path::Path;

use crate::common::{json, listed, values};
use candle_core::Device;
use cropmae_config::{Method, ModelConfig, Seed};
use cropmae_model::parameters::{is_fixed, layout};
use cropmae_model::{init_parameters, named_parameters};

#[test]
fn golden_parameter_names_shapes_and_counts() {
    let files = crate::common::all("c_vit/params.json");
    assert!(!files.is_empty(), "one is committed");
    files.iter().for_each(|path| architectures(path));
}

fn architectures(path: &Path) {
    let file = json(path);
    let mut compared = 0;
    for (title, entry) in file.as_object().expect("object") {
        let Some((arch, variant)) = title.split_once('/') else {
            continue;
        };
        // `vits` has patches of 16 x 16 pixels. Other sizes are part of the name, as in `vits8`.
        let named = arch.ends_with(|last: char| last.is_ascii_digit());
        let preset = if named {
            arch.to_owned()
        } else {
            format!("{arch}16")
        };
        let config = match variant {
            "training_script_defaults" => ModelConfig::preset(&preset),
            "factory_defaults" => ModelConfig::factory_preset(&preset),
            other => panic!("unknown variant {other}"),
        }
        .expect("preset");
        for method in [Method::CropMae, Method::SiamMae] {
            let ours: BTreeMap<String, (Vec<usize>, bool)> = layout(method, &config)
                .expect("layout")
                .into_iter()
                .map(|(name, parameter)| {
                    let trainable = !is_fixed(&name);
                    (name, (parameter.shape, trainable))
                })
                .collect();
            assert_eq!(ours, listed(&entry["parameters"]), "{title}");
            let count = |wanted: fn(bool) -> bool| -> usize {
                ours.values()
                    .filter(|(_, trainable)| wanted(*trainable))
                    .map(|(shape, _)| shape.iter().product::<usize>())
                    .sum()
            };
            assert_eq!(
                entry["total"].as_u64(),
                Some(count(|_| true) as u64),
                "{title}"
            );
            assert_eq!(
                entry["trainable"].as_u64(),
                Some(count(|t| t) as u64),
                "{title}"
            );
        }
        compared += 1;
    }
    assert!(compared > 0, "{}", path.display());
}

#[test]
fn golden_initialization() {
    let mut compared = 0;
    for root in crate::common::roots_of("c_vit") {
        for entry in std::fs::read_dir(root.join("c_vit")).expect("c_vit") {
            let path = entry.expect("entry").path();
            let stem = path.file_stem().expect("stem").to_string_lossy();
            if let Some(arch) = stem.strip_prefix("init_stats_") {
                initial_statistics(&path, arch);
                compared += 1;
            }
        }
    }
    assert!(compared > 0, "one is committed");
}

fn initial_statistics(path: &Path, arch: &str) {
    let stats = json(path);
    let stats = stats.as_object().expect("object");
    let config = ModelConfig::preset(arch).expect("preset");
    let vars = init_parameters(&config, Method::CropMae, Seed(3), &Device::Cpu).expect("init");
    let vars = vars.data().lock().expect("lock");
    assert_eq!(vars.len(), stats.len());
    for (name, stat) in stats {
        let drawn = values(vars[name].as_tensor());
        let n = drawn.len() as f64;
        let mean = drawn.iter().sum::<f64>() / n;
        let std = (drawn.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
        let number = |key: &str| stat[key].as_f64().expect("number");
        let rule = stat["rule"].as_str().expect("rule");
        let all = |wanted: f64| drawn.iter().all(|&v| v == wanted);
        match rule {
            _ if rule.starts_with("ones") => assert!(all(1.0), "{name}"),
            "zeros" => assert!(all(0.0), "{name}"),
            "fixed sin-cos" => {
                for (key, found) in [("mean", mean), ("std", std)] {
                    let error = (found - number(key)).abs();
                    assert!(
                        error < 1e-4,
                        "{name}: {key} {found}, expected {}",
                        number(key)
                    );
                }
            }
            _ if rule.starts_with("normal") => {
                // n is a few hundred, so the limits are five standard errors of each statistic.
                assert!(mean.abs() < 5.0 * 0.02 / n.sqrt(), "{name}: mean {mean}");
                assert!(
                    (std - 0.02).abs() < 5.0 * 0.02 / (2.0 * n).sqrt(),
                    "{name}: std {std}"
                );
            }
            _ => {
                let bound = number("bound");
                // The rounding of the bound to f32 adds at most one unit in the last place.
                let largest = crate::common::max_abs(&drawn);
                assert!(
                    largest <= bound * (1.0 + 1e-7),
                    "{name}: {largest} > {bound}"
                );
                let expected = bound / 3f64.sqrt();
                assert!(
                    (std / expected - 1.0).abs() < 0.1,
                    "{name}: std {std}, expected {expected}"
                );
                assert!(
                    mean.abs() < 5.0 * expected / n.sqrt(),
                    "{name}: mean {mean}"
                );
            }
        }
    }
}

#[test]
fn smaller_patches_change_only_what_depends_on_them() {
    let of = |arch: &str| {
        layout(Method::CropMae, &ModelConfig::preset(arch).expect("preset")).expect("layout")
    };
    let (large, small) = (of("vits16"), of("vits8"));
    assert!(large.keys().eq(small.keys()));
    let differing: BTreeMap<&str, &[usize]> = small
        .iter()
        .filter(|(name, parameter)| parameter.shape != large[*name].shape)
        .map(|(name, parameter)| (name.as_str(), &*parameter.shape))
        .collect();
    let expected: [(&str, &[usize]); 5] = [
        ("decoder_pos_embed", &[1, 785, 256]),
        ("decoder_pred.bias", &[192]),
        ("decoder_pred.weight", &[192, 256]),
        ("patch_embed.proj.weight", &[384, 3, 8, 8]),
        ("pos_embed", &[1, 785, 384]),
    ];
    assert_eq!(differing, BTreeMap::from(expected));
}

#[test]
fn initialization_depends_only_on_name_and_seed() {
    let config = ModelConfig {
        depth: 1,
        decoder_depth: 1,
        ..ModelConfig::preset("vits16").expect("preset")
    };
    let draw = |method, seed| {
        let vars = init_parameters(&config, method, Seed(seed), &Device::Cpu).expect("init");
        named_parameters(&vars)
            .into_iter()
            .map(|(name, var)| (name, values(var.as_tensor())))
            .collect::<BTreeMap<_, _>>()
    };
    let (crop, mae, other) = (
        draw(Method::CropMae, 1),
        draw(Method::Mae, 1),
        draw(Method::CropMae, 2),
    );
    let shared: Vec<_> = crop.keys().filter(|name| mae.contains_key(*name)).collect();
    assert!(shared.iter().any(|name| name.starts_with("blocks.0.attn")));
    for name in shared {
        assert_eq!(crop[name], mae[name], "{name}");
    }
    assert_ne!(crop["cls_token"], other["cls_token"]);
    // No two tensors are the same draw up to scale.
    let mut prefixes = BTreeMap::new();
    for (name, values) in &crop {
        if values.iter().any(|v| *v != values[0]) {
            let prefix: Vec<i64> = values[1..8]
                .iter()
                .map(|v| (v / values[0] * 1e3).round() as i64)
                .collect();
            let twin = prefixes.insert(prefix, name);
            assert_eq!(twin, None, "{name} starts like it");
        }
    }
    assert!(prefixes.len() > 10);
}

#[test]
fn initialization_is_pinned() {
    // A change of these values changes the results of every seed.
    let config = ModelConfig::preset("vits16").expect("preset");
    let vars = init_parameters(&config, Method::CropMae, Seed(0), &Device::Cpu).expect("init");
    let vars = vars.data().lock().expect("lock");
    let first = |name: &str| values(vars[name].as_tensor())[0] as f32;
    assert_eq!(
        [first("cls_token"), first("blocks.3.mlp.fc1.weight")],
        [-0.000_607_013_76, -0.035_735_13]
    );
}

#[test]
fn mae_has_the_names_of_its_reference() {
    let layout = layout(
        Method::Mae,
        &ModelConfig::factory_preset("vitb16").expect("preset"),
    )
    .expect("layout");
    for (name, shape) in [
        ("decoder_blocks.7.norm1.weight", vec![512]),
        ("decoder_blocks.7.attn.qkv.weight", vec![3 * 512, 512]),
        ("decoder_blocks.7.attn.proj.bias", vec![512]),
        ("decoder_blocks.7.mlp.fc1.weight", vec![4 * 512, 512]),
        ("decoder_pred.weight", vec![768, 512]),
    ] {
        assert_eq!(layout[name].shape, shape, "{name}");
    }
}
