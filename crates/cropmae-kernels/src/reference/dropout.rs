//! Dropout with the hash of [`crate::Dropout`], computed on the device.
//!
//! candle has no bit operations and no products modulo 2^32. Therefore a word of the hash is stored as two halves of 16
//! bits in tensors of u32, in which nothing overflows. Shifts are divisions, and the exclusive or of two bytes is in a
//! table. Only the two words of each row (8 bytes per row) and the table (256 KiB) are uploaded. All values per element
//! are computed on the device.

use candle_core::{D, Device, Result, Tensor};

use crate::args::{Dropout, MIX};

/// Drops elements of `x`, whose rows are those of its last dimension.
pub(crate) fn dropout(x: &Tensor, dropped: Dropout) -> Result<Tensor> {
    let cols = x.dim(D::Minus1)?;
    let mask = mask((x.elem_count() / cols, cols), dropped, x.device())?;
    let scale = f64::from(dropped.scale());
    let mask = (mask.to_dtype(x.dtype())? * scale)?;
    x * mask.reshape(x.shape())?
}

/// Applies [`dropout`], if any.
pub(super) fn maybe_dropout(x: &Tensor, dropped: Option<Dropout>) -> Result<Tensor> {
    match dropped {
        Some(dropped) => dropout(x, dropped),
        None => Ok(x.clone()),
    }
}

/// Returns the mask (`rows`, `cols`), which is 1 for kept elements and 0 for dropped elements.
fn mask((rows, cols): (usize, usize), dropped: Dropout, device: &Device) -> Result<Tensor> {
    let words: Vec<u32> = (0..rows).flat_map(|row| dropped.row_words(row)).collect();
    let words = Tensor::from_vec(words, (rows, 2), device)?;
    let [first, second] = [words.narrow(1, 0, 1)?, words.narrow(1, 1, 1)?];
    let bits = Bits::new(device)?;
    let columns = bits.halves(&Tensor::arange(0u32, cols as u32, device)?.reshape((1, cols))?)?;
    let h = bits.xor_words(&columns, &bits.halves(&first)?)?;
    let h = bits.multiply(&bits.xor_shifted_16(h)?, MIX[0])?;
    let h = bits.add(&bits.xor_shifted_15(&h)?, &bits.halves(&second)?)?;
    let h = bits.xor_shifted_16(bits.multiply(&h, MIX[1])?)?;
    let h = (h.high.affine(65_536.0, 0.0)? + h.low)?;
    h.broadcast_ge(&bits.constant(dropped.threshold())?)
}

/// Words of 32 bits, as halves below 2^16 in tensors of u32.
struct Halves {
    high: Tensor,
    low: Tensor,
}

/// The arithmetic of words on a device.
struct Bits<'a> {
    device: &'a Device,
    /// The exclusive or of a and b at 256 a + b.
    xor_table: Tensor,
}

impl<'a> Bits<'a> {
    fn new(device: &'a Device) -> Result<Self> {
        let table: Vec<u32> = (0..65_536).map(|i| (i >> 8) ^ (i & 0xff)).collect();
        Ok(Self {
            device,
            xor_table: Tensor::from_vec(table, 65_536, device)?,
        })
    }

    fn constant(&self, value: u32) -> Result<Tensor> {
        Tensor::full(value, (1, 1), self.device)
    }

    /// Returns `x` >> `bits`.
    fn shifted(&self, x: &Tensor, bits: u32) -> Result<Tensor> {
        x.broadcast_div(&self.constant(1 << bits)?)
    }

    /// Returns `x` >> `bits`, and the lowest `bits` bits of `x`.
    fn split(&self, x: &Tensor, bits: u32) -> Result<(Tensor, Tensor)> {
        let high = self.shifted(x, bits)?;
        let low = (x - high.affine(f64::from(1u32 << bits), 0.0)?)?;
        Ok((high, low))
    }

    /// Returns `x` modulo 2^16.
    fn low(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.split(x, 16)?.1)
    }

    /// Returns the halves of `x`.
    fn halves(&self, x: &Tensor) -> Result<Halves> {
        let (high, low) = self.split(x, 16)?;
        Ok(Halves { high, low })
    }

    /// Returns the exclusive or of values below 2^16, with shapes that can be broadcast.
    fn xor(&self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        let ((a_high, a_low), (b_high, b_low)) = (self.split(a, 8)?, self.split(b, 8)?);
        let bytes = |a: Tensor, b: &Tensor| {
            let index = a.affine(256.0, 0.0)?.broadcast_add(b)?;
            let found = self.xor_table.index_select(&index.flatten_all()?, 0)?;
            found.reshape(index.shape())
        };
        bytes(a_high, &b_high)?.affine(256.0, 0.0)? + bytes(a_low, &b_low)?
    }

    fn xor_words(&self, a: &Halves, b: &Halves) -> Result<Halves> {
        Ok(Halves {
            high: self.xor(&a.high, &b.high)?,
            low: self.xor(&a.low, &b.low)?,
        })
    }

    /// Returns `x` ^ (`x` >> 16).
    fn xor_shifted_16(&self, x: Halves) -> Result<Halves> {
        let low = self.xor(&x.low, &x.high)?;
        Ok(Halves { low, ..x })
    }

    /// Returns `x` ^ (`x` >> 15).
    fn xor_shifted_15(&self, x: &Halves) -> Result<Halves> {
        let (top, rest) = self.split(&x.high, 15)?;
        let low = (rest.affine(2.0, 0.0)? + self.shifted(&x.low, 15)?)?;
        let shifted = Halves { high: top, low };
        self.xor_words(x, &shifted)
    }

    /// Returns `a` + `b` modulo 2^32.
    fn add(&self, a: &Halves, b: &Halves) -> Result<Halves> {
        let (carry, low) = self.split(&a.low.broadcast_add(&b.low)?, 16)?;
        let high = self.low(&(a.high.broadcast_add(&b.high)? + carry)?)?;
        Ok(Halves { high, low })
    }

    /// Returns `x` times `factor` modulo 2^32.
    fn multiply(&self, x: &Halves, factor: u32) -> Result<Halves> {
        let times = |half: &Tensor, factor: u32| half.affine(f64::from(factor), 0.0);
        let (factor_high, factor_low) = (factor >> 16, factor & 0xffff);
        // Products of halves are below 2^32. Only the lower halves of the upper products are needed.
        let (carry, low) = self.split(&times(&x.low, factor_low)?, 16)?;
        let cross = [times(&x.low, factor_high)?, times(&x.high, factor_low)?];
        let high = ((self.low(&cross[0])? + self.low(&cross[1])?)? + carry)?;
        let high = self.low(&high)?;
        Ok(Halves { high, low })
    }
}
