//! One row of a benchmark's file.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::python;

/// Cells by the names of their columns.
#[derive(Clone, Debug)]
pub struct Row {
    /// File and line, or row, from 1.
    pub place: String,
    /// The file.
    pub path: PathBuf,
    cells: Map<String, Value>,
}

impl Row {
    /// A row of a file.
    pub(crate) fn new(path: &Path, number: usize, cells: Map<String, Value>) -> Self {
        Self { place: format!("{}:{number}", path.display()), path: path.to_owned(), cells }
    }

    /// The cell of a column; nothing where it is empty.
    pub fn cell(&self, column: &str) -> Option<&Value> {
        self.cells.get(column).filter(|value| !is_empty(value))
    }

    /// The text of a column.
    ///
    /// # Errors
    /// When the file has no such column, or the cell is empty.
    pub fn text(&self, column: &str) -> Result<String, String> {
        self.optional(column).ok_or_else(|| match self.cells.contains_key(column) {
            true => format!("column `{column}` is empty"),
            false => format!("no column `{column}`"),
        })
    }

    /// The text of a column, if there is any.
    pub fn optional(&self, column: &str) -> Option<String> {
        self.cell(column).map(as_text)
    }

    /// The text of the first of these columns that has any.
    ///
    /// # Errors
    /// When none has.
    pub fn any(&self, columns: &[&str]) -> Result<String, String> {
        let found = columns.iter().find_map(|column| self.optional(column));
        found.ok_or_else(|| format!("none of the columns `{}`", columns.join("`, `")))
    }

    /// The entries of a column: a list, or one as Python or JSON spells it.
    ///
    /// # Errors
    /// When the column is missing, empty or no list.
    pub fn list(&self, column: &str) -> Result<Vec<String>, String> {
        let entries = match self.cell(column) {
            Some(Value::Array(entries)) => Some(entries.clone()),
            Some(Value::String(text)) => python::list(text),
            _ => None,
        };
        let entries = entries.ok_or_else(|| match self.text(column) {
            Ok(text) => format!("column `{column}` is no list: {}", excerpt(&text)),
            Err(reason) => reason,
        })?;
        Ok(entries.iter().map(as_text).collect())
    }

    /// All cells as a JSON object.
    pub fn object(&self) -> Value {
        Value::Object(self.cells.clone())
    }

    /// Texts of the columns `A`, `B`, … up to the first that is empty.
    pub fn lettered(&self) -> Vec<String> {
        ('A'..='Z').map_while(|letter| self.optional(&letter.to_string())).collect()
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty() || text == "nan" || text == "NaN",
        Value::Array(_) | Value::Object(_) | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// The beginning of a text, for a message.
pub(crate) fn excerpt(text: &str) -> String {
    const SHOWN: usize = 80;
    let start: String = text.chars().take(SHOWN).collect();
    if start.len() < text.len() { format!("{start:?}…") } else { format!("{start:?}") }
}
