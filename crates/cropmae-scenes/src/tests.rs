//! The folder as a whole: the same for any number of threads, reused or left alone, and true to its masks.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use cropmae_config::{ScenesConfig, Seed};

use crate::video::{JHMDB_PX, Layout, VIDEO_PX, Video};
use crate::{ScenesError, generate};

const SMALL: ScenesConfig = ScenesConfig {
    images: 3,
    image_px: 48,
    videos: 2,
    video_frames: 3,
};

fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    walkdir::WalkDir::new(dir)
        .into_iter()
        .map(|entry| entry.unwrap().into_path())
        .filter(|path| path.is_file())
        .map(|path| {
            (
                path.strip_prefix(dir).unwrap().to_owned(),
                fs::read(&path).unwrap(),
            )
        })
        .collect()
}

fn make(dir: &Path, threads: usize, seed: u64) -> BTreeMap<PathBuf, Vec<u8>> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .unwrap();
    pool.install(|| generate(dir, &SMALL, Seed(seed), &|_, _| {}).unwrap());
    files(dir)
}

#[test]
fn bytes_depend_on_the_seed_and_not_on_threads() {
    let dir = tempfile::tempdir().unwrap();
    let one = make(&dir.path().join("one"), 1, 3);
    let three = make(&dir.path().join("three"), 3, 3);
    assert!(one == three, "a file differs between 1 and 3 threads");
    let other = make(&dir.path().join("other"), 2, 4);
    assert_eq!(other.len(), one.len());
    let name = Path::new("train/00001.jpg");
    assert_ne!(one[name], other[name]);
    assert_ne!(one[name], one[Path::new("train/00002.jpg")]);
}

#[test]
fn every_file_of_the_layouts_is_there_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let made = make(&dir.path().join("scenes"), 2, 0);
    let mut expected: Vec<String> = (0..3).map(|i| format!("train/{i:05}.jpg")).collect();
    expected.push("scenes.json".into());
    expected.push("DAVIS/ImageSets/2017/val.txt".into());
    expected.push("VIP/lists/val_videos.txt".into());
    for (video, class) in ["walk", "wave"].into_iter().enumerate() {
        expected.push(format!(
            "JHMDB/joint_positions/{class}/scene_{video:02}/joint_positions.mat"
        ));
        for frame in 0..3 {
            let (sequence, number) = (format!("480p/scene-{video:02}/{frame:05}"), frame + 1);
            expected.push(format!("DAVIS/JPEGImages/{sequence}.jpg"));
            expected.push(format!("DAVIS/Annotations/{sequence}.png"));
            let vip = format!("videos{}/{number:012}", video + 1);
            expected.push(format!("VIP/Images/{vip}.jpg"));
            expected.push(format!("VIP/Annotations/Category_ids/{vip}.png"));
            expected.push(format!(
                "JHMDB/Rename_Images/{class}/scene_{video:02}/{number:05}.png"
            ));
        }
    }
    expected.sort();
    let found: Vec<String> = made.keys().map(|path| path.display().to_string()).collect();
    let mut found = found;
    found.sort();
    assert_eq!(found, expected);
    assert_eq!(
        made[Path::new("DAVIS/ImageSets/2017/val.txt")],
        b"scene-00\nscene-01\n"
    );
    assert_eq!(
        made[Path::new("VIP/lists/val_videos.txt")],
        b"videos1\nvideos2\n"
    );
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "the temporary folder is gone");
}

#[test]
fn progress_ends_at_the_total_and_a_second_call_reuses() {
    let dir = tempfile::tempdir().unwrap();
    let scenes = dir.path().join("scenes");
    fs::create_dir(&scenes).unwrap(); // an empty folder is as good as none
    let last = Cell::new((0, 0));
    let paths = generate(&scenes, &SMALL, Seed(1), &|done, total| {
        assert!(done > last.get().0 && done <= total);
        last.set((done, total));
    })
    .unwrap();
    assert_eq!(last.get(), (3 + 3 * 2 * 3, 3 + 3 * 2 * 3));
    let before = files(&scenes);
    let calls = Cell::new(0);
    let again = generate(&scenes, &SMALL, Seed(1), &|_, _| calls.set(calls.get() + 1)).unwrap();
    assert_eq!((again, calls.get()), (paths, 0));
    assert!(before == files(&scenes));
}

#[test]
fn folders_with_anything_else_are_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let scenes = dir.path().join("scenes");
    let before = make(&scenes, 2, 1);
    let refusal = |path: &Path, config: &ScenesConfig, seed| {
        let error = generate(path, config, Seed(seed), &|_, _| {}).unwrap_err();
        assert!(matches!(error, ScenesError::Differ { .. }), "{error}");
        error.to_string()
    };
    let message = refusal(&scenes, &SMALL, 2);
    assert!(
        message.contains("seed 1") && message.contains("delete it"),
        "{message}"
    );
    refusal(&scenes, &ScenesConfig { images: 4, ..SMALL }, 1);
    assert!(before == files(&scenes));

    let other = dir.path().join("photos");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("cat.jpg"), b"cat").unwrap();
    assert!(refusal(&other, &SMALL, 1).contains("no scenes.json"));
    assert_eq!(files(&other).len(), 1);
    let file = other.join("cat.jpg");
    refusal(&file, &SMALL, 1);
}

#[test]
fn objects_have_consecutive_ids_that_cover_enough_of_the_first_frame() {
    for index in 0..6 {
        let video = Video::draw(Seed(7), Layout::Davis, index);
        let ids = video.picture(0, VIDEO_PX).ids;
        let most = *ids.iter().max().unwrap();
        assert!((2..=4).contains(&most), "video {index} has {most} objects");
        for id in 0..=most {
            let share = ids.iter().filter(|&&i| i == id).count() as f32 / ids.len() as f32;
            assert!(share > 0.008, "video {index}: id {id} covers {share}");
        }
        // Later frames hold no id that was not there to be propagated.
        for frame in [3, 8] {
            assert!(
                video
                    .picture(frame, VIDEO_PX)
                    .ids
                    .iter()
                    .all(|&id| id <= most)
            );
        }
    }
}

#[test]
fn people_show_their_face_or_hair_and_both_legs_under_known_ids() {
    for index in 0..6 {
        let video = Video::draw(Seed(7), Layout::Vip, index);
        let ids = video.picture(0, VIDEO_PX).ids;
        let count = |wanted: &[u8]| ids.iter().filter(|id| wanted.contains(id)).count();
        assert!(ids.iter().all(|&id| id < 20));
        assert!(count(&[2, 13]) > 200, "video {index}: head");
        assert!(count(&[5, 6, 7]) > 500, "video {index}: torso");
        assert!(count(&[8, 9, 12, 16, 17, 6]) > 500, "video {index}: legs");
        assert!(count(&[18, 19]) > 50, "video {index}: shoes");
    }
}

#[test]
fn joints_lie_in_the_frame_and_on_the_person() {
    let (width, height) = (JHMDB_PX.0 as f32, JHMDB_PX.1 as f32);
    let (mut inside, mut painted, mut total) = (0, 0, 0);
    for index in 0..12 {
        let video = Video::draw(Seed(7), Layout::Jhmdb, index);
        for frame in [0, 7, 15] {
            let ids = video.picture(frame, JHMDB_PX).ids;
            let people = video.scene.joints(frame as f32);
            assert_eq!(people.len(), 1);
            for joint in people[0].map(|joint| joint * height) {
                total += 1;
                let within = (0.0..width).contains(&joint.x) && (0.0..height).contains(&joint.y);
                inside += usize::from(within);
                if within {
                    let at = joint.y as usize * JHMDB_PX.0 as usize + joint.x as usize;
                    painted += usize::from(ids[at] > 0);
                }
            }
        }
    }
    assert!(
        inside * 100 >= total * 98,
        "{inside} of {total} joints inside the frame"
    );
    assert!(
        painted * 100 >= inside * 97,
        "{painted} of {inside} joints on the person"
    );
}

#[test]
fn davis_annotations_are_palette_pngs() {
    let dir = tempfile::tempdir().unwrap();
    let made = make(&dir.path().join("scenes"), 2, 5);
    let bytes = &made[Path::new("DAVIS/Annotations/480p/scene-00/00000.png")];
    let reader = png::Decoder::new(std::io::Cursor::new(bytes))
        .read_info()
        .unwrap();
    let info = reader.info();
    assert_eq!(
        (info.color_type, info.bit_depth),
        (png::ColorType::Indexed, png::BitDepth::Eight)
    );
    assert_eq!((info.width, info.height), VIDEO_PX);
    let palette = info.palette.as_ref().unwrap();
    assert_eq!(palette[..12], [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0]);
    assert_eq!(palette[..], cropmae_eval::Palette::davis().bytes());
    let bytes = &made[Path::new("VIP/Annotations/Category_ids/videos1/000000000001.png")];
    let reader = png::Decoder::new(std::io::Cursor::new(bytes))
        .read_info()
        .unwrap();
    assert_eq!(reader.info().color_type, png::ColorType::Grayscale);
}
