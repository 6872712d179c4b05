//! VIP, propagation of human parts (Zhou et al., ACM MM 2018).
//!
//! Layout of the official download: `lists/val_videos.txt`, `Images/<video>/000000000001.jpg`,
//! `Annotations/Category_ids/<video>/000000000001.png` with part ids 0 to 19 as grey levels or palette
//! indices, 255 where a later frame is not annotated. Every frame counts, frame 0 included.

use crate::benchmarks::masks::{MaskLayout, MaskVideo};
use crate::catalogue::SequenceFiles;
use crate::error::EvalError;
use crate::files::stem;
use crate::labels::{LabelMap, Mask};
use crate::metrics::{Confusion, VIP_CLASSES};
use crate::observer::Observer;
use crate::protocol::Run;
use crate::scores::VipVideo;

/// The layout of the official download.
pub const LAYOUT: MaskLayout = MaskLayout {
    list: "lists/val_videos.txt",
    frames: "Images",
    masks: "Annotations/Category_ids",
    digits: 12,
    first: 1,
    called: [
        "VIP's list of val videos, one per line",
        "VIP's part annotations, a folder of PNGs of ids for each video",
        "the part annotations of the video",
    ],
};

/// The video's scores under each setting.
pub(crate) fn evaluate(
    run: &Run<'_>,
    files: SequenceFiles,
    name: &str,
    observer: &mut dyn Observer,
) -> Result<Vec<(VipVideo, Confusion)>, EvalError> {
    let needed = (2, "there is nothing to propagate to");
    let video = MaskVideo::open(run, name, files, needed, Mask::read)?;
    let unknown = |id: &&u8| usize::from(**id) >= VIP_CLASSES;
    let label_error = |index: usize, found, expected| EvalError::LabelId {
        path: video.files.annotations[index].clone(),
        found,
        expected,
    };
    if let Some(&found) = video.classes.ids.iter().find(unknown) {
        let expected = "part ids 0 to 19 in frame 0, which is propagated";
        return Err(label_error(0, found, expected));
    }
    let mut scores = vec![Confusion::default(); run.settings.len()];
    let mut gt = None;
    // Pillow's convention on the way back: the reference's evaluation resizes the mask it reads.
    let restore = |hard: LabelMap, size| hard.resize_pillow(size);
    video.follow(run, observer, restore, |index, setting, prediction| {
        if let Some(out) = run.predictions() {
            let file = format!("{}_mask.png", stem(&video.files.annotations[index]));
            prediction.write_gray(&out.join("masks").join(name).join(file))?;
        }
        if setting == 0 {
            gt = Some(video.mask(index)?);
        }
        let gt: &[u8] = gt.as_ref().map_or(&[], |gt| &gt.ids);
        scores[setting]
            .add(gt, &prediction.ids)
            .map_err(|found| label_error(0, found, "part ids 0 to 19"))
    })?;
    let frames = video.files.frames.len();
    let scores = scores.into_iter().map(|confusion| {
        let video = VipVideo {
            name: name.into(),
            frames,
            mean_iou: confusion.mean_iou(),
        };
        (video, confusion)
    });
    Ok(scores.collect())
}
