//! The label-propagation protocol: the numbers that decide an evaluation.

use std::{collections::BTreeMap, fmt, path::Path, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, de::Error};

use crate::{ConfigError, load};

/// Size at which frames go through the encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FrameSize {
    /// Exactly this height and width, in pixels.
    Exact {
        /// Pixels.
        height: usize,
        /// Pixels.
        width: usize,
    },
    /// The longer side becomes this, the other is scaled and floored to a multiple of 64, in pixels.
    LongerSide(usize),
}

impl FrameSize {
    /// Height and width for a frame of `(height, width)`.
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

/// `HEIGHTxWIDTH`, or one number for the longer side.
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

/// Settings of one label-propagation task; [`Protocol::davis`], [`Protocol::vip`] and
/// [`Protocol::jhmdb`] are the reference's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Protocol {
    /// Size of the encoder's input.
    pub frame_size: FrameSize,
    /// Sources whose labels a cell averages.
    pub top_k: usize,
    /// Grid distance from which on recent frames' cells are excluded; long-term frames are not restricted.
    pub radius: f64,
    /// Affinities are divided by this before the softmax.
    pub temperature: f64,
    /// Recent frames used as sources.
    pub context_frames: usize,
    /// Frames that stay sources for the whole video, without a radius, as the reference counts them: 0 is
    /// frame 0; n > 0 is frame n + 1, in use from frame n + 1 + `context_frames` on and replaced by frame 0
    /// before.
    pub long_term_frames: Vec<usize>,
    /// Block whose output gives the features, from 1, passed through the final norm; none: the last.
    pub feature_block: Option<usize>,
    /// Whether features are scaled to unit length, so that affinities are cosines.
    pub l2_normalise: bool,
    /// Whether a prediction's soft labels are stretched to 0..1 in every cell before they become masks.
    pub normalise_labels: bool,
}

impl Protocol {
    /// DAVIS-2017, semi-supervised.
    pub fn davis() -> Self {
        Self {
            frame_size: FrameSize::Exact {
                height: 480,
                width: 880,
            },
            ..Self::jhmdb()
        }
    }

    /// VIP, part propagation.
    pub fn vip() -> Self {
        Self {
            frame_size: FrameSize::LongerSide(880),
            top_k: 10,
            ..Self::jhmdb()
        }
    }

    /// JHMDB, key points.
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
            l2_normalise: true,
            normalise_labels: false,
        }
    }
}

/// Changes to a [`Protocol`]: what a command line or a section of a [`ProtocolFile`] says.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProtocolChanges {
    /// See [`Protocol::frame_size`]; in a file `"480x880"`, or a number for the longer side.
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
    /// See [`Protocol::l2_normalise`].
    pub l2_normalise: Option<bool>,
    /// See [`Protocol::normalise_labels`].
    pub normalise_labels: Option<bool>,
}

impl ProtocolChanges {
    /// `protocol` with these changes.
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
            l2_normalise: self.l2_normalise.unwrap_or(protocol.l2_normalise),
            normalise_labels: self.normalise_labels.unwrap_or(protocol.normalise_labels),
        }
    }
}

/// Protocol changes in a TOML file: a section `[all]` for every benchmark, and one for each under its name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProtocolFile {
    sections: BTreeMap<String, ProtocolChanges>,
}

impl ProtocolFile {
    /// The section that every benchmark obeys.
    const ALL: &str = "all";

    /// Reads a file that may have sections for `benchmarks`.
    ///
    /// # Errors
    /// [`ConfigError`], naming the file and the key, for a section of any other name too.
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

    /// The protocol of a benchmark with the changes to all and then its own.
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
