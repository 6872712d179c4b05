//! The label-propagation protocol: the numbers that decide an evaluation.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

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
    /// Grid distance from which on recent frames' cells are excluded; frame 0 is not restricted.
    pub radius: f64,
    /// Affinities are divided by this before the softmax.
    pub temperature: f64,
    /// Recent frames used as sources beside frame 0.
    pub context_frames: usize,
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
        }
    }
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
}
