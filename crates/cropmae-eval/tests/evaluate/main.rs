//! Tests whole evaluations on small generated data sets, with their output files and scores.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests may unwrap as tests do"
)]

mod broken;
mod check;
mod classes;
mod dataset;
mod fourth;
mod options;
mod real;

use std::fs;
use std::path::Path;

use cropmae_config::{FrameSize, Protocol};
use cropmae_eval::labels::Mask;
use cropmae_eval::{
    Benchmark, Davis, DavisScores, EvalError, EvalOptions, FrameDone, Jhmdb, JhmdbScores, Observer,
    Prediction, SequenceInfo, Size, TaskReport, Vip, VipScores, evaluate,
};
use cropmae_model::RawPixels;

use dataset::{davis, jhmdb, vip};

/// Returns a protocol for frames of 64x96 pixels.
fn small(task: &dyn Benchmark) -> Protocol {
    Protocol {
        frame_size: FrameSize::Exact {
            height: 64,
            width: 96,
        },
        radius: 4.0,
        context_frames: 3,
        ..task.protocol()
    }
}

fn run(task: &dyn Benchmark, data: &Path, options: &EvalOptions) -> Result<TaskReport, EvalError> {
    let encoder = RawPixels::new(8, 2).unwrap();
    evaluate(task, data, &encoder, &small(task), options, &mut ())
}

fn into(out: &Path) -> EvalOptions {
    EvalOptions {
        out: Some(out.into()),
        ..EvalOptions::default()
    }
}

#[test]
fn davis_scores_a_moving_square_and_writes_masks() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("DAVIS"), folder.path().join("out"));
    davis(&data, &["one", "two"], 6);
    let report = run(&Davis, &data, &into(&out)).unwrap();

    let scores: &DavisScores = report.scores.downcast_ref().unwrap();
    assert!(report.failures.is_empty());
    assert_eq!(scores.sequences.len(), 2);
    let objects = &scores.sequences[0].objects;
    assert_eq!(objects.len(), 2);
    assert_eq!(
        objects[0].j_per_frame.len(),
        4,
        "first and last frame are not scored"
    );
    assert!(
        scores.j.mean > 0.7,
        "a flat square on a flat ground: {scores:?}"
    );

    let first = Mask::read(&out.join("masks/one/00000.png")).unwrap();
    let given = Mask::read(&data.join("Annotations/480p/one/00000.png")).unwrap();
    assert_eq!(first.map.size, given.map.size);
    let same = first
        .map
        .ids
        .iter()
        .zip(&given.map.ids)
        .filter(|(a, b)| a == b)
        .count();
    assert!(
        same * 100 > given.map.ids.len() * 93,
        "frame 0 shows the given labels"
    );
    assert_eq!(first.palette.0[1], [128, 0, 0]);

    let json = fs::read_to_string(out.join("report.json")).unwrap();
    assert_eq!(serde_json::from_str::<TaskReport>(&json).unwrap(), report);
    let table = fs::read_to_string(out.join("global_results-val.csv")).unwrap();
    assert!(table.starts_with("J&F-Mean,J-Mean,J-Recall,J-Decay,F-Mean,F-Recall,F-Decay\n"));
    let table = fs::read_to_string(out.join("per-sequence_results-val.csv")).unwrap();
    let rows: Vec<&str> = table
        .lines()
        .map(|line| line.split(',').next().unwrap())
        .collect();
    assert_eq!(rows, ["Sequence", "one_1", "one_2", "two_1", "two_2"]);
    let json = |name: &str| -> serde_json::Value {
        serde_json::from_slice(&fs::read(out.join(name)).unwrap()).unwrap()
    };
    let global = &json("global_results-val.json")[0];
    assert_eq!(global["J&F-Mean"].as_f64(), Some(scores.j_and_f_mean));
    let objects = json("per-sequence_results-val.json");
    assert_eq!(objects[3]["Sequence"], "two_2");
    let last = &scores.sequences[1].objects[1];
    assert_eq!(objects[3]["F-Mean"].as_f64(), Some(last.f.mean));
}

#[test]
fn vip_scores_parts_and_writes_masks() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("VIP"), folder.path().join("out"));
    vip(&data, &["videos1"], 4);
    let report = run(&Vip, &data, &into(&out)).unwrap();
    let scores: &VipScores = report.scores.downcast_ref().unwrap();
    assert!(scores.mean_iou > 0.7, "{scores:?}");
    let present: Vec<usize> = (0..20)
        .filter(|&c| scores.iou_per_class[c].is_some())
        .collect();
    assert_eq!(present, [0, 5, 13]);
    let total: u64 = scores.confusion.iter().flatten().sum();
    assert_eq!(total, 4 * 60 * 90, "every frame counts");
    assert!(out.join("masks/videos1/000000000051_mask.png").is_file());
    let table = fs::read_to_string(out.join("per-class_iou.csv")).unwrap();
    assert_eq!(table.lines().count(), 22);
    let json = fs::read_to_string(out.join("report.json")).unwrap();
    assert_eq!(serde_json::from_str::<TaskReport>(&json).unwrap(), report);
}

#[test]
fn jhmdb_scores_joints_of_the_test_split() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("JHMDB"), folder.path().join("out"));
    jhmdb(&data, &["wave/still", "wave/other", "wave/train"], 4);
    fs::create_dir(data.join("splits")).unwrap();
    let split = "still.avi 2\nother.avi 2\ntrain.avi 1\nlost.avi 2\n";
    fs::write(data.join("splits/wave_test_split1.txt"), split).unwrap();
    let report = run(&Jhmdb, &data, &into(&out)).unwrap();
    let scores: &JhmdbScores = report.scores.downcast_ref().unwrap();
    let names: Vec<&str> = scores.clips.iter().map(|clip| clip.name.as_str()).collect();
    assert_eq!(names, ["wave/still", "wave/other"]);
    assert_eq!(report.failures.len(), 1);
    assert_eq!(report.failures[0].sequence, "wave/lost");
    assert_eq!(scores.items[0], 2 * 3, "frame 0 is not scored");
    assert!(
        scores.thresholds[4].mean > 90.0,
        "nothing moves: {scores:?}"
    );
    let joints = fs::read_to_string(out.join("joints/wave/still.json")).unwrap();
    let joints: serde_json::Value = serde_json::from_str(&joints).unwrap();
    assert_eq!(joints["frames"].as_array().unwrap().len(), 4);
    assert_eq!(joints["frames"][3]["joints"].as_array().unwrap().len(), 15);
}

#[derive(Default)]
struct Log(Vec<String>);

impl Observer for Log {
    fn sequence_started(&mut self, sequence: &SequenceInfo<'_>) {
        self.0.push(format!(
            "start {} {}/{}",
            sequence.name,
            sequence.index + 1,
            sequence.sequences
        ));
    }
    fn frame_done(&mut self, frame: &FrameDone<'_>) {
        let Prediction::Labels(map) = frame.prediction else {
            panic!()
        };
        self.0.push(format!(
            "{} {}/{} {} on {}",
            frame.sequence,
            frame.index + 1,
            frame.frames,
            map.size,
            Size::of(frame.picture)
        ));
    }
    fn sequence_finished(&mut self, sequence: &str, outcome: Result<(), &EvalError>) {
        self.0.push(format!("end {sequence} {}", outcome.is_ok()));
    }
}

#[test]
fn observers_see_every_sequence_and_frame_in_order() {
    let folder = tempfile::tempdir().unwrap();
    davis(folder.path(), &["one", "two"], 3);
    fs::remove_file(folder.path().join("JPEGImages/480p/one/00001.jpg")).unwrap();
    let encoder = RawPixels::new(16, 1).unwrap();
    let mut log = Log::default();
    let options = EvalOptions::default();
    let protocol = small(&Davis);
    evaluate(
        &Davis,
        folder.path(),
        &encoder,
        &protocol,
        &options,
        &mut log,
    )
    .unwrap();
    assert_eq!(
        log.0,
        [
            "start one 1/2",
            "end one false",
            "start two 2/2",
            "two 1/3 60x90 on 60x90",
            "two 2/3 60x90 on 60x90",
            "two 3/3 60x90 on 60x90",
            "end two true",
        ]
    );
}

#[test]
fn only_the_sequences_asked_for_are_evaluated() {
    let folder = tempfile::tempdir().unwrap();
    davis(folder.path(), &["one", "two"], 3);
    let options = |name: &str| EvalOptions {
        sequences: Some(vec![name.into()]),
        ..EvalOptions::default()
    };
    let report = run(&Davis, folder.path(), &options("two")).unwrap();
    let scores: &DavisScores = report.scores.downcast_ref().unwrap();
    assert_eq!(scores.sequences.len(), 1);
    assert_eq!(scores.sequences[0].name, "two");
    let error = run(&Davis, folder.path(), &options("three"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("no sequence \"three\"") && error.contains("one, two"),
        "{error}"
    );
}

#[test]
fn color_masks_score_like_palette_masks() {
    let folder = tempfile::tempdir().unwrap();
    davis(folder.path(), &["one"], 5);
    let before = run(&Davis, folder.path(), &EvalOptions::default()).unwrap();
    for frame in 0..5 {
        let path = folder
            .path()
            .join(format!("Annotations/480p/one/{frame:05}.png"));
        image::open(&path).unwrap().into_rgb8().save(&path).unwrap();
    }
    let after = run(&Davis, folder.path(), &EvalOptions::default()).unwrap();
    assert_eq!(before.scores, after.scores);
    assert_ne!(before.data_fingerprint, after.data_fingerprint);
}

#[test]
fn an_object_that_enters_later_is_not_predicted_and_not_counted() {
    let folder = tempfile::tempdir().unwrap();
    davis(folder.path(), &["one"], 5);
    let late = folder.path().join("Annotations/480p/one/00002.png");
    dataset::write_mask(&late, 60, 90, |y, _| if y < 20 { 9 } else { 0 });
    let report = run(&Davis, folder.path(), &EvalOptions::default()).unwrap();
    let scores: &DavisScores = report.scores.downcast_ref().unwrap();
    assert_eq!(scores.sequences[0].objects.len(), 2);
    assert_eq!(scores.sequences[0].objects[0].j_per_frame[1], 0.0);
}
