//! The names of a vision transformer's tensors in other libraries, in both directions.
//!
//! timm, the reference, MAE, DINO and DINOv2 use the names of this program. Hugging Face's transformers has other names
//! and splits the packed projection of query, key and value into three.

/// A naming scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// `blocks.0.attn.qkv.weight`
    Timm,
    /// `encoder.layer.0.attention.attention.query.weight`
    HuggingFace,
}

/// The role of a file's tensor in the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Role {
    /// The model's tensor with this name.
    Whole(String),
    /// The first, second or last third (0, 1 or 2) of the rows of the model's tensor with this name.
    Third(String, usize),
    /// The factors for the outputs of the model's linear layer with this name (LayerScale).
    Scale(String),
}

/// Names inside a block: in transformers, in the model, and the third of a packed projection. Files use the older
/// names, which come first. Models of transformers 5 in memory use the newer ones.
const BLOCK: [(&str, &str, Option<usize>); 16] = [
    ("attention.attention.query", "attn.qkv", Some(0)),
    ("attention.attention.key", "attn.qkv", Some(1)),
    ("attention.attention.value", "attn.qkv", Some(2)),
    ("attention.output.dense", "attn.proj", None),
    ("intermediate.dense", "mlp.fc1", None),
    ("output.dense", "mlp.fc2", None),
    ("layernorm_before", "norm1", None),
    ("layernorm_after", "norm2", None),
    ("attention.q_proj", "attn.qkv", Some(0)),
    ("attention.k_proj", "attn.qkv", Some(1)),
    ("attention.v_proj", "attn.qkv", Some(2)),
    ("attention.o_proj", "attn.proj", None),
    ("mlp.fc1", "mlp.fc1", None),
    ("mlp.fc2", "mlp.fc2", None),
    // DINOv2
    ("norm1", "norm1", None),
    ("norm2", "norm2", None),
];

/// Names outside the blocks: in transformers and in the model.
const OUTSIDE: [(&str, &str); 6] = [
    ("embeddings.cls_token", "cls_token"),
    ("embeddings.position_embeddings", "pos_embed"),
    (
        "embeddings.patch_embeddings.projection.weight",
        "patch_embed.proj.weight",
    ),
    (
        "embeddings.patch_embeddings.projection.bias",
        "patch_embed.proj.bias",
    ),
    ("layernorm.weight", "norm.weight"),
    ("layernorm.bias", "norm.bias"),
];

/// The factors of LayerScale and the layers that they scale, in both schemes.
const SCALES: [(&str, &str); 4] = [
    ("ls1.gamma", "attn.proj"),
    ("ls2.gamma", "mlp.fc2"),
    ("layer_scale1.lambda1", "attn.proj"),
    ("layer_scale2.lambda1", "mlp.fc2"),
];

impl Layout {
    /// Returns the name of the patch embedding's weight, which every file in this scheme holds.
    pub fn anchor(self) -> &'static str {
        match self {
            Self::Timm => "patch_embed.proj.weight",
            Self::HuggingFace => "embeddings.patch_embeddings.projection.weight",
        }
    }

    /// Returns the common name of the scheme.
    pub fn name(self) -> &'static str {
        match self {
            Self::Timm => "timm",
            Self::HuggingFace => "Hugging Face",
        }
    }

    /// Returns the role of the file's tensor `name`, or `None` if it is not part of the model.
    pub fn role(self, name: &str) -> Option<Role> {
        match self {
            Self::Timm => match scale(name, "blocks.") {
                Some(role) => Some(role),
                None => Some(Role::Whole(name.to_owned())),
            },
            Self::HuggingFace => {
                if let Some((_, ours)) = OUTSIDE.iter().find(|(theirs, _)| *theirs == name) {
                    return Some(Role::Whole((*ours).to_owned()));
                }
                let stem = ["encoder.layer.", "layers."]
                    .into_iter()
                    .find(|stem| name.starts_with(stem))?;
                if let Some(role) = scale(name, stem) {
                    return Some(role);
                }
                let (index, rest) = name.strip_prefix(stem)?.split_once('.')?;
                let (layer, kind) = rest.rsplit_once('.')?;
                let (_, ours, third) = BLOCK.iter().find(|(theirs, ..)| *theirs == layer)?;
                let ours = format!("blocks.{index}.{ours}.{kind}");
                Some(match third {
                    Some(third) => Role::Third(ours, *third),
                    None => Role::Whole(ours),
                })
            }
        }
    }

    /// Returns the names in this scheme of the model's tensor `name`: one, or three for a packed projection.
    pub fn names(self, name: &str) -> Vec<String> {
        if self == Self::Timm {
            return vec![name.to_owned()];
        }
        if let Some((theirs, _)) = OUTSIDE.iter().find(|(_, ours)| *ours == name) {
            return vec![(*theirs).to_owned()];
        }
        let parts = name
            .strip_prefix("blocks.")
            .and_then(|rest| rest.split_once('.'))
            .and_then(|(index, rest)| Some((index, rest.rsplit_once('.')?)));
        let Some((index, (layer, kind))) = parts else {
            return Vec::new();
        };
        // The first eight rows are the names in files.
        BLOCK[..8]
            .iter()
            .filter(|(_, ours, _)| *ours == layer)
            .map(|(theirs, ..)| format!("encoder.layer.{index}.{theirs}.{kind}"))
            .collect()
    }
}

fn scale(name: &str, stem: &str) -> Option<Role> {
    let (index, rest) = name.strip_prefix(stem)?.split_once('.')?;
    let (_, layer) = SCALES.iter().find(|(theirs, _)| *theirs == rest)?;
    Some(Role::Scale(format!("blocks.{index}.{layer}")))
}

#[cfg(test)]
mod tests {
    use cropmae_config::ModelConfig;

    use super::*;
    use crate::parameters::encoder_layout;

    #[test]
    fn names_round_trip() {
        let config = ModelConfig {
            depth: 11,
            ..ModelConfig::preset("vits16").unwrap()
        };
        for layout in [Layout::Timm, Layout::HuggingFace] {
            for name in encoder_layout(&config).unwrap().keys() {
                let theirs = layout.names(name);
                let packed = layout == Layout::HuggingFace && name.contains(".qkv.");
                assert_eq!(theirs.len(), if packed { 3 } else { 1 }, "{name}");
                for (third, theirs) in theirs.iter().enumerate() {
                    let expected = if packed {
                        Role::Third(name.clone(), third)
                    } else {
                        Role::Whole(name.clone())
                    };
                    assert_eq!(layout.role(theirs), Some(expected), "{theirs}");
                }
            }
        }
    }

    #[test]
    fn scales_know_their_layers() {
        for (layout, name, layer) in [
            (Layout::Timm, "blocks.3.ls2.gamma", "blocks.3.mlp.fc2"),
            (
                Layout::HuggingFace,
                "encoder.layer.0.layer_scale1.lambda1",
                "blocks.0.attn.proj",
            ),
        ] {
            assert_eq!(layout.role(name), Some(Role::Scale(layer.to_owned())));
        }
        assert_eq!(Layout::HuggingFace.role("pooler.dense.weight"), None);
    }
}
