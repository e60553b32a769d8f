//! Parquet: text stays text, bytes become base64.

use std::fs::File;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parquet::file::reader::SerializedFileReader;
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row as Record};
use serde_json::{Map, Number, Value};

use super::{Row, Rows};
use crate::{Error, Flaw};

/// Rows decoded together: an image in each may have megabytes.
const BATCH: usize = 16;

pub(super) fn open(path: &Path) -> Result<Rows, Error> {
    let file = File::open(path).map_err(Error::io(path))?;
    let reader = SerializedFileReader::new(file).map_err(Error::table(path))?;
    let mut records = RowIter::from_file_into(Box::new(reader)).with_batch_size(BATCH);
    let (path, mut number, mut broken) = (path.to_owned(), 0, false);
    Ok(Box::new(std::iter::from_fn(move || {
        if broken {
            return None;
        }
        number += 1;
        Some(match records.next()? {
            Ok(record) => Ok(Row::new(&path, number, object(&record))),
            Err(error) => {
                broken = true;
                Err(Flaw {
                    place: format!("{}:{number}", path.display()),
                    reason: error.to_string(),
                })
            }
        })
    })))
}

fn object(record: &Record) -> Map<String, Value> {
    record.get_column_iter().map(|(name, field)| (name.clone(), value(field))).collect()
}

fn value(field: &Field) -> Value {
    match field {
        Field::Bool(value) => Value::Bool(*value),
        Field::Byte(value) => Value::from(*value),
        Field::Short(value) => Value::from(*value),
        Field::Int(value) => Value::from(*value),
        Field::Long(value) => Value::from(*value),
        Field::UByte(value) => Value::from(*value),
        Field::UShort(value) => Value::from(*value),
        Field::UInt(value) => Value::from(*value),
        Field::ULong(value) => Value::from(*value),
        Field::Float(value) => number(f64::from(*value)),
        Field::Double(value) => number(*value),
        Field::Str(text) => Value::String(text.clone()),
        Field::Bytes(bytes) => text_or_base64(bytes.data()),
        Field::Group(group) => Value::Object(object(group)),
        Field::ListInternal(list) => list.elements().iter().map(value).collect(),
        Field::MapInternal(map) => Value::Object(
            map.entries().iter().map(|(key, field)| (key.to_string(), value(field))).collect(),
        ),
        Field::Null => Value::Null,
        other => Value::String(other.to_string()),
    }
}

fn number(value: f64) -> Value {
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

/// Text columns of some files lack the mark that says so; no image is UTF-8.
fn text_or_base64(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => Value::String(text.to_owned()),
        Err(_) => Value::String(STANDARD.encode(bytes)),
    }
}
