use std::collections::BTreeMap;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

use super::*;
use crate::sources::{Unit, open};

/// Creates an archive of `entries`, in order.
fn tar(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (name, bytes) in entries {
        let mut header = Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        // The names that an attacker would write, some of which the checked setter refuses.
        if name.len() < 100 {
            header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            builder.append(&header, *bytes).unwrap();
        } else {
            builder.append_data(&mut header, name, *bytes).unwrap();
        }
    }
    builder.into_inner().unwrap()
}

fn folder(shards: &[(&str, Vec<u8>)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in shards {
        std::fs::write(dir.path().join(name), bytes).unwrap();
    }
    dir
}

fn content(source: &dyn Source, sample: usize) -> Vec<u8> {
    let Content::Encoded(bytes) = source.read(sample).unwrap().content else {
        panic!("shards hold encoded images");
    };
    bytes.to_vec()
}

fn opened(dir: &TempDir) -> Opened {
    open(dir.path(), Unit::Pictures).unwrap()
}

fn reasons(bad: &[BadFile]) -> Vec<String> {
    bad.iter().map(ToString::to_string).collect()
}

proptest! {
    #[test]
    fn every_image_is_found_at_its_place(
        sizes in prop::collection::vec(0usize..2000, 1..30), long in any::<bool>(),
    ) {
        let prefix = if long { "folder/".repeat(30) } else { "n01/".to_owned() };
        let entries: Vec<(String, Vec<u8>)> = sizes
            .iter()
            .enumerate()
            .map(|(i, &size)| (format!("{prefix}{i:04}.jpg"), vec![i as u8; size]))
            .collect();
        let (front, back) = entries.split_at(entries.len() / 2);
        let archive = |entries: &[(String, Vec<u8>)]| {
            let entries: Vec<_> = entries.iter().map(|(n, b)| (n.as_str(), b.as_slice())).collect();
            tar(&entries)
        };
        let dir = folder(&[("0.tar", archive(front)), ("1.tar", archive(back))]);
        let opened = opened(&dir);
        prop_assert!(opened.bad_parts.is_empty() && opened.bad_files.is_empty());
        prop_assert_eq!(opened.source.len(), entries.len());
        for (i, (name, bytes)) in entries.iter().enumerate() {
            prop_assert_eq!(opened.source.name(i), Path::new(name));
            prop_assert_eq!(&content(&*opened.source, i), bytes);
        }
    }
}

#[test]
fn braces_folders_and_single_files_are_recognized() {
    let shard = |name: &str| tar(&[(name, b"x")]);
    let dir = folder(&[
        ("s-000.tar", shard("a.jpg")),
        ("s-001.tar", shard("b.jpg")),
        ("s-002.tar", shard("c.jpg")),
    ]);
    let names = |path: &str| {
        let source = open(&dir.path().join(path), Unit::Pictures).unwrap().source;
        (0..source.len())
            .map(|i| source.name(i).to_str().unwrap().to_owned())
            .collect::<String>()
    };
    assert_eq!(names(""), "a.jpgb.jpgc.jpg");
    assert_eq!(names("s-001.tar"), "b.jpg");
    assert_eq!(names("s-{001..002}.tar"), "b.jpgc.jpg");
    assert_eq!(opened(&dir).source.describe(), "3 images in 3 tar shards");
    std::fs::write(dir.path().join("some.txt"), "s-002.tar\ns-000.tar\n").unwrap();
    assert_eq!(names("some.txt"), "c.jpga.jpg");
    // A shard of the pattern that does not exist is a broken part and does not just make the data set smaller.
    let lacking = open(&dir.path().join("s-{001..004}.tar"), Unit::Pictures).unwrap();
    assert_eq!((lacking.parts, lacking.bad_parts.len()), (4, 2));
    let wrong = open(&dir.path().join("s-{4..1}.tar"), Unit::Pictures)
        .unwrap_err()
        .to_string();
    assert!(wrong.contains("larger"), "{wrong}");
}

#[test]
fn archives_cut_anywhere_are_broken_parts_whose_front_is_used() {
    let whole = tar(&[
        ("a.jpg", &[1; 700]),
        ("b.jpg", &[2; 10]),
        ("c.jpg", &[3; 1500]),
    ]);
    // The header and content blocks are 1 + 2 for a, 1 + 1 for b and 1 + 3 for c, followed by two empty ones.
    assert_eq!(whole.len() / 512, 11);
    for cut in (0..whole.len())
        .step_by(100)
        .chain([512 * 3, 512 * 5, 512 * 9])
    {
        let dir = folder(&[("x.tar", whole[..cut].to_vec())]);
        let opened = opened(&dir);
        let images = [512 + 700, 512 * 4 + 10, 512 * 6 + 1500]
            .iter()
            .filter(|&&end| end <= cut);
        assert_eq!(opened.source.len(), images.count(), "{cut} bytes");
        let told = reasons(&opened.bad_parts);
        // One of the two closing blocks is enough to show that nothing is missing.
        assert_eq!(
            told.len(),
            usize::from(cut < 512 * 10),
            "{cut} bytes: {told:?}"
        );
        assert!(told.iter().all(|told| told.contains("x.tar: ")), "{told:?}");
    }
    let dir = folder(&[("x.tar", whole)]);
    assert!(opened(&dir).bad_parts.is_empty());
}

#[test]
fn names_that_lead_outside_are_unusable() {
    let dir = folder(&[(
        "x.tar",
        tar(&[
            ("../../etc/passwd.jpg", b"x"),
            ("/absolute.jpg", b"x"),
            ("good/../../up.png", b"x"),
            ("./good.jpg", b"fine"),
        ]),
    )]);
    let opened = opened(&dir);
    assert_eq!(opened.source.len(), 1);
    assert_eq!(content(&*opened.source, 0), b"fine");
    let told = reasons(&opened.bad_files);
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(
        told.iter()
            .all(|told| told.contains("x.tar") && told.contains("leads out of the archive")),
        "{told:?}"
    );
}

#[test]
fn what_is_no_archive_is_told_in_plain_words() {
    let noise: Vec<u8> = (0..2000u32).map(|i| (i * i * 31 % 251) as u8).collect();
    let mut torn = tar(&[("a.jpg", &[1; 700]), ("b.jpg", &[2; 700])]);
    torn[1536..2048].copy_from_slice(&noise[..512]);
    for (name, bytes, images, expected) in [
        ("noise.tar", noise, 0, "not a tar archive"),
        ("torn.tar", torn, 1, "broken at byte 1536: no valid header"),
        ("empty.tar", Vec::new(), 0, "empty file"),
    ] {
        let dir = folder(&[(name, bytes)]);
        let opened = opened(&dir);
        assert_eq!(opened.source.len(), images, "{name}");
        let told = reasons(&opened.bad_parts);
        assert!(told.len() == 1 && told[0].contains(expected), "{told:?}");
        assert!(!told[0].contains(char::is_control), "{told:?}");
    }
}

#[test]
fn samples_without_their_image_are_unusable() {
    let dir = folder(&[(
        "x.tar",
        tar(&[
            ("README.txt", b"about"),
            ("n/0001.jpg", b"1"),
            ("n/0001.cls", b"7"),
            ("n/0002.cls", b"8"),
            ("n/0003.seg.png", b"3"),
            ("n/0003.cls", b"9"),
        ]),
    )]);
    let opened = opened(&dir);
    assert_eq!((opened.source.len(), opened.left_out), (2, 3));
    let told = reasons(&opened.bad_files);
    assert!(
        told.len() == 1 && told[0].contains("n/0002.cls: an incomplete sample"),
        "{told:?}"
    );
}

#[test]
fn links_are_unusable_and_hidden_files_are_nothing() {
    let mut builder = Builder::new(Vec::new());
    let mut link = Header::new_gnu();
    link.set_entry_type(EntryType::Symlink);
    link.set_size(0);
    builder
        .append_link(&mut link, "link.jpg", "elsewhere.jpg")
        .unwrap();
    let mut plain = Header::new_gnu();
    plain.set_size(1);
    builder
        .append_data(&mut plain, "._a.jpg", &b"x"[..])
        .unwrap();
    builder.append_data(&mut plain, "a.jpg", &b"x"[..]).unwrap();
    let dir = folder(&[("x.tar", builder.into_inner().unwrap())]);
    let opened = opened(&dir);
    assert_eq!((opened.source.len(), opened.left_out), (1, 0));
    assert!(reasons(&opened.bad_files)[0].contains("link.jpg: a Symlink entry"));
}

#[test]
fn frames_in_shards_are_videos() {
    let frame = |name: &'static str| (name, name.as_bytes());
    let dir = folder(&[
        (
            "0.tar",
            tar(&[
                frame("v1/002.jpg"),
                frame("v1/001.jpg"),
                frame("v2/001.jpg"),
            ]),
        ),
        (
            "1.tar",
            tar(&[
                frame("v1/003.jpg"),
                frame("v3/001.jpg"),
                frame("v3/002.jpg"),
            ]),
        ),
    ]);
    let opened = open(dir.path(), Unit::Videos).unwrap();
    let source = opened.source;
    assert_eq!(source.describe(), "2 videos with 5 frames in tar shards");
    assert_eq!(opened.left_out, 1, "v2 has lost its second frame");
    assert_eq!(
        content(&*source, 0),
        b"v1/001.jpg",
        "frames come in the order of their names"
    );
    assert_eq!(source.name(1), Path::new("v3"));
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn compressed_shards_are_unpacked_once() {
    let (first, second) = (tar(&[("a.jpg", b"one")]), tar(&[("b.jpg", &[5; 3000])]));
    let dir = folder(&[("0.tar.gz", gzip(&first)), ("1.TGZ", gzip(&second))]);
    let cache = tempfile::tempdir().unwrap();
    let paths = ["0.tar.gz", "1.TGZ"].map(|name| dir.path().join(name));
    let list = || Shards::list_with_cache(dir.path(), &paths, cache.path()).unwrap();
    let files = || -> BTreeMap<PathBuf, std::time::SystemTime> {
        std::fs::read_dir(cache.path())
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.path(), entry.metadata().unwrap().modified().unwrap()))
            .collect()
    };
    let opened = list();
    assert_eq!(content(&*opened.source, 0), b"one");
    assert_eq!(content(&*opened.source, 1), [5; 3000]);
    assert!(opened.bad_parts.is_empty());
    let unpacked = files();
    assert_eq!(unpacked.len(), 2, "temporary files are removed");
    list();
    assert_eq!(files(), unpacked, "nothing is written the second time");
    std::fs::write(&paths[0], gzip(&tar(&[("a.jpg", b"another")]))).unwrap();
    assert_eq!(
        content(&*list().source, 0),
        b"another",
        "a changed shard is unpacked again"
    );
    // The images of a truncated shard are used, and the truncation is reported each time.
    let cut = gzip(&tar(&[("a.jpg", b"one"), ("b.jpg", &[9; 300_000])]));
    std::fs::write(&paths[0], &cut[..cut.len() - 20]).unwrap();
    for _ in 0..2 {
        let opened = list();
        let told = reasons(&opened.bad_parts);
        assert!(
            told.len() == 1 && told[0].contains("0.tar.gz: truncated"),
            "{told:?}"
        );
        assert_eq!(
            opened.source.len(),
            2,
            "a.jpg of the cut shard, and the other shard"
        );
    }
    let before = files();
    std::fs::write(&paths[0], "no gzip").unwrap();
    let told = reasons(&list().bad_parts);
    assert!(
        told.len() == 1 && told[0].contains("0.tar.gz: cannot read"),
        "{told:?}"
    );
    assert_eq!(files(), before, "no part of the broken shard is kept");
}

#[test]
fn a_shard_that_shrinks_while_it_is_read_costs_images() {
    let dir = folder(&[("x.tar", tar(&[("a.jpg", b"one"), ("b.jpg", b"two")]))]);
    let opened = opened(&dir);
    let file = File::options()
        .write(true)
        .open(dir.path().join("x.tar"))
        .unwrap();
    file.set_len(600).unwrap();
    assert_eq!(content(&*opened.source, 0), b"one");
    let bad = opened.source.read(1).unwrap_err().to_string();
    assert!(
        bad.contains("x.tar/b.jpg: cannot read the image in its shard"),
        "{bad}"
    );
}

#[test]
fn shards_without_images_say_so() {
    let dir = folder(&[("x.tar", tar(&[("notes.txt", b"x")]))]);
    let message = open(dir.path(), Unit::Pictures).unwrap_err().to_string();
    assert!(message.contains("no images in 1 tar") && message.contains("1 other"));
    // The message names the path that was given.
    let path = dir.path().join("x.tar");
    let message = open(&path, Unit::Pictures).unwrap_err().to_string();
    assert!(message.starts_with(path.to_str().unwrap()), "{message}");
}
