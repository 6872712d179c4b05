//! VIP, propagation of human parts (Zhou et al., ACM MM 2018).
//!
//! Layout of the official download: `lists/val_videos.txt`, `Images/<video>/000000000001.jpg`,
//! `Annotations/Category_ids/<video>/000000000001.png` with part ids 0 to 19 as grey levels or palette
//! indices, 255 where a later frame is not annotated. Every frame counts, frame 0 included.

use std::path::Path;

use crate::error::EvalError;
use crate::evaluate::{each_sequence, read_list, select};
use crate::frames::{list_files, require_pairs, stem};
use crate::labels::{LabelSet, Mask};
use crate::metrics::{Confusion, VIP_CLASSES};
use crate::observer::{FrameDone, Observer, Prediction};
use crate::output;
use crate::protocol::{Run, require_frames};
use crate::report::Failure;
use crate::scores::{Scores, VipScores, VipVideo};

pub(crate) fn evaluate(
    run: &Run<'_>,
    data_dir: &Path,
    observer: &mut dyn Observer,
) -> Result<(Scores, Vec<Failure>), EvalError> {
    let list = data_dir.join("lists/val_videos.txt");
    let listed = read_list(&list, "VIP's list of val videos, one a line")?;
    let annotations = data_dir.join("Annotations/Category_ids");
    if !annotations.is_dir() {
        return Err(EvalError::Layout {
            path: annotations,
            expected: "VIP's part annotations, one folder of PNGs of ids a video".into(),
        });
    }
    let names = select(listed, &list, run.options.sequences.as_deref())?;
    let (videos, failures) = each_sequence(&names, observer, |name, observer| {
        evaluate_video(run, data_dir, name, observer)
    })?;
    Ok((Scores::Vip(VipScores::of(videos)), failures))
}

fn evaluate_video(
    run: &Run<'_>,
    data_dir: &Path,
    name: &str,
    observer: &mut dyn Observer,
) -> Result<(VipVideo, Confusion), EvalError> {
    let folder = data_dir.join("Images").join(name);
    let frames = list_files(&folder, &["jpg", "jpeg", "png"], "the frames of the video")?;
    let annotations = list_files(
        &data_dir.join("Annotations/Category_ids").join(name),
        &["png"],
        "the part annotations of the video",
    )?;
    require_pairs(&frames, &annotations)?;
    require_frames(&folder, &frames, 2, "there is nothing to propagate to")?;
    let video = run.video(frames)?;
    let read_mask = |index: usize| -> Result<Mask, EvalError> {
        let path = &annotations[index];
        let mask = Mask::read(path)?;
        if mask.map.size == video.original {
            return Ok(mask);
        }
        Err(EvalError::Size {
            path: path.clone(),
            found: mask.map.size,
            expected: video.original,
            reference: video.frames[0].clone(),
        })
    };
    let first = read_mask(0)?;
    let (classes, pixels) = LabelSet::of(&first.map.resize_opencv(video.input), &first.palette);
    let unknown = |id: &&u8| usize::from(**id) >= VIP_CLASSES;
    if let Some(&found) = classes.ids.iter().find(unknown) {
        return Err(EvalError::LabelId {
            path: annotations[0].clone(),
            found,
            expected: "part ids 0 to 19 in frame 0, which is propagated",
        });
    }
    let labels = classes.soft_labels(&pixels, video.input, video.grid);
    let frames = video.frames.len();
    let mut confusion = Confusion::default();
    run.propagate(&video, labels, classes.ids.len(), |index, soft| {
        // Pillow's convention on the way back: the reference's evaluation resizes the mask it reads.
        let prediction = classes
            .hard_labels(soft, video.grid, video.input)
            .resize_pillow(video.original);
        if let Some(out) = &run.options.out {
            let file = format!("{}_mask.png", stem(&annotations[index]));
            output::write_grey_png(&out.join("masks").join(name).join(file), &prediction)?;
        }
        observer.frame_done(&FrameDone {
            sequence: name,
            index,
            frames,
            path: &video.frames[index],
            prediction: Prediction::Labels(&prediction),
        });
        let gt = read_mask(index)?;
        confusion
            .add(&gt.map.ids, &prediction.ids)
            .map_err(|found| EvalError::LabelId {
                path: annotations[0].clone(),
                found,
                expected: "part ids 0 to 19",
            })
    })?;
    let video = VipVideo {
        name: name.into(),
        frames,
        mean_iou: confusion.mean_iou(),
    };
    Ok((video, confusion))
}
