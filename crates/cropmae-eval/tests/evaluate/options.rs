//! Tests the settings of the protocol, lists, and the formats of masks.

use std::fs;

use candle_core::Device;
use cropmae_config::{ModelConfig, Protocol, Seed};
use cropmae_eval::benchmarks::VIDEO;
use cropmae_eval::labels::Mask;
use cropmae_eval::{
    Davis, DavisScores, EvalError, EvalOptions, Jhmdb, TaskReport, evaluate, sweep,
};
use cropmae_model::{Compute, Execution, RawPixels, VitFeatures};

use super::dataset::{davis, jhmdb, vip, write_grey, write_mask};
use super::{into, run, small};

#[test]
fn a_sweep_reports_what_single_evaluations_report() {
    let folder = tempfile::tempdir().unwrap();
    davis(&folder.path().join("DAVIS"), &["one", "two"], 5);
    vip(&folder.path().join("VIP"), &["videos1"], 4);
    jhmdb(&folder.path().join("JHMDB"), &["wave/still"], 4);
    let encoder = RawPixels::new(8, 2).unwrap();
    for task in VIDEO {
        let data = folder.path().join(task.name().to_uppercase());
        let settings: Vec<Protocol> = [(1, 4.0, 0.7), (5, 2.0, 0.07), (9, 4.0, 0.7)]
            .into_iter()
            .map(|(top_k, radius, temperature)| Protocol {
                top_k,
                radius,
                temperature,
                ..small(task)
            })
            .collect();
        let options = EvalOptions::default();
        let swept = sweep(task, &data, &encoder, &settings, &options, &mut ()).unwrap();
        let single = settings
            .iter()
            .map(|protocol| evaluate(task, &data, &encoder, protocol, &options, &mut ()).unwrap());
        assert_eq!(swept, single.collect::<Vec<_>>(), "{}", task.name());
        assert_ne!(swept[0].scores, swept[1].scores, "{}", task.name());
    }
}

#[test]
fn a_list_takes_the_place_of_the_official_one() {
    let folder = tempfile::tempdir().unwrap();
    davis(folder.path(), &["one", "two"], 3);
    let list = folder.path().join("mine.txt");
    fs::write(&list, "two\n").unwrap();
    let options = EvalOptions {
        list: Some(list),
        ..EvalOptions::default()
    };
    let report = run(&Davis, folder.path(), &options).unwrap();
    let scores: &DavisScores = report.scores.downcast_ref().unwrap();
    assert_eq!(scores.sequences.len(), 1);
    assert_eq!(scores.sequences[0].name, "two");
}

#[test]
fn davis_2016_masks_are_one_object() {
    let folder = tempfile::tempdir().unwrap();
    davis(folder.path(), &["one"], 5);
    let square = |y: u32, x: u32| (8..32).contains(&y) && (10..34).contains(&x);
    let mask = |frame: u32| {
        folder
            .path()
            .join(format!("Annotations/480p/one/{frame:05}.png"))
    };
    for frame in 0..5 {
        write_grey(
            &mask(frame),
            60,
            90,
            |y, x| if square(y, x) { 255 } else { 0 },
        );
    }
    let grey = run(&Davis, folder.path(), &EvalOptions::default()).unwrap();
    for frame in 0..5 {
        write_mask(&mask(frame), 60, 90, |y, x| u8::from(square(y, x)));
    }
    let palette = run(&Davis, folder.path(), &EvalOptions::default()).unwrap();
    assert_eq!(grey.scores, palette.scores);
}

#[test]
fn options_of_the_protocol_change_results() {
    let folder = tempfile::tempdir().unwrap();
    davis(folder.path(), &["one"], 6);
    let encoder = RawPixels::new(8, 2).unwrap();
    let scores = |protocol: &Protocol| {
        let options = EvalOptions::default();
        evaluate(&Davis, folder.path(), &encoder, protocol, &options, &mut ())
            .map(|report| report.scores)
    };
    let plain = scores(&small(&Davis)).unwrap();
    let mut changed = vec![small(&Davis); 4];
    changed[0].l2_normalize = false;
    changed[1].long_term_frames = vec![0, 1];
    changed[2].normalize_labels = true;
    changed[3].long_term_frames = vec![];
    for protocol in &changed {
        assert_ne!(scores(protocol).unwrap(), plain, "{protocol:?}");
    }
    let inner = Protocol {
        feature_block: Some(3),
        ..small(&Davis)
    };
    let error = scores(&inner).unwrap_err().to_string();
    assert!(error.contains("has no inner blocks"), "{error}");
}

#[test]
fn a_video_shorter_than_the_context_is_fine() {
    let folder = tempfile::tempdir().unwrap();
    davis(folder.path(), &["one"], 3);
    let encoder = RawPixels::new(8, 2).unwrap();
    let long = Protocol {
        context_frames: 20,
        ..small(&Davis)
    };
    let options = EvalOptions::default();
    let report = evaluate(&Davis, folder.path(), &encoder, &long, &options, &mut ()).unwrap();
    let scores: &DavisScores = report.scores.downcast_ref().unwrap();
    assert!(scores.j.mean > 0.7, "{scores:?}");
}

#[test]
fn void_is_propagated_but_never_written() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("DAVIS"), folder.path().join("out"));
    davis(&data, &["one"], 3);
    let first = data.join("Annotations/480p/one/00000.png");
    write_mask(&first, 60, 90, |_, x| match x {
        0..30 => 255,
        30..60 => 1,
        _ => 0,
    });
    run(&Davis, &data, &into(&out)).unwrap();
    let ids = Mask::read(&out.join("masks/one/00001.png"))
        .unwrap()
        .map
        .ids;
    assert!(ids.contains(&1) && !ids.contains(&255));
}

/// Returns the report and the predicted joints of a clip, for an encoder of `depth` blocks that runs in `compute`.
///
/// Joints are means of cells, so they differ for any two sets of features, while masks may be equal.
fn follow_joints(
    depth: usize,
    feature_block: Option<usize>,
    compute: Compute,
) -> Result<(TaskReport, String), EvalError> {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("JHMDB"), folder.path().join("out"));
    jhmdb(&data, &["wave/still"], 4);
    let config = ModelConfig {
        depth,
        ..ModelConfig::preset("vits8").unwrap()
    };
    let encoder = VitFeatures::random(&config, Seed(0), &Device::Cpu).unwrap();
    let encoder = encoder.with_execution(Execution {
        compute,
        ..Execution::default()
    });
    let (task, options) = (&Jhmdb, into(&out));
    let protocol = Protocol {
        feature_block,
        ..small(task)
    };
    let report = evaluate(task, &data, &encoder, &protocol, &options, &mut ())?;
    let joints = fs::read_to_string(out.join("joints/wave/still.json")).unwrap();
    Ok((report, joints))
}

#[test]
fn features_come_from_the_block_that_is_asked_for() {
    let joints = |block| follow_joints(3, block, Compute::F32).map(|(_, joints)| joints);
    let last = joints(None).unwrap();
    assert_eq!(joints(Some(3)).unwrap(), last);
    assert_ne!(joints(Some(1)).unwrap(), last);
    let error = joints(Some(4)).unwrap_err().to_string();
    assert!(error.contains("block") && error.contains('3'), "{error}");
}

#[test]
fn the_report_names_the_number_type_that_ran() {
    let follow = |compute| {
        let (report, joints) = follow_joints(2, None, compute).unwrap();
        (report.compute, joints)
    };
    let (exact, asked) = (follow(Compute::F32), follow(Compute::Bf16));
    assert_eq!(exact.0, cropmae_config::ComputeDtype::F32);
    match Compute::Bf16.available_on(&Device::Cpu) {
        Compute::F32 => {
            assert_eq!(
                asked, exact,
                "without bf16 instructions, the result is that of f32"
            );
            cropmae_fixtures::skip("this CPU has no AVX-512 for bfloat16");
        }
        Compute::Bf16 => {
            assert_eq!(asked.0, cropmae_config::ComputeDtype::Bf16);
            assert_ne!(asked.1, exact.1, "rounded operands show in the joints");
        }
    }
}

#[test]
fn the_report_names_the_size_that_the_encoder_saw() {
    let folder = tempfile::tempdir().unwrap();
    davis(folder.path(), &["one", "two"], 3);
    let sizes = |patch_size: usize, pool: usize| {
        let encoder = RawPixels::new(patch_size, pool).unwrap();
        let (task, options) = (&Davis, EvalOptions::default());
        let report = evaluate(
            task,
            folder.path(),
            &encoder,
            &small(task),
            &options,
            &mut (),
        );
        let sizes = report.unwrap().input_sizes;
        sizes.into_iter().collect::<Vec<_>>()
    };
    assert_eq!(sizes(8, 2), [("64x96".to_owned(), 2)]);
    assert_eq!(sizes(14, 2), [("70x98".to_owned(), 2)]);
}
