//! Tests that a benchmark can be added from outside of the crate, in a single file.

use std::path::Path;

use cropmae_config::Protocol;
use cropmae_eval::benchmarks::davis::LAYOUT;
use cropmae_eval::labels::{LabelMap, LabelSet, Mask};
use cropmae_eval::run::{Run, Sizes, SoftLabels, Truth, Video};
use cropmae_eval::{
    Benchmark, Davis, EvalError, EvalOptions, Findings, Measure, Official, Prediction, Scores,
    SequenceFiles, SequenceList, Table, TaskReport, check,
};
use serde::{Deserialize, Serialize};

use super::{dataset, into, run};

/// A benchmark that scores the share of pixels with the right id, on data in the layout of DAVIS.
#[derive(Debug)]
struct Pixels;

impl Benchmark for Pixels {
    fn name(&self) -> &'static str {
        "pixels"
    }

    fn about(&self) -> &'static str {
        "Share of right pixels"
    }

    fn protocol(&self) -> Protocol {
        Davis.protocol()
    }

    fn list(&self, root: &Path) -> Result<SequenceList, EvalError> {
        Davis.list(root)
    }

    fn files(&self, root: &Path, sequence: &str) -> Result<SequenceFiles, EvalError> {
        Davis.files(root, sequence)
    }

    fn score(&self, run: &mut Run<'_>) -> Result<Vec<Box<dyn Scores>>, EvalError> {
        run.score::<PixelTruth, _>(|sequences| {
            let (right, all) = sequences
                .iter()
                .fold((0, 0), |sum, it| (sum.0 + it.0, sum.1 + it.1));
            PixelScores {
                right: right as f64 / all as f64,
            }
        })
    }

    fn check(&self, files: &SequenceFiles, found: &mut Findings) {
        found.require_numbers(files, 0);
        found.remark("looked at");
    }

    fn official(&self) -> Official {
        Official {
            part: "Pixels",
            sequences: 1,
            source: "",
            frames: &[],
        }
    }
}

struct PixelTruth {
    video: Video,
    masks: Vec<Mask>,
    classes: LabelSet,
    first: SoftLabels,
}

impl Truth for PixelTruth {
    type Prediction = LabelMap;
    type Score = (usize, usize);

    fn open(name: &str, files: SequenceFiles, sizes: &mut Sizes) -> Result<Self, EvalError> {
        files.require_frames(1, "there is nothing to see")?;
        let video = sizes.video(name, files.frames)?;
        let masks: Vec<Mask> = files
            .annotations
            .iter()
            .map(|path| Mask::read(path))
            .collect::<Result<_, _>>()?;
        let first = masks[0].map.resize_opencv(video.input);
        let (classes, pixels) = LabelSet::of(&first, &masks[0].palette);
        let first = SoftLabels {
            values: classes.soft_labels(&pixels, video.input, video.grid),
            classes: classes.ids.len(),
        };
        Ok(Self {
            video,
            masks,
            classes,
            first,
        })
    }

    fn video(&self) -> &Video {
        &self.video
    }

    fn first_labels(&self) -> SoftLabels {
        self.first.clone()
    }

    fn new_score(&self) -> (usize, usize) {
        (0, 0)
    }

    fn predict(&self, soft: &[f32]) -> LabelMap {
        let Video {
            grid,
            input,
            original,
            ..
        } = self.video;
        self.classes
            .hard_labels(soft, grid, input)
            .resize_opencv(original)
    }

    fn score(
        &self,
        index: usize,
        prediction: &LabelMap,
        (right, all): &mut (usize, usize),
    ) -> Result<(), EvalError> {
        let pairs = || self.masks[index].map.ids.iter().zip(&prediction.ids);
        *right += pairs().filter(|(truth, found)| truth == found).count();
        *all += pairs().count();
        Ok(())
    }

    fn show<'a>(&'a self, _: usize, prediction: &'a LabelMap) -> Prediction<'a> {
        Prediction::Labels(prediction)
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct PixelScores {
    right: f64,
}

#[typetag::serde(name = "pixels")]
impl Scores for PixelScores {
    fn headline(&self) -> Vec<Measure> {
        vec![Measure::share("Right", self.right)]
    }

    fn tables(&self) -> Vec<Table> {
        vec![Table {
            file: "right",
            key: None,
            decimals: 2,
            columns: vec!["Right".into()],
            rows: vec![(String::new(), vec![Some(self.right)])],
        }]
    }
}

#[test]
fn a_benchmark_of_ones_own_is_evaluated_reported_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("PIXELS"), folder.path().join("out"));
    dataset::davis(&data, &["one"], 4);
    assert!(LAYOUT.mask(&data, "one", 3).is_file());
    assert_eq!(Pixels.folder(), "PIXELS");
    let report = run(&Pixels, &data, &into(&out)).unwrap();
    let headline = &report.scores.headline()[0];
    assert!(
        (85.0..100.0).contains(&headline.in_percent()),
        "{headline:?}"
    );
    let json = std::fs::read_to_string(out.join("report.json")).unwrap();
    assert!(json.contains("\"task\": \"pixels\"") && json.contains("\"pixels\": {"));
    assert_eq!(serde_json::from_str::<TaskReport>(&json).unwrap(), report);
    assert!(out.join("right.csv").is_file());
    let checked = check(&Pixels, &data, &EvalOptions::default(), &|_, _| ()).unwrap();
    assert_eq!(checked.problems, []);
    assert_eq!(checked.remarks[0].message, "looked at");
}
