//! What people wear, and the names of its parts.
//!
//! Part ids are VIP's (Zhou et al., "Adaptive Temporal Encoding Network for Video Instance-level Human
//! Parsing", ACM MM 2018), which are CIHP's.

use glam::Vec3;
use rand::Rng;

use crate::color::{ColorScheme, oklch};
use crate::texture::Texture;

/// VIP's part ids. Paired parts are the left one; the right follows it.
pub(crate) mod part {
    pub const HAT: u8 = 1;
    pub const HAIR: u8 = 2;
    pub const GLOVE: u8 = 3;
    pub const SUNGLASSES: u8 = 4;
    pub const UPPER_CLOTHES: u8 = 5;
    pub const DRESS: u8 = 6;
    pub const COAT: u8 = 7;
    pub const SOCKS: u8 = 8;
    pub const PANTS: u8 = 9;
    pub const TORSO_SKIN: u8 = 10;
    pub const SCARF: u8 = 11;
    pub const SKIRT: u8 = 12;
    pub const FACE: u8 = 13;
    pub const ARM: u8 = 14;
    pub const LEG: u8 = 16;
    pub const SHOE: u8 = 18;
}

/// What covers the legs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bottom {
    Trousers,
    Shorts,
    /// A skirt or the lower half of a dress, under this id.
    Flared(u8),
}

/// What a person wears.
#[derive(Debug, Clone)]
pub(crate) struct Wardrobe {
    /// Id of the garment on the torso.
    pub top: u8,
    /// Length of the sleeves in bones of the arm: 1 reaches the elbow, 2 the wrist.
    pub sleeves: f32,
    pub bottom: Bottom,
    pub hat: bool,
    pub long_hair: bool,
    pub sunglasses: bool,
    pub gloves: bool,
    pub scarf: bool,
    pub socks: bool,
    pub skin: Texture,
    pub hair: Texture,
    pub top_cloth: Texture,
    pub bottom_cloth: Texture,
    pub shoes: Texture,
    pub extra: Texture,
    pub dark: Texture,
}

impl Wardrobe {
    /// Random clothes, hair and skin.
    pub fn draw(rng: &mut impl Rng) -> Self {
        let cloth = |rng: &mut _, period| {
            let palette = ColorScheme::draw(rng);
            if Rng::random_bool(rng, 0.3) {
                Texture::plain(rng, palette.colors[1])
            } else {
                Texture::draw(rng, &palette, period)
            }
        };
        let top = [
            part::UPPER_CLOTHES,
            part::UPPER_CLOTHES,
            part::DRESS,
            part::COAT,
        ][rng.random_range(0..4)];
        let bottom = match (top, rng.random_range(0..5)) {
            (part::DRESS, _) => Bottom::Flared(part::DRESS),
            (_, 0) => Bottom::Flared(part::SKIRT),
            (_, 1) => Bottom::Shorts,
            _ => Bottom::Trousers,
        };
        let tone = rng.random_range(0.38..0.86);
        let hair = oklch(
            rng.random_range(0.15..0.75),
            rng.random_range(0.0..0.1),
            1.1,
        );
        let period = rng.random_range(0.03..0.09);
        let top_cloth = cloth(rng, period);
        let bottom_cloth = match bottom {
            Bottom::Flared(part::DRESS) => top_cloth.clone(),
            _ => {
                let period = rng.random_range(0.03..0.08);
                cloth(rng, period)
            }
        };
        Self {
            top,
            sleeves: if top == part::COAT {
                2.0
            } else {
                [0.0, 0.55, 1.0, 2.0][rng.random_range(0..4)]
            },
            bottom,
            hat: rng.random_bool(0.35),
            long_hair: rng.random_bool(0.4),
            sunglasses: rng.random_bool(0.3),
            gloves: rng.random_bool(0.2),
            scarf: rng.random_bool(0.2),
            socks: rng.random_bool(0.6),
            skin: Texture::plain(rng, oklch(tone, 0.055, 0.95)),
            hair: Texture::plain(rng, hair),
            top_cloth,
            bottom_cloth,
            shoes: cloth(rng, 0.1),
            extra: cloth(rng, 0.04),
            dark: Texture::plain(rng, Vec3::splat(0.02)),
        }
    }
}
