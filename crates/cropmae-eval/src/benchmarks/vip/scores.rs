//! The scores of VIP.

use serde::{Deserialize, Serialize};

use crate::metrics::Confusion;
use crate::nan;
use crate::report::{Measure, Scores, TOOLKIT_DECIMALS, Table};

/// The scores of VIP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VipScores {
    /// The mean IoU of the classes that are annotated or predicted, over all videos together.
    #[serde(with = "nan")]
    pub mean_iou: f64,
    /// The IoU of each class, which is null if the class is neither annotated nor predicted.
    pub iou_per_class: Vec<Option<f64>>,
    /// The numbers of pixels by annotated class (row) and predicted class (column).
    pub confusion: Vec<Vec<u64>>,
    /// The videos in the order of the list.
    pub videos: Vec<VipVideo>,
}

/// The scores of one video of VIP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VipVideo {
    /// The name of the video.
    pub name: String,
    /// The number of frames.
    pub frames: usize,
    /// The mean IoU of this video. The score of the task is not the mean of these.
    #[serde(with = "nan")]
    pub mean_iou: f64,
}

/// The counts of one video with one setting.
pub(super) struct VideoScore {
    pub name: String,
    pub frames: usize,
    pub confusion: Confusion,
}

impl VipScores {
    /// Combines the counts of all videos.
    pub(super) fn of(videos: Vec<VideoScore>) -> Self {
        let mut total = Confusion::default();
        for video in &videos {
            total.merge(&video.confusion);
        }
        let videos = videos.into_iter().map(|video| VipVideo {
            mean_iou: video.confusion.mean_iou(),
            name: video.name,
            frames: video.frames,
        });
        Self {
            mean_iou: total.mean_iou(),
            iou_per_class: total.iou().to_vec(),
            confusion: total.rows().map(<[u64]>::to_vec).collect(),
            videos: videos.collect(),
        }
    }
}

#[typetag::serde(name = "vip")]
impl Scores for VipScores {
    fn headline(&self) -> Vec<Measure> {
        vec![Measure::share("mIoU", self.mean_iou)]
    }

    /// Returns a table with a row for each class and each video. The official evaluation writes no table.
    fn tables(&self) -> Vec<Table> {
        let classes = self.iou_per_class.iter().enumerate();
        let classes = classes.map(|(class, iou)| (class.to_string(), vec![*iou]));
        let mean = std::iter::once(("mean".to_owned(), vec![Some(self.mean_iou)]));
        let videos = self.videos.iter();
        let videos = videos.map(|video| (video.name.clone(), vec![Some(video.mean_iou)]));
        vec![
            Table {
                file: "per-class_iou",
                key: Some("Class"),
                decimals: TOOLKIT_DECIMALS,
                columns: vec!["IoU".into()],
                rows: classes.chain(mean).collect(),
            },
            Table {
                file: "per-video_iou",
                key: Some("Video"),
                decimals: TOOLKIT_DECIMALS,
                columns: vec!["mIoU".into()],
                rows: videos.collect(),
            },
        ]
    }
}
