//! Reading the small files of a model's folder.

use std::io::ErrorKind;
use std::path::Path;

use serde_json::Value;

use crate::error::{Error, Result};

/// A text file, or `None` when there is none.
pub(crate) fn read_text_if_present(path: &Path) -> Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(source) if source.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Io { path: path.to_owned(), source }),
    }
}

/// A JSON file, or `None` when there is none.
pub(crate) fn read_json_if_present(path: &Path) -> Result<Option<Value>> {
    let Some(text) = read_text_if_present(path)? else { return Ok(None) };
    let json = serde_json::from_str(&text);
    json.map(Some).map_err(|e| Error::Config { path: path.to_owned(), reason: e.to_string() })
}
