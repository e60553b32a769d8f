//! Files of one JSON value a line.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// Reads every line as a `T`, with its line number (from 1). Blank lines are skipped.
///
/// # Errors
///
/// When the file cannot be read, or a line is no UTF-8, no JSON or no `T`; the error names the line.
pub fn read_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<(usize, T)>> {
    let mut reader = BufReader::new(File::open(path).map_err(Error::io(path))?);
    let (mut values, mut bytes) = (Vec::new(), Vec::new());
    for line in 1.. {
        bytes.clear();
        if reader.read_until(b'\n', &mut bytes).map_err(Error::io(path))? == 0 {
            break;
        }
        let text = std::str::from_utf8(&bytes).map_err(|e| Error::NotUtf8 {
            path: path.to_owned(),
            line,
            byte: e.valid_up_to(),
        })?;
        if !text.trim().is_empty() {
            values
                .push((line, serde_json::from_str(text).map_err(|e| json_error(path, line, &e))?));
        }
    }
    Ok(values)
}

/// Writes one line for each value. The file appears complete or not at all.
///
/// # Errors
///
/// When the file cannot be written, or a value has no JSON form.
pub fn write_lines<T: Serialize>(path: &Path, values: impl IntoIterator<Item = T>) -> Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = Path::new(&partial);
    let mut file = BufWriter::new(File::create(partial).map_err(Error::io(partial))?);
    for value in values {
        serde_json::to_writer(&mut file, &value).map_err(|e| Error::io(partial)(e.into()))?;
        file.write_all(b"\n").map_err(Error::io(partial))?;
    }
    let file = file.into_inner().map_err(|e| Error::io(partial)(e.into_error()))?;
    file.sync_all().map_err(Error::io(partial))?;
    std::fs::rename(partial, path).map_err(Error::io(path))
}

/// Serde counts the lines of the one line it was given, so its own "line 1" would mislead.
fn json_error(path: &Path, line: usize, error: &serde_json::Error) -> Error {
    let text = error.to_string();
    let reason = text.rsplit_once(" at line ").map_or(text.as_str(), |(reason, _)| reason);
    Error::Json { path: path.to_owned(), line, column: error.column(), reason: reason.to_owned() }
}
