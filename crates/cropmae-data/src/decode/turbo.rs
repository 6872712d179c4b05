//! JPEGs through libjpeg-turbo.

use std::cell::RefCell;

use cropmae_turbo::{Header, Turbo};
use image::RgbImage;

use crate::boxes::CropBox;

/// A JPEG whose header is read and whose pixels are not.
pub(super) struct Photo<'a> {
    bytes: &'a [u8],
    header: Header,
}

thread_local! {
    static TURBO: RefCell<Option<(Turbo, Vec<u8>)>> = RefCell::new(new());
}

fn new() -> Option<(Turbo, Vec<u8>)> {
    Some((Turbo::new()?, Vec::new()))
}

/// Calls `work` with this thread's decompressor and its buffer.
fn with_turbo<T>(
    work: impl FnOnce(&mut Turbo, &mut Vec<u8>) -> Result<T, String>,
) -> Result<T, String> {
    TURBO.with_borrow_mut(|turbo| match turbo {
        Some((turbo, room)) => work(turbo, room),
        None => Err("no memory for libjpeg-turbo".to_owned()),
    })
}

impl<'a> Photo<'a> {
    /// Reads the header of `bytes`; nothing where libjpeg-turbo does not cover the file's colours.
    pub(super) fn open(bytes: &'a [u8]) -> Result<Option<Self>, String> {
        let header = with_turbo(|turbo, _| turbo.header(bytes))?;
        Ok(header.is_rgb_or_grey.then_some(Self { bytes, header }))
    }

    /// Width and height in pixels, as stored.
    pub(super) fn dimensions(&self) -> (u32, u32) {
        (self.header.width as u32, self.header.height as u32)
    }

    /// Decodes the pixels inside `area`, which must lie inside the picture.
    pub(super) fn region(&self, area: CropBox) -> Result<RgbImage, String> {
        let columns = area.left as usize..(area.left + area.width) as usize;
        let rows = area.top as usize..(area.top + area.height) as usize;
        let mut out = RgbImage::new(area.width, area.height);
        with_turbo(|turbo, room| {
            turbo.decode(self.bytes, self.header, columns, rows, &mut out, room)
        })?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use cropmae_config::Decoder;

    use super::*;
    use crate::decode::tests::{PLAIN, regions_equal_the_whole};
    use crate::decode::{Options, decode};
    use crate::fixtures::photos;

    const TURBO: Options = Options {
        decoder: Decoder::Turbo,
        ..PLAIN
    };
    const AUTO: Options = Options {
        decoder: Decoder::Auto,
        ..PLAIN
    };

    #[test]
    fn regions_of_photos_equal_those_of_our_own_decoder() {
        for (seed, (name, bytes)) in (0..).zip(photos()) {
            assert!(decode(&bytes, TURBO).unwrap() == decode(&bytes, PLAIN).unwrap());
            regions_equal_the_whole(&name, &bytes, TURBO, seed);
        }
    }

    #[test]
    fn golden_files_of_every_kind_equal_pillow() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/data/jpeg");
        let mut covered = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if !name.ends_with(".jpg") || name.starts_with("exif") {
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            let opened = Photo::open(&bytes).unwrap();
            assert_eq!(opened.is_some(), name != "cmyk.jpg", "{name}");
            if opened.is_some() {
                covered += 1;
                let expected = image::open(path.with_extension("png")).unwrap().into_rgb8();
                for options in [TURBO, AUTO] {
                    assert!(decode(&bytes, options).unwrap() == expected, "{name}");
                }
                regions_equal_the_whole(&name, &bytes, TURBO, 5);
                let cut = [&bytes[..bytes.len() - 20], &[0xff, 0xd9]].concat();
                assert!(decode(&cut, TURBO).is_err(), "{name}");
            }
        }
        assert_eq!(covered, 13);
    }
}
