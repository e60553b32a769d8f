//! Rows as a Parquet table: one column each, the conversation as JSON.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::data_type::{ByteArray, ByteArrayType, DoubleType};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use crate::Error;
use crate::table::{NUMBERS, Row, WORDS};

/// Columns of the conversation.
const CONVERSATION: [&str; 3] = ["messages", "images", "answer"];

/// Writes the table. The file appears complete or not at all.
pub(crate) fn write(rows: &[&Row], path: &Path) -> Result<(), Error> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = Path::new(&partial);
    let file = File::create(partial).map_err(Error::io(partial))?;
    let written = table(rows, file);
    written.map_err(|source| Error::Parquet { path: path.to_owned(), source })?;
    std::fs::rename(partial, path).map_err(Error::io(path))
}

fn table(rows: &[&Row], file: File) -> Result<(), ParquetError> {
    let schema = Arc::new(parse_message_type(&schema())?);
    let properties = Arc::new(WriterProperties::builder().build());
    let mut writer = SerializedFileWriter::new(file, schema, properties)?;
    let mut group = writer.next_row_group()?;
    for (_, of) in NUMBERS {
        doubles(&mut group, rows.iter().map(|row| of(row)))?;
    }
    for (_, of) in WORDS {
        texts(&mut group, rows.iter().map(|row| of(row).map(str::to_owned)))?;
    }
    let json = |value: serde_json::Result<String>| Some(value.expect("a sample has a JSON form"));
    texts(&mut group, rows.iter().map(|row| json(serde_json::to_string(&row.sample.messages))))?;
    texts(&mut group, rows.iter().map(|row| json(serde_json::to_string(&row.sample.images))))?;
    texts(&mut group, rows.iter().map(|row| row.sample.answer.clone()))?;
    group.close()?;
    writer.close().map(drop)
}

fn schema() -> String {
    let numbers = NUMBERS.iter().map(|(name, _)| format!("OPTIONAL DOUBLE {name};"));
    let words = WORDS.iter().map(|(name, _)| *name).chain(CONVERSATION);
    let words = words.map(|name| format!("OPTIONAL BYTE_ARRAY {name} (STRING);"));
    format!("message items {{ {} }}", numbers.chain(words).collect::<Vec<_>>().join(" "))
}

fn doubles(
    group: &mut SerializedRowGroupWriter<'_, File>,
    values: impl Iterator<Item = Option<f64>>,
) -> Result<(), ParquetError> {
    let values: Vec<Option<f64>> = values.collect();
    let (levels, values) = split(values);
    let mut column = group.next_column()?.expect("the schema has a column for each");
    column.typed::<DoubleType>().write_batch(&values, Some(&levels), None)?;
    column.close()
}

fn texts(
    group: &mut SerializedRowGroupWriter<'_, File>,
    values: impl Iterator<Item = Option<String>>,
) -> Result<(), ParquetError> {
    let values = values.map(|text| text.map(|text| ByteArray::from(text.into_bytes())));
    let (levels, values) = split(values.collect());
    let mut column = group.next_column()?.expect("the schema has a column for each");
    column.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None)?;
    column.close()
}

/// Where there are values, and the values.
fn split<T>(values: Vec<Option<T>>) -> (Vec<i16>, Vec<T>) {
    let levels = values.iter().map(|value| i16::from(value.is_some())).collect();
    (levels, values.into_iter().flatten().collect())
}
