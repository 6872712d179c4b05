//! Finds the column of images and reads a row group of it.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use ::parquet::basic::Type;
use ::parquet::column::reader::ColumnReader;
use ::parquet::data_type::ByteArray;
use ::parquet::errors::ParquetError;
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::schema::types::SchemaDescriptor;

use super::cache::Pictures;

/// Returns the leaf column that holds the images: the only `X.bytes`, or `image.bytes` if there are several.
pub(super) fn image_column(schema: &SchemaDescriptor) -> Option<usize> {
    let is_bytes = |leaf: usize| {
        let column = schema.column(leaf);
        let path = column.path().parts();
        let fits = path.len() == 2 && path[1] == "bytes" && column.max_rep_level() == 0;
        fits && column.physical_type() == Type::BYTE_ARRAY
    };
    let leaves: Vec<usize> = (0..schema.num_columns())
        .filter(|&leaf| is_bytes(leaf))
        .collect();
    let named = |&&leaf: &&usize| schema.column(leaf).path().parts()[0] == "image";
    match leaves.as_slice() {
        [only] => Some(*only),
        several => several.iter().find(named).copied(),
    }
}

/// Reads the images of row group `group` of the file at `path`. The error is the reason in words.
pub(super) fn read(path: &Path, group: usize, column: usize) -> Pictures {
    let file = File::open(path).map_err(|error| format!("cannot read: {error}"))?;
    // The reader works on untrusted bytes, so a panic in it costs a row group and not the run.
    catch_unwind(AssertUnwindSafe(|| decode(file, group, column)))
        .unwrap_or_else(|_| Err(ParquetError::General("the reader panicked".to_owned())))
        .map_err(|error| format!("cannot read row group {group}: {error}"))
}

fn decode(file: File, group: usize, column: usize) -> Result<Vec<Option<ByteArray>>, ParquetError> {
    let reader = SerializedFileReader::new(file)?;
    let group = reader.get_row_group(group)?;
    let rows = group.metadata().num_rows() as usize;
    let full_level = group
        .metadata()
        .schema_descr()
        .column(column)
        .max_def_level();
    let ColumnReader::ByteArrayColumnReader(mut column) = group.get_column_reader(column)? else {
        let found = "the column holds no byte arrays".to_owned();
        return Err(ParquetError::General(found));
    };
    let (mut levels, mut values) = (Vec::new(), Vec::new());
    let mut read = 0;
    while read < rows {
        let (records, ..) =
            column.read_records(rows - read, Some(&mut levels), None, &mut values)?;
        if records == 0 {
            let missing = format!("ends after {read} of {rows} rows");
            return Err(ParquetError::General(missing));
        }
        read += records;
    }
    if full_level == 0 {
        return Ok(values.into_iter().map(Some).collect());
    }
    // Rows without an image have a lower definition level and no value.
    let mut values = values.into_iter();
    let row = |level| (level == full_level).then(|| values.next()).flatten();
    Ok(levels.into_iter().map(row).collect())
}
