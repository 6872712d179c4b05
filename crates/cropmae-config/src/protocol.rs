//! The label-propagation protocol: the settings that determine an evaluation.

use std::{collections::BTreeMap, fmt, path::Path, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, de::Error};

use crate::{ConfigError, load};

/// The size at which the encoder sees frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FrameSize {
    /// Exactly this height and width, in pixels.
    Exact {
        /// The height in pixels.
        height: usize,
        /// The width in pixels.
        width: usize,
    },
    /// The longer side in pixels. The other side is scaled by the same factor and rounded down to a multiple of 64.
    LongerSide(usize),
}

impl FrameSize {
    /// Returns the height and width in pixels at which the encoder sees a frame of `height` x `width` pixels.
    ///
    /// ```
    /// use cropmae_config::FrameSize;
    /// assert_eq!(FrameSize::LongerSide(880).resolve(480, 854), (448, 880));
    /// ```
    pub fn resolve(self, height: usize, width: usize) -> (usize, usize) {
        match self {
            Self::Exact { height, width } => (height, width),
            Self::LongerSide(longer) => {
                let floored = |side: usize, other: usize| side * longer / other / 64 * 64;
                if width > height {
                    (floored(height, width), longer)
                } else {
                    (longer, floored(width, height))
                }
            }
        }
    }
}

/// Parses `HEIGHTxWIDTH`, or one number for the longer side.
impl FromStr for FrameSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let side = |text: &str| match text.parse() {
            Ok(pixels) if pixels > 0 => Ok(pixels),
            _ => Err(
                "expected HEIGHTxWIDTH or one number for the longer side, in pixels, \
                      for example 480x880 or 880"
                    .to_owned(),
            ),
        };
        match text.split_once('x') {
            Some((height, width)) => Ok(Self::Exact {
                height: side(height)?,
                width: side(width)?,
            }),
            None => Ok(Self::LongerSide(side(text)?)),
        }
    }
}

impl fmt::Display for FrameSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact { height, width } => write!(f, "{height}x{width}"),
            Self::LongerSide(side) => write!(f, "{side}"),
        }
    }
}

/// The settings of one label-propagation task. [`Protocol::davis`], [`Protocol::vip`] and [`Protocol::jhmdb`] are those
/// of the reference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Protocol {
    /// The size of the encoder's input.
    pub frame_size: FrameSize,
    /// The number of sources whose labels are averaged for a cell.
    pub top_k: usize,
    /// The distance in cells from which cells of recent frames are excluded. Long-term frames have no such limit.
    pub radius: f64,
    /// The divisor of affinities before the softmax.
    pub temperature: f64,
    /// The number of recent frames that are sources.
    pub context_frames: usize,
    /// The frames that are sources for the whole video, without a radius, numbered as in the reference. 0 means
    /// frame 0. A number n > 0 means frame n + 1, which is a source from frame n + 1 + `context_frames` on. Before
    /// that, frame 0 takes its place.
    pub long_term_frames: Vec<usize>,
    /// The number of the block, counted from 1, whose output gives the features, or `None` for the last. The output
    /// goes through the final norm.
    pub feature_block: Option<usize>,
    /// Whether features are scaled to unit length, which makes affinities cosines.
    #[serde(alias = "l2_normalise")]
    pub l2_normalize: bool,
    /// Whether the soft labels of a prediction are stretched to 0..1 in every cell before they become masks.
    #[serde(alias = "normalise_labels")]
    pub normalize_labels: bool,
}

impl Protocol {
    /// Returns the settings for the semi-supervised task of DAVIS-2017.
    pub fn davis() -> Self {
        Self {
            frame_size: FrameSize::Exact {
                height: 480,
                width: 880,
            },
            ..Self::jhmdb()
        }
    }

    /// Returns the settings for the propagation of parts in VIP.
    pub fn vip() -> Self {
        Self {
            frame_size: FrameSize::LongerSide(880),
            top_k: 10,
            ..Self::jhmdb()
        }
    }

    /// Returns the settings for the propagation of key points in JHMDB.
    pub fn jhmdb() -> Self {
        Self {
            frame_size: FrameSize::Exact {
                height: 320,
                width: 320,
            },
            top_k: 7,
            radius: 20.0,
            temperature: 0.7,
            context_frames: 20,
            long_term_frames: vec![0],
            feature_block: None,
            l2_normalize: true,
            normalize_labels: false,
        }
    }
}

/// Changes to a [`Protocol`] from a command line or a section of a [`ProtocolFile`].
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProtocolChanges {
    /// See [`Protocol::frame_size`]. In a file, it is a string such as `"480x880"`, or a number for the longer side.
    #[serde(deserialize_with = "frame_size")]
    pub frame_size: Option<FrameSize>,
    /// See [`Protocol::top_k`].
    pub top_k: Option<usize>,
    /// See [`Protocol::radius`].
    pub radius: Option<f64>,
    /// See [`Protocol::temperature`].
    pub temperature: Option<f64>,
    /// See [`Protocol::context_frames`].
    pub context_frames: Option<usize>,
    /// See [`Protocol::long_term_frames`].
    pub long_term_frames: Option<Vec<usize>>,
    /// See [`Protocol::feature_block`].
    pub feature_block: Option<usize>,
    /// See [`Protocol::l2_normalize`].
    #[serde(alias = "l2_normalise")]
    pub l2_normalize: Option<bool>,
    /// See [`Protocol::normalize_labels`].
    #[serde(alias = "normalise_labels")]
    pub normalize_labels: Option<bool>,
}

impl ProtocolChanges {
    /// Returns `protocol` with these changes.
    #[must_use]
    pub fn apply(&self, protocol: Protocol) -> Protocol {
        Protocol {
            frame_size: self.frame_size.unwrap_or(protocol.frame_size),
            top_k: self.top_k.unwrap_or(protocol.top_k),
            radius: self.radius.unwrap_or(protocol.radius),
            temperature: self.temperature.unwrap_or(protocol.temperature),
            context_frames: self.context_frames.unwrap_or(protocol.context_frames),
            long_term_frames: self
                .long_term_frames
                .clone()
                .unwrap_or(protocol.long_term_frames),
            feature_block: self.feature_block.or(protocol.feature_block),
            l2_normalize: self.l2_normalize.unwrap_or(protocol.l2_normalize),
            normalize_labels: self.normalize_labels.unwrap_or(protocol.normalize_labels),
        }
    }
}

/// Protocol changes in a TOML file: a section `[all]` for every benchmark, and a section for each benchmark under its
/// name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProtocolFile {
    sections: BTreeMap<String, ProtocolChanges>,
}

impl ProtocolFile {
    /// The name of the section that applies to every benchmark.
    const ALL: &str = "all";

    /// Reads the file at `path`, which may have the section `[all]` and sections for `benchmarks`.
    ///
    /// # Errors
    /// Returns [`ConfigError`], which names the file and the key, if the file cannot be read, is not valid or has a
    /// section of another name.
    pub fn load(path: &Path, benchmarks: &[&str]) -> Result<Self, ConfigError> {
        let (table, origin) = (load::table(path)?, path.display().to_string());
        let known = || [Self::ALL].into_iter().chain(benchmarks.iter().copied());
        if let Some(field) = table.keys().find(|key| known().all(|name| name != *key)) {
            let known: Vec<String> = known().map(|name| format!("`{name}`")).collect();
            let known = known.join(", ");
            return Err(ConfigError::Field {
                origin,
                field: field.clone(),
                message: format!("unknown field `{field}`, expected one of {known}"),
            });
        }
        Ok(Self {
            sections: load::deserialize(table, &origin)?,
        })
    }

    /// Returns `protocol` with the changes for all benchmarks, and then with those for `benchmark`.
    #[must_use]
    pub fn apply(&self, benchmark: &str, protocol: Protocol) -> Protocol {
        let sections = [Self::ALL, benchmark].map(|name| self.sections.get(name));
        let changes = sections.into_iter().flatten();
        changes.fold(protocol, |protocol, changes| changes.apply(protocol))
    }
}

fn frame_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<FrameSize>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Size {
        Side(usize),
        Text(String),
    }
    let text = match Size::deserialize(deserializer)? {
        Size::Side(side) => side.to_string(),
        Size::Text(text) => text,
    };
    text.parse().map(Some).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_they_are_shown() {
        for text in ["480x880", "880"] {
            assert_eq!(text.parse::<FrameSize>().unwrap().to_string(), text);
        }
        for text in ["", "0x880", "480x", "big"] {
            assert!(text.parse::<FrameSize>().is_err(), "{text}");
        }
    }

    /// Reports and files of earlier versions spell them in British English.
    #[test]
    fn earlier_spellings_are_read() {
        let written = serde_json::to_string(&Protocol::davis()).unwrap();
        let earlier = written.replace("malize", "malise");
        assert_ne!(written, earlier);
        assert_eq!(
            serde_json::from_str::<Protocol>(&earlier).unwrap(),
            Protocol::davis()
        );
    }

    #[test]
    fn a_file_changes_what_it_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("protocol.toml");
        let write = |text: &str| std::fs::write(&path, text).unwrap();
        write("[all]\nradius = 12\n[davis]\nframe_size = \"240x440\"\n[vip]\nframe_size = 440\n");
        let load = || ProtocolFile::load(&path, &["davis", "vip"]);
        let file = load().unwrap();
        let davis = file.apply("davis", Protocol::davis());
        assert_eq!((davis.radius, davis.top_k), (12.0, 7));
        let (height, width) = (240, 440);
        assert_eq!(davis.frame_size, FrameSize::Exact { height, width });
        let vip = file.apply("vip", Protocol::vip());
        assert_eq!((vip.radius, vip.top_k), (12.0, 10));
        assert_eq!(vip.frame_size, FrameSize::LongerSide(440));
        assert_eq!(file.apply("other", Protocol::vip()).radius, 12.0);
        for (text, expected) in [
            ("[davis]\ntopk = 3", "unknown field `topk`"),
            (
                "[davis]\nframe_size = \"big\"",
                "davis.frame_size: expected HEIGHTxWIDTH",
            ),
            (
                "radius = 3",
                "unknown field `radius`, expected one of `all`, `davis`, `vip`",
            ),
            ("[jhmdb]\nradius = 3", "unknown field `jhmdb`"),
            ("[davis", "protocol.toml, line 1"),
        ] {
            write(text);
            let message = load().unwrap_err().to_string();
            assert!(message.contains(expected), "{text}: {message}");
            assert!(!message.contains('\n'), "{message}");
        }
    }
}
