//! JSON: an object a line, or one list of objects.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde_json::{Map, Value};

use super::{Row, Rows};
use crate::{Error, Flaw};

pub(super) fn open(path: &Path) -> Result<Rows, Error> {
    let mut reader = BufReader::new(File::open(path).map_err(Error::io(path))?);
    let start = reader.fill_buf().map_err(Error::io(path))?;
    if start.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
        let list: Vec<Value> = serde_json::from_reader(reader).map_err(Error::table(path))?;
        let path = path.to_owned();
        let rows = list.into_iter().enumerate();
        return Ok(Box::new(rows.map(move |(index, value)| row(&path, index + 1, value))));
    }
    let path = path.to_owned();
    let lines = reader
        .lines()
        .enumerate()
        .filter(|(_, line)| line.as_ref().map_or(true, |line| !line.trim().is_empty()));
    Ok(Box::new(lines.map(move |(index, line)| {
        let value = line
            .map_err(|error| error.to_string())
            .and_then(|line| serde_json::from_str(&line).map_err(|error| error.to_string()));
        match value {
            Ok(value) => row(&path, index + 1, value),
            Err(reason) => Err(flaw(&path, index + 1, reason)),
        }
    })))
}

/// A list takes the names `0`, `1`, … for its columns, as in easy-VQA's files.
fn row(path: &Path, number: usize, value: Value) -> Result<Row, Flaw> {
    match value {
        Value::Object(cells) => Ok(Row::new(path, number, cells)),
        Value::Array(list) => {
            let cells = list.into_iter().enumerate().map(|(index, cell)| (index.to_string(), cell));
            Ok(Row::new(path, number, cells.collect::<Map<_, _>>()))
        }
        _ => Err(flaw(path, number, "not a JSON object".to_owned())),
    }
}

fn flaw(path: &Path, number: usize, reason: String) -> Flaw {
    Flaw { place: format!("{}:{number}", path.display()), reason }
}
