//! The colors of mask ids: DAVIS's official palette, and gray levels.
//!
//! Masks of DAVIS are PNGs whose pixels are indices of a palette. Whoever writes such masks and whoever reads them must
//! mean the same colors, so there is one palette, and it is here.

/// Colors (r, g, b) of the 256 ids of a mask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Palette(pub [[u8; 3]; 256]);

/// Ids that have a color of their own in the DAVIS palette, background included.
const COLORED: usize = 22;

impl Palette {
    /// The palette of DAVIS-2017's annotations: 22 colors, then grays.
    ///
    /// A color is made of the id's bits, dealt out to red, green and blue, the lowest first: the first bit of a channel
    /// is worth 128, the second 64. Both together are 191, where PASCAL VOC's palette has 192: the two differ from id 9
    /// on.
    pub fn davis() -> Self {
        Self(std::array::from_fn(|id| {
            if id >= COLORED {
                return [id as u8; 3];
            }
            std::array::from_fn(
                |channel| match (id >> channel & 1, id >> (channel + 3) & 1) {
                    (0, 0) => 0,
                    (0, _) => 64,
                    (_, 0) => 128,
                    (_, _) => 191,
                },
            )
        }))
    }

    /// Grays: the color of id v is (v, v, v).
    pub fn gray() -> Self {
        Self(std::array::from_fn(|id| [id as u8; 3]))
    }

    /// A palette as a PNG stores it, in 3 bytes per color. Ids beyond its end are black.
    pub fn from_png(bytes: &[u8]) -> Self {
        let mut colors = [[0; 3]; 256];
        for (color, bytes) in colors.iter_mut().zip(bytes.as_chunks::<3>().0) {
            *color = *bytes;
        }
        Self(colors)
    }

    /// The lowest id of a color. (128, 128, 128) is both 7 and 128 in the DAVIS palette: it means 7.
    pub fn id(&self, color: [u8; 3]) -> Option<u8> {
        (0..=255u8).find(|&id| self.0[usize::from(id)] == color)
    }

    /// The palette as a PNG stores it: 768 bytes, 3 per color.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.concat()
    }
}
