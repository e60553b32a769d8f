//! TSV and CSV with a heading.

use std::fs::File;
use std::path::Path;

use csv::{ReaderBuilder, StringRecord};
use serde_json::{Map, Value};

use super::{Row, Rows};
use crate::{Error, Flaw};

pub(super) fn open(path: &Path, delimiter: u8) -> Result<Rows, Error> {
    let file = File::open(path).map_err(Error::io(path))?;
    let mut reader = ReaderBuilder::new().delimiter(delimiter).from_reader(file);
    let headings = reader.headers().map_err(Error::table(path))?.clone();
    let path = path.to_owned();
    let rows = reader.into_records().enumerate().map(move |(index, record)| {
        // The heading is the first line.
        let number = index + 2;
        match record {
            Ok(record) => Ok(Row::new(&path, number, cells(&headings, &record))),
            Err(error) => {
                let place = format!("{}:{number}", path.display());
                Err(Flaw { place, reason: error.to_string() })
            }
        }
    });
    Ok(Box::new(rows))
}

fn cells(headings: &StringRecord, record: &StringRecord) -> Map<String, Value> {
    let pairs = headings.iter().zip(record);
    pairs.map(|(heading, cell)| (heading.to_owned(), Value::String(cell.to_owned()))).collect()
}
