//! Colours of mask ids.

/// Colours (r, g, b) of the 256 ids of a mask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Palette(pub [[u8; 3]; 256]);

/// Ids that have a colour of their own in the DAVIS palette, background included.
const COLOURED: usize = 22;

impl Palette {
    /// The palette of DAVIS-2017's annotations: 22 colours (bits of the id spread over the channels, most
    /// significant first, with 191 where both upper bits are set), then greys.
    pub fn davis() -> Self {
        Self(std::array::from_fn(|id| {
            if id >= COLOURED {
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

    /// Greys: the colour of id v is (v, v, v).
    pub fn grey() -> Self {
        Self(std::array::from_fn(|id| [id as u8; 3]))
    }

    /// A palette of 3 bytes a colour, as a PNG stores it; ids beyond its end are black.
    pub(crate) fn from_png(bytes: &[u8]) -> Self {
        let mut colours = [[0; 3]; 256];
        for (colour, bytes) in colours.iter_mut().zip(bytes.as_chunks::<3>().0) {
            *colour = *bytes;
        }
        Self(colours)
    }

    /// The lowest id of a colour. (128, 128, 128) is both 7 and 128 in the DAVIS palette: it means 7.
    pub fn id(&self, colour: [u8; 3]) -> Option<u8> {
        (0..=255u8).find(|&id| self.0[usize::from(id)] == colour)
    }

    /// 768 bytes, as a PNG stores it.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.concat()
    }
}
