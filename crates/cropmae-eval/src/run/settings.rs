//! Validates the settings of a run.

use cropmae_config::{FrameSize, Protocol};

use crate::error::EvalError;
use crate::require::require_all;

/// Validates `settings`, which must be usable together, and returns the first of them.
///
/// # Errors
/// Returns [`EvalError::Protocol`] with the first invalid value.
pub(super) fn validate(settings: &[Protocol]) -> Result<&Protocol, EvalError> {
    let features = |p: &Protocol| (p.frame_size, p.feature_block, p.l2_normalize);
    match settings {
        [first, others @ ..] if others.iter().all(|it| features(it) == features(first)) => {
            settings.iter().try_for_each(validate_one)?;
            Ok(first)
        }
        _ => Err(EvalError::Protocol {
            field: "settings",
            found: settings.len().to_string(),
            expected: "at least one, all with the same frame_size, feature_block and l2_normalize",
        }),
    }
}

fn validate_one(protocol: &Protocol) -> Result<(), EvalError> {
    let sides = match protocol.frame_size {
        FrameSize::Exact { height, width } => height.min(width),
        FrameSize::LongerSide(side) => side,
    };
    let positive = |value: f64| value.is_finite() && value > 0.0;
    let sources = protocol.context_frames + protocol.long_term_frames.len();
    require_all([
        ("frame_size", sides.to_string(), sides > 0, "sides above 0"),
        (
            "top_k",
            protocol.top_k.to_string(),
            protocol.top_k > 0,
            "at least 1",
        ),
        (
            "radius",
            protocol.radius.to_string(),
            positive(protocol.radius),
            "above 0",
        ),
        (
            "temperature",
            protocol.temperature.to_string(),
            positive(protocol.temperature),
            "above 0",
        ),
        (
            "context_frames",
            "0 without long-term frames".into(),
            sources > 0,
            "at least one source frame",
        ),
        (
            "feature_block",
            "0".into(),
            protocol.feature_block != Some(0),
            "a block, from 1",
        ),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_protocols_are_refused() {
        let validate = |protocol: &Protocol| super::validate(std::slice::from_ref(protocol)).err();
        assert!(validate(&Protocol::davis()).is_none());
        let mut protocol = Protocol::vip();
        protocol.temperature = 0.0;
        let error = validate(&protocol).unwrap().to_string();
        assert_eq!(error, "temperature = 0: expected above 0");
        let protocol = Protocol {
            context_frames: 0,
            long_term_frames: vec![],
            ..Protocol::vip()
        };
        assert!(validate(&protocol).is_some());
    }

    #[test]
    fn settings_of_a_sweep_share_features() {
        let (davis, mut other) = (Protocol::davis(), Protocol::davis());
        other.radius = 3.0;
        assert!(validate(&[davis.clone(), other.clone()]).is_ok());
        other.l2_normalize = false;
        assert!(validate(&[davis, other]).is_err());
        assert!(validate(&[]).is_err());
    }
}
