//! What people in videos do.

/// What the person does; names are JHMDB's classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Walk,
    Wave,
    Jump,
    Run,
    Pick,
    KickBall,
}

impl Action {
    pub const ALL: [Self; 6] = [
        Self::Walk,
        Self::Wave,
        Self::Jump,
        Self::Run,
        Self::Pick,
        Self::KickBall,
    ];

    /// One action after the other, so that a few videos show as many of them as they can.
    pub fn of_video(index: usize) -> Self {
        Self::ALL[index % Self::ALL.len()]
    }

    /// The folder of its clips.
    pub fn class(self) -> &'static str {
        match self {
            Self::Walk => "walk",
            Self::Wave => "wave",
            Self::Jump => "jump",
            Self::Run => "run",
            Self::Pick => "pick",
            Self::KickBall => "kick_ball",
        }
    }

    /// Whether the person is seen from the side.
    pub fn in_profile(self) -> bool {
        !matches!(self, Self::Wave | Self::Jump)
    }
}
