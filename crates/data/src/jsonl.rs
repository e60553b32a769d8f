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
    lines_by(path, |text| serde_json::from_str(text))
}

/// As [`lines`], but a number may be NaN or infinite as Python's `json` writes it; such a one is read as text.
///
/// # Errors
///
/// As for [`lines`].
pub(crate) fn python_lines<T: DeserializeOwned>(
    path: &Path,
) -> Result<impl Iterator<Item = Result<(usize, T)>>> {
    lines_by(path, |text| {
        let parsed = serde_json::from_str(text);
        parsed.or_else(|error| match quoted(text) {
            Some(quoted) => serde_json::from_str(&quoted),
            None => Err(error),
        })
    })
}

/// Offers each line to `take`, and returns why those it refuses are bad.
///
/// # Errors
///
/// When the file itself cannot be read.
pub(crate) fn take_what_is_good<T>(
    lines: impl Iterator<Item = Result<T>>,
    mut take: impl FnMut(Result<T>) -> Result<()>,
) -> Result<Vec<Error>> {
    let mut bad = vec![];
    for line in lines {
        match take(line) {
            Err(error @ Error::Io { .. }) => return Err(error),
            Err(error) => bad.push(error),
            Ok(()) => {}
        }
    }
    Ok(bad)
}

/// The line with quotes around what is no number in JSON; `None` where there is none.
fn quoted(text: &str) -> Option<String> {
    let (mut quoted, mut rest) = (String::with_capacity(text.len()), text);
    let (mut is_text, mut has_any) = (false, false);
    while let Some(next) = rest.chars().next() {
        let name = NO_NUMBERS.iter().find(|name| !is_text && rest.starts_with(**name));
        let length = match (name, next) {
            (Some(name), _) => name.len(),
            (None, '\\') => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
            (None, _) => next.len_utf8(),
        };
        is_text ^= next == '"';
        has_any |= name.is_some();
        let mark = if name.is_some() { "\"" } else { "" };
        quoted.extend([mark, &rest[..length], mark]);
        rest = &rest[length..];
    }
    has_any.then_some(quoted)
}

/// As Python's `json` spells them.
const NO_NUMBERS: [&str; 3] = ["NaN", "-Infinity", "Infinity"];

/// The lines of a file, each read by `parse`.
fn lines_by<T>(
    path: &Path,
    parse: impl Fn(&str) -> serde_json::Result<T>,
) -> Result<impl Iterator<Item = Result<(usize, T)>>> {
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
            let parsed = parsed(&path, line, &bytes, &parse).transpose();
            if let Some(parsed) = parsed {
                return Some(parsed.map(|value| (line, value)));
            }
        }
    }))
}

/// The value of a line; `None` when it is blank.
fn parsed<T>(
    path: &Path,
    line: usize,
    bytes: &[u8],
    parse: impl Fn(&str) -> serde_json::Result<T>,
) -> Result<Option<T>> {
    let text = std::str::from_utf8(bytes).map_err(|error| Error::NotUtf8 {
        path: path.to_owned(),
        line,
        byte: error.valid_up_to(),
    })?;
    if text.trim().is_empty() {
        return Ok(None);
    }
    parse(text).map(Some).map_err(|error| json_error(path, line, &error))
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

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn what_is_no_number_is_quoted_outside_of_text_alone() {
        for (line, want) in [
            (r#"{"a":NaN,"b":-Infinity}"#, Some(r#"{"a":"NaN","b":"-Infinity"}"#)),
            (r#"{"NaN":"\"NaN","b":[Infinity]}"#, Some(r#"{"NaN":"\"NaN","b":["Infinity"]}"#)),
            (r#"{"a":"NaN ö","b":1}"#, None),
            (r#"{"a":"#, None),
        ] {
            assert_eq!(quoted(line).as_deref(), want, "{line}");
        }
    }
}
