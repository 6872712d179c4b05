use std::sync::Arc;

use ::parquet::basic::Compression;
use ::parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::parser::parse_message_type;
use tempfile::TempDir;

use super::*;
use crate::sources::{Unit, open};

/// The layout of Hugging Face image data sets.
const SCHEMA: &str = "message schema {
    optional group image { optional binary bytes; optional binary path (utf8); }
    optional int64 label;
}";

/// Writes row groups of images. An empty image is written as a null.
fn write(path: &Path, groups: &[Vec<Vec<u8>>]) {
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY);
    let mut writer = SerializedFileWriter::new(
        File::create(path).unwrap(),
        Arc::new(parse_message_type(SCHEMA).unwrap()),
        Arc::new(properties.build()),
    )
    .unwrap();
    for rows in groups {
        let mut group = writer.next_row_group().unwrap();
        let levels: Vec<i16> = rows
            .iter()
            .map(|row| if row.is_empty() { 1 } else { 2 })
            .collect();
        let present = rows.iter().filter(|row| !row.is_empty());
        let values: Vec<ByteArray> = present.map(|row| ByteArray::from(row.clone())).collect();
        let mut column = group.next_column().unwrap().unwrap();
        let bytes = column.typed::<ByteArrayType>();
        bytes.write_batch(&values, Some(&levels), None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let none = vec![1; rows.len()];
        column
            .typed::<ByteArrayType>()
            .write_batch(&[], Some(&none), None)
            .unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let (labels, all) = (vec![7; rows.len()], vec![1; rows.len()]);
        column
            .typed::<Int64Type>()
            .write_batch(&labels, Some(&all), None)
            .unwrap();
        column.close().unwrap();
        group.close().unwrap();
    }
    writer.close().unwrap();
}

/// Returns content that differs from row to row and does not repeat.
fn picture(row: usize) -> Vec<u8> {
    (0..200 + row)
        .map(|i| (i * (row + 3)) as u8 ^ row as u8)
        .collect()
}

fn tables() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let rows = |range: std::ops::Range<usize>| range.map(picture).collect::<Vec<_>>();
    write(
        &dir.path().join("train-0.parquet"),
        &[rows(0..5), rows(5..12)],
    );
    write(
        &dir.path().join("train-1.parquet"),
        &[rows(12..15), rows(15..16), rows(16..30)],
    );
    dir
}

fn content(source: &dyn Source, sample: usize) -> Result<Vec<u8>, BadFile> {
    match source.read(sample)?.content {
        Content::Encoded(bytes) => Ok(bytes.to_vec()),
        Content::Decoded(_) => panic!("Parquet files hold encoded images"),
    }
}

#[test]
fn rows_are_samples_in_any_order() {
    let dir = tables();
    let source = open(dir.path(), Unit::Pictures).unwrap().source;
    assert_eq!(source.len(), 30);
    assert_eq!(source.describe(), "30 images in 2 Parquet files");
    assert_eq!(source.name(13), Path::new("train-1.parquet/row 1"));
    for row in (0..30).rev().chain([17, 3, 17, 29, 0]) {
        assert_eq!(content(&*source, row).unwrap(), picture(row), "row {row}");
    }
    let groups = source.groups().unwrap();
    assert_eq!(groups.rows, [5, 7, 3, 1, 14]);
}

#[test]
fn windows_are_as_large_as_memory_allows() {
    let dir = tables();
    let paths = ["train-0.parquet", "train-1.parquet"].map(|name| dir.path().join(name));
    let window = |bytes| {
        let opened = Parquet::list_with_windows(dir.path(), &paths, bytes).unwrap();
        opened.source.groups().unwrap().window
    };
    // The largest group holds 14 rows of about 225 bytes.
    assert_eq!(window(1), 1);
    assert_eq!(window(3500), 1);
    assert_eq!(window(7000), 2);
}

#[test]
fn rows_without_a_picture_are_unusable() {
    let dir = tempfile::tempdir().unwrap();
    write(
        &dir.path().join("x.parquet"),
        &[vec![picture(0), Vec::new(), picture(2)]],
    );
    let source = open(dir.path(), Unit::Pictures).unwrap().source;
    assert_eq!(content(&*source, 2).unwrap(), picture(2));
    let bad = content(&*source, 1).unwrap_err().to_string();
    assert!(bad.ends_with("x.parquet/row 1: no image bytes"), "{bad}");
}

#[test]
fn broken_files_are_broken_parts() {
    let dir = tables();
    let path = dir.path().join("train-1.parquet");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 30]).unwrap();
    let opened = open(dir.path(), Unit::Pictures).unwrap();
    assert_eq!((opened.source.len(), opened.parts), (12, 2));
    let told = opened.bad_parts[0].to_string();
    assert!(
        told.contains("train-1.parquet: not a complete Parquet file"),
        "{told}"
    );
    // Damage inside the file costs one row group, which the message names.
    let mut damaged = bytes.clone();
    damaged[4..200].fill(0xff);
    std::fs::write(&path, damaged).unwrap();
    let source = open(dir.path(), Unit::Pictures).unwrap().source;
    let bad = content(&*source, 13).unwrap_err().to_string();
    assert!(
        bad.contains("train-1.parquet/row 1: cannot read row group 0"),
        "{bad}"
    );
    assert_eq!(content(&*source, 20).unwrap(), picture(20));
    // The same holds for a file that was deleted.
    let source = open(dir.path(), Unit::Pictures).unwrap().source;
    std::fs::remove_file(&path).unwrap();
    assert!(content(&*source, 20).is_err());
    assert_eq!(content(&*source, 3).unwrap(), picture(3));
}

#[test]
fn a_table_without_pictures_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.parquet");
    let schema = "message schema { required int64 id; required binary text (utf8); }";
    let writer = SerializedFileWriter::new(
        File::create(&path).unwrap(),
        Arc::new(parse_message_type(schema).unwrap()),
        Arc::default(),
    );
    writer.unwrap().close().unwrap();
    let message = open(&path, Unit::Pictures).unwrap_err().to_string();
    assert!(
        message.contains("x.parquet: no image column") && message.contains("found id, text"),
        "{message}"
    );
    let message = open(tables().path(), Unit::Videos).unwrap_err().to_string();
    assert!(message.contains("frame_pair"), "{message}");
}

#[test]
fn files_of_pyarrow_are_read() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../fixtures/data/pyarrow.parquet"
    );
    let source = open(Path::new(path), Unit::Pictures).unwrap().source;
    assert_eq!(
        (source.len(), source.groups().unwrap().rows),
        (12, vec![5, 5, 2])
    );
    let options = crate::decode::Options {
        max_megapixels: 1,
        exif_orientation: false,
    };
    for row in [11, 0, 6, 5, 4] {
        let pixels = crate::decode::decode(&content(&*source, row).unwrap(), options).unwrap();
        assert_eq!(pixels.dimensions(), (30, 20));
        let expected = [row as u8 * 20, 255 - row as u8 * 20, 77];
        assert!(
            pixels.pixels().all(|pixel| pixel.0 == expected),
            "row {row}"
        );
    }
}

#[test]
fn zstandard_is_read_or_refused_with_the_feature_it_needs() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../fixtures/data/zstd.parquet"
    );
    let opened = open(Path::new(path), Unit::Pictures);
    if cfg!(feature = "zstd") {
        let source = opened.unwrap().source;
        let png = content(&*source, 1).unwrap();
        assert!(png.starts_with(b"\x89PNG"), "not a PNG image");
    } else {
        let message = opened.unwrap_err().to_string();
        for part in ["zstd.parquet", "ZSTD", "none or Snappy", "--features zstd"] {
            assert!(message.contains(part), "{message}");
        }
    }
}
