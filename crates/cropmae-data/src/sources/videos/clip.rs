//! Decodes the frames of one video file by number.

use std::path::{Path, PathBuf};
use std::sync::Once;

use ffmpeg::format::{self, Pixel};
use ffmpeg::media::Type;
use ffmpeg::software::scaling;
use ffmpeg::{Packet, codec, decoder, frame};
use ffmpeg_next as ffmpeg;
use image::RgbImage;

/// The number of consecutive packets that may fail to be read before the file is taken to have ended.
const FAILED_READS: usize = 16;

/// A video file whose frames are numbered.
#[derive(Debug)]
pub(super) struct Clip {
    path: PathBuf,
    /// The timestamps of all frames, ascending. The number of a frame is its index here.
    times: Vec<i64>,
    /// For every key packet, in the order of the file, the number of packets before it and its timestamp.
    keys: Vec<(usize, i64)>,
}

impl Clip {
    /// Numbers the frames of the file at `path`. There is at least one. The error is the reason in words.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let (mut input, stream) = open(path)?;
        let mut this = Self {
            path: path.to_owned(),
            times: Vec::new(),
            keys: Vec::new(),
        };
        let mut packets = 0;
        for_each_packet(&mut input, stream, |packet| {
            if let Some(time) = packet.pts().or(packet.dts()) {
                this.times.push(time);
                if packet.is_key() {
                    this.keys.push((packets, time));
                }
            }
            packets += 1;
            Ok(true)
        })?;
        this.times.sort_unstable();
        this.times.dedup();
        if this.times.is_empty() {
            return Err("no frames".to_owned());
        }
        if this.keys.is_empty() {
            return Err("no key frame".to_owned());
        }
        Ok(this)
    }

    /// Returns the number of frames.
    pub(super) fn frames(&self) -> usize {
        self.times.len()
    }

    /// Decodes the frames with these numbers, which must be ascending and different, in one pass.
    ///
    /// A frame that the decoder leaves out is replaced by the next one that it returns, or by the last one.
    pub(super) fn decode(&self, numbers: &[usize]) -> Result<Vec<RgbImage>, String> {
        let (mut input, stream) = open(&self.path)?;
        let parameters = input
            .stream(stream)
            .ok_or("the video stream has disappeared")?
            .parameters();
        let decoder = codec::context::Context::from_parameters(parameters)
            .and_then(|context| context.decoder().video())
            .map_err(|error| format!("no decoder for its codec: {error}"))?;
        let mut wanted = Wanted {
            times: numbers.iter().map(|&number| self.times[number]).collect(),
            decoder,
            images: Vec::new(),
            last: None,
        };
        // The next packet to decode. Packets before it belong to groups of pictures that are not needed.
        let mut from = self.entry_before(wanted.next_time());
        let mut place = 0;
        for_each_packet(&mut input, stream, |packet| {
            let here = place;
            place += 1;
            if here < from {
                return Ok(true);
            }
            // A damaged packet costs only its own frames.
            let _ = wanted.decoder.send_packet(packet);
            wanted.receive()?;
            if wanted.is_complete() {
                return Ok(false);
            }
            let entry = self.entry_before(wanted.next_time());
            if entry > place {
                wanted.skip()?;
                from = entry;
            }
            Ok(true)
        })?;
        wanted.finish()
    }

    /// Returns the number of packets before the last key packet whose time is not after `time`.
    ///
    /// Decoding from there gives the frame of that time even if frames are stored out of order.
    fn entry_before(&self, time: i64) -> usize {
        let entry = self.keys.iter().rev().find(|(_, key)| *key <= time);
        entry.map_or(self.keys[0].0, |(packets, _)| *packets)
    }
}

/// Opens the file and finds its video stream.
fn open(path: &Path) -> Result<(format::context::Input, usize), String> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| ffmpeg::log::set_level(ffmpeg::log::Level::Quiet));
    let input = format::input(path).map_err(|error| format!("cannot open: {error}"))?;
    let stream = input
        .streams()
        .best(Type::Video)
        .map(|stream| stream.index());
    Ok((input, stream.ok_or("no video stream")?))
}

/// Calls `each` with the packets of `stream` until it returns `false` or the file ends.
///
/// A truncated file just ends early.
fn for_each_packet(
    input: &mut format::context::Input,
    stream: usize,
    mut each: impl FnMut(&Packet) -> Result<bool, String>,
) -> Result<(), String> {
    let mut failed = 0;
    while failed < FAILED_READS {
        let mut packet = Packet::empty();
        match packet.read(input) {
            Ok(()) => failed = 0,
            Err(ffmpeg::Error::Eof) => break,
            Err(_) => {
                failed += 1;
                continue;
            }
        }
        if packet.stream() == stream && !each(&packet)? {
            break;
        }
    }
    Ok(())
}

/// The state of decoding the wanted frames.
struct Wanted {
    /// The timestamps of the wanted frames, ascending.
    times: Vec<i64>,
    decoder: decoder::Video,
    /// The frames that are decoded so far.
    images: Vec<RgbImage>,
    /// The newest frame, which is used if no frame follows.
    last: Option<frame::Video>,
}

impl Wanted {
    fn is_complete(&self) -> bool {
        self.images.len() == self.times.len()
    }

    fn next_time(&self) -> i64 {
        self.times
            .get(self.images.len())
            .copied()
            .unwrap_or(i64::MAX)
    }

    /// Takes the frames that the decoder has ready.
    fn receive(&mut self) -> Result<(), String> {
        let mut frame = frame::Video::empty();
        while self.decoder.receive_frame(&mut frame).is_ok() {
            let time = frame.timestamp().unwrap_or(i64::MIN);
            while time >= self.next_time() && !self.is_complete() {
                self.images.push(to_rgb(&frame)?);
            }
            self.last = Some(std::mem::replace(&mut frame, frame::Video::empty()));
        }
        Ok(())
    }

    /// Takes the frames that the decoder still holds, and prepares it for another group of pictures.
    fn skip(&mut self) -> Result<(), String> {
        let _ = self.decoder.send_eof();
        self.receive()?;
        self.decoder.flush();
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<RgbImage>, String> {
        self.skip()?;
        let Some(last) = &self.last else {
            return Err("no frame can be decoded".to_owned());
        };
        while !self.is_complete() {
            self.images.push(to_rgb(last)?);
        }
        Ok(self.images)
    }
}

/// Converts a frame to 8-bit RGB with FFmpeg.
fn to_rgb(frame: &frame::Video) -> Result<RgbImage, String> {
    let (width, height) = (frame.width(), frame.height());
    let failed = |error| format!("cannot convert a frame: {error}");
    let mut scaler = scaling::Context::get(
        frame.format(),
        width,
        height,
        Pixel::RGB24,
        width,
        height,
        scaling::Flags::BILINEAR,
    )
    .map_err(failed)?;
    let mut rgb = frame::Video::empty();
    scaler.run(frame, &mut rgb).map_err(failed)?;
    let row = width as usize * 3;
    let mut image = RgbImage::new(width, height);
    // Rows end in padding.
    let rows = rgb.data(0).chunks(rgb.stride(0));
    for (to, from) in image.chunks_exact_mut(row).zip(rows) {
        to.copy_from_slice(&from[..row]);
    }
    Ok(image)
}
