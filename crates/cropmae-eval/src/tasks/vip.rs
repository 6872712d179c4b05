//! VIP, propagation of human parts (Zhou et al., ACM MM 2018).
//!
//! Layout of the official download: `lists/val_videos.txt`, `Images/<video>/000000000001.jpg`,
//! `Annotations/Category_ids/<video>/000000000001.png` with part ids 0 to 19 as grey levels or palette
//! indices, 255 where a later frame is not annotated. Every frame counts, frame 0 included.

use std::path::{Path, PathBuf};

use crate::catalogue::{Catalogue, SequenceFiles, read_list};
use crate::error::EvalError;
use crate::evaluate::each_sequence;
use crate::frames::{list_files, stem};
use crate::labels::{LabelMap, Mask};
use crate::metrics::{Confusion, VIP_CLASSES};
use crate::observer::Observer;
use crate::output;
use crate::protocol::Run;
use crate::report::Failure;
use crate::scores::{Scores, VipScores, VipVideo};
use crate::tasks::masks::MaskVideo;

/// The official list and its names.
pub(crate) fn list(root: &Path) -> Result<(PathBuf, Vec<String>), EvalError> {
    let list = root.join("lists/val_videos.txt");
    let names = read_list(&list, "VIP's list of val videos, one a line")?;
    let annotations = root.join("Annotations/Category_ids");
    if !annotations.is_dir() {
        return Err(EvalError::Layout {
            path: annotations,
            expected: "VIP's part annotations, one folder of PNGs of ids a video".into(),
        });
    }
    Ok((list, names))
}

/// Files of a video.
pub(crate) fn files(root: &Path, name: &str) -> Result<SequenceFiles, EvalError> {
    let folder = root.join("Images").join(name);
    Ok(SequenceFiles {
        frames: list_files(&folder, &["jpg", "jpeg", "png"], "the frames of the video")?,
        annotations: list_files(
            &root.join("Annotations/Category_ids").join(name),
            &["png"],
            "the part annotations of the video",
        )?,
        folder,
    })
}

pub(crate) fn evaluate(
    run: &Run<'_>,
    catalogue: &Catalogue,
    observer: &mut dyn Observer,
) -> Result<(Vec<Scores>, Vec<Failure>), EvalError> {
    let (videos, failures) = each_sequence(&catalogue.names, observer, |name, observer| {
        evaluate_video(run, catalogue.files(name)?, name, observer)
    })?;
    let scores = run.per_setting(videos);
    let scores = scores.map(|videos| Scores::Vip(VipScores::of(videos)));
    Ok((scores.collect(), failures))
}

/// The video's scores under each setting.
fn evaluate_video(
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
            output::write_grey_png(&out.join("masks").join(name).join(file), prediction)?;
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
