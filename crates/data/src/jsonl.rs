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
    lines(path)?.collect()
}

/// As [`read_lines`], one line at a time. A line that is no UTF-8, no JSON or no `T` can be passed over; after
/// [`Error::Io`] no more should be asked for.
///
/// # Errors
///
/// When the file cannot be opened; each line may be an error as well.
pub fn lines<T: DeserializeOwned>(path: &Path) -> Result<impl Iterator<Item = Result<(usize, T)>>> {
    let mut reader = BufReader::new(File::open(path).map_err(Error::io(path))?);
    let (path, mut bytes, mut line) = (path.to_owned(), Vec::new(), 0);
    Ok(std::iter::from_fn(move || {
        loop {
            bytes.clear();
            line += 1;
            match reader.read_until(b'\n', &mut bytes).map_err(Error::io(&path)) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) => return Some(Err(error)),
            }
            let parsed = parsed(&path, line, &bytes).transpose();
            if let Some(parsed) = parsed {
                return Some(parsed.map(|value| (line, value)));
            }
        }
    }))
}

/// The value of a line; `None` when it is blank.
fn parsed<T: DeserializeOwned>(path: &Path, line: usize, bytes: &[u8]) -> Result<Option<T>> {
    let text = std::str::from_utf8(bytes).map_err(|error| Error::NotUtf8 {
        path: path.to_owned(),
        line,
        byte: error.valid_up_to(),
    })?;
    if text.trim().is_empty() {
        return Ok(None);
    }
    serde_json::from_str(text).map(Some).map_err(|error| json_error(path, line, &error))
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
