//! Files of rows as published: Hugging Face's parquet, VLMEvalKit's TSV, CSV, and JSON a line or in one list.
//!
//! ```text
//! *.parquet ─┐
//! *.tsv, csv ┼─► rows, one at a time ─► cells by column, as text, list or image
//! *.json(l) ─┘
//! ```

mod delimited;
mod json;
mod parquet;
mod row;

use std::path::{Path, PathBuf};

pub use row::Row;

use crate::{Error, Flaw};

/// Names of files that can be read end so.
pub(crate) const EXTENSIONS: [&str; 5] = ["parquet", "tsv", "csv", "jsonl", "json"];

/// The rows of a file; one that cannot be read is a flaw.
pub type Rows = Box<dyn Iterator<Item = Result<Row, Flaw>>>;

/// Opens a file by what its name ends in.
///
/// # Errors
/// When it cannot be opened, or is not of the format that its name says.
pub fn open(path: &Path) -> Result<Rows, Error> {
    match extension(path).as_deref() {
        Some("parquet") => parquet::open(path),
        Some("tsv") => delimited::open(path, b'\t'),
        Some("csv") => delimited::open(path, b','),
        Some("jsonl" | "json") => json::open(path),
        _ => Err(Error::table(path)(format!("its name ends in none of {}", EXTENSIONS.join(", ")))),
    }
}

/// All files below a folder that can be read, in the order of their paths.
///
/// # Errors
/// When a folder cannot be read.
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(Error::io(&folder))? {
            let path = entry.map_err(Error::io(&folder))?.path();
            if path.is_dir() {
                folders.push(path);
            } else if extension(&path).is_some_and(|end| EXTENSIONS.contains(&end.as_str())) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn extension(path: &Path) -> Option<String> {
    Some(path.extension()?.to_str()?.to_ascii_lowercase())
}
