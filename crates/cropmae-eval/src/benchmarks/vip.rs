//! VIP, the propagation of human parts (Zhou et al., ACM MM 2018).
//!
//! The official download contains `lists/val_videos.txt`, `Images/<video>/000000000001.jpg` and
//! `Annotations/Category_ids/<video>/000000000001.png`. The masks store the part ids 0 to 19 as gray levels or palette
//! indices. Pixels of later frames that are not annotated are 255. All frames are scored, including frame 0.

mod scores;

use std::collections::BTreeSet;
use std::path::Path;

use cropmae_config::Protocol;

use super::masks::{MaskLayout, Masks};
use crate::benchmark::{Benchmark, Official, SequenceList};
use crate::error::EvalError;
use crate::files::stem;
use crate::findings::Findings;
use crate::labels::{LabelMap, Mask};
use crate::metrics::{Confusion, VIP_CLASSES};
use crate::observer::Prediction;
use crate::report::Scores;
use crate::run::{Run, Sizes, SoftLabels, Truth, Video};
use crate::sequence::SequenceFiles;

use scores::VideoScore;
pub use scores::{VipScores, VipVideo};

/// The task of VIP val: human parts, scored by mean IoU.
#[derive(Debug, Clone, Copy)]
pub struct Vip;

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

impl Benchmark for Vip {
    fn name(&self) -> &'static str {
        "vip"
    }

    fn about(&self) -> &'static str {
        "VIP, part propagation: mIoU"
    }

    fn protocol(&self) -> Protocol {
        Protocol::vip()
    }

    fn list(&self, root: &Path) -> Result<SequenceList, EvalError> {
        LAYOUT.list(root)
    }

    fn files(&self, root: &Path, sequence: &str) -> Result<SequenceFiles, EvalError> {
        LAYOUT.files(root, sequence)
    }

    fn score(&self, run: &mut Run<'_>) -> Result<Vec<Box<dyn Scores>>, EvalError> {
        run.score::<VipTruth, _>(VipScores::of)
    }

    fn check(&self, files: &SequenceFiles, found: &mut Findings) {
        if let Some(masks) = found.require_masks(files, Mask::read) {
            check_parts(files, &masks, found);
        }
    }

    /// Returns the number of videos on the page of the data set (sysu-hcp.net/lip, section 2.3: 304 train, 50 val, 50
    /// test), which was not compared with the download.
    fn official(&self) -> Official {
        Official {
            part: "VIP val",
            sequences: 50,
            source: " (as its page says)",
            frames: &[],
        }
    }
}

/// Returns `true` if an id is a part.
fn is_part(id: u8) -> bool {
    usize::from(id) < VIP_CLASSES
}

/// Checks the part ids.
fn check_parts(files: &SequenceFiles, masks: &[Mask], found: &mut Findings) {
    if let Some(id) = masks[0].map.ids.iter().find(|&&id| !is_part(id)) {
        found.problem(format!(
            "{}: id {id}: expected part ids 0 to 19 in frame 0",
            files.annotations[0].display()
        ));
    }
    let ids = masks.iter().flat_map(|mask| mask.map.ids.iter().copied());
    let odd: BTreeSet<u8> = ids.filter(|&id| !is_part(id) && id != 255).collect();
    if !odd.is_empty() {
        found.remark(format!("ids {odd:?} are no parts: they are not scored"));
    }
}

/// The annotations of one video.
struct VipTruth {
    masks: Masks,
}

impl VipTruth {
    /// Returns the error for an id that is undefined in the benchmark.
    fn unknown(&self, found: u8, expected: &'static str) -> EvalError {
        EvalError::LabelId {
            path: self.masks.files[0].clone(),
            found,
            expected,
        }
    }
}

impl Truth for VipTruth {
    type Prediction = LabelMap;
    type Score = VideoScore;

    fn open(name: &str, files: SequenceFiles, sizes: &mut Sizes) -> Result<Self, EvalError> {
        let needed = (2, "there is nothing to propagate to");
        let masks = Masks::open(name, files, sizes, needed, Mask::read)?;
        let truth = Self { masks };
        match truth.masks.classes.ids.iter().find(|&&id| !is_part(id)) {
            None => Ok(truth),
            Some(&found) => {
                let expected = "part ids 0 to 19 in frame 0, which is propagated";
                Err(truth.unknown(found, expected))
            }
        }
    }

    fn video(&self) -> &Video {
        &self.masks.video
    }

    fn first_labels(&self) -> SoftLabels {
        self.masks.first_labels()
    }

    fn new_score(&self) -> VideoScore {
        let Video { name, frames, .. } = &self.masks.video;
        VideoScore {
            name: name.clone(),
            frames: frames.len(),
            confusion: Confusion::default(),
        }
    }

    fn advance(&mut self, index: usize) -> Result<(), EvalError> {
        self.masks.load(index)
    }

    fn predict(&self, soft: &[f32]) -> LabelMap {
        // The evaluation of the reference resizes the mask that it reads with Pillow's convention.
        let hard = self.masks.hard_labels(soft);
        hard.resize_pillow(self.masks.video.original)
    }

    fn score(
        &self,
        _: usize,
        prediction: &LabelMap,
        score: &mut VideoScore,
    ) -> Result<(), EvalError> {
        let truth = self.masks.loaded.as_ref();
        let truth = truth.map_or(&[][..], |mask| &mask.ids);
        let counted = score.confusion.add(truth, &prediction.ids);
        counted.map_err(|found| self.unknown(found, "part ids 0 to 19"))
    }

    fn write(&self, out: &Path, index: usize, prediction: &LabelMap) -> Result<(), EvalError> {
        let file = format!("{}_mask.png", stem(&self.masks.files[index]));
        let folder = out.join("masks").join(&self.masks.video.name);
        prediction.write_gray(&folder.join(file))
    }

    fn show<'a>(&'a self, _: usize, prediction: &'a LabelMap) -> Prediction<'a> {
        Prediction::Labels(prediction)
    }
}
