//! The colors of mask ids: the official palette of DAVIS, and gray levels.
//!
//! Masks of DAVIS are PNGs whose pixels are indices of a palette. All code that reads or writes such masks uses the
//! palette in this module.

/// The colors (r, g, b) of the 256 ids of a mask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Palette(pub [[u8; 3]; 256]);

/// The number of ids with their own color in the DAVIS palette, including the background.
const COLORED: usize = 22;

impl Palette {
    /// Returns the palette of DAVIS-2017's annotations, which has 22 colors and then grays.
    ///
    /// The bits of the id, from the lowest, go to red, green and blue in turn. The first bit of a channel has the value
    /// 128 and the second 64. Both bits together give 191, but 192 in the palette of PASCAL VOC, so the palettes differ
    /// from id 9 on.
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

    /// Returns the gray palette, in which the color of id v is (v, v, v).
    pub fn gray() -> Self {
        Self(std::array::from_fn(|id| [id as u8; 3]))
    }

    /// Creates a palette from that of a PNG, with 3 bytes per color. Ids beyond its end are black.
    pub fn from_png(bytes: &[u8]) -> Self {
        let mut colors = [[0; 3]; 256];
        for (color, bytes) in colors.iter_mut().zip(bytes.as_chunks::<3>().0) {
            *color = *bytes;
        }
        Self(colors)
    }

    /// Returns the lowest id with a color. For (128, 128, 128), which is 7 and 128 in the DAVIS palette, it is 7.
    pub fn id(&self, color: [u8; 3]) -> Option<u8> {
        (0..=255u8).find(|&id| self.0[usize::from(id)] == color)
    }

    /// Returns the palette for a PNG: 768 bytes, 3 per color.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.concat()
    }
}
