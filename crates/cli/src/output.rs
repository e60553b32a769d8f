//! What a command says on standard output: a table for people, or JSON for programs.

use std::fs::File;
use std::io::{BufWriter, ErrorKind, StdoutLock, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;

use crate::failure::StdoutClosed;

/// Where results go.
#[derive(Clone, Debug)]
pub(crate) enum Output {
    /// Standard output, as text for people.
    Text,
    /// Standard output, as JSON.
    Json,
    /// Whoever called the command.
    Captured(Captured),
}

/// The result of a command that was called by another.
#[derive(Clone, Debug, Default)]
pub(crate) struct Captured(Arc<Mutex<Value>>);

impl Captured {
    /// What was shown last.
    pub(crate) fn take(&self) -> Value {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Output {
    /// Prints a result as JSON, or the text made of it; or keeps it.
    pub(crate) fn show<T: Serialize>(
        &self,
        result: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<()> {
        match self {
            Self::Json => print(&serde_json::to_string_pretty(result)?),
            Self::Text => print(&text(result)),
            Self::Captured(captured) => {
                let result = serde_json::to_value(result)?;
                *captured.0.lock().unwrap_or_else(PoisonError::into_inner) = result;
                Ok(())
            }
        }
    }

    /// Prints a piece of a text as soon as it is known, where a person reads.
    pub(crate) fn stream(&self, piece: &str) -> Result<()> {
        match self {
            Self::Text => put(|stdout| stdout.write_all(piece.as_bytes())),
            Self::Json | Self::Captured(_) => Ok(()),
        }
    }

    /// For a command whose result the caller wants to have.
    pub(crate) fn captured() -> (Self, Captured) {
        let captured = Captured::default();
        (Self::Captured(captured.clone()), captured)
    }
}

/// Prints text and ends the line.
fn print(text: &str) -> Result<()> {
    put(|stdout| writeln!(stdout, "{}", text.trim_end()))
}

fn put(write: impl FnOnce(&mut StdoutLock<'_>) -> std::io::Result<()>) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    let written = write(&mut stdout).and_then(|()| stdout.flush());
    written.map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => StdoutClosed.into(),
        _ => anyhow::Error::from(error).context("standard output"),
    })
}

/// Rows of a table under their headings; columns of numbers are aligned to the right.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub(crate) fn new(headings: &[&str]) -> Self {
        Self { rows: vec![headings.iter().map(|&heading| heading.to_owned()).collect()] }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cells = |column: usize| self.rows.iter().filter_map(move |row| row.get(column));
        let widths: Vec<usize> = (0..self.rows[0].len())
            .map(|column| cells(column).map(|cell| cell.chars().count()).max().unwrap_or(0))
            .collect();
        let right: Vec<bool> = (0..widths.len())
            .map(|column| cells(column).skip(1).all(|cell| is_number(cell)))
            .collect();
        for row in &self.rows {
            let padded = row.iter().enumerate().map(|(column, cell)| match right[column] {
                true => format!("{cell:>width$}", width = widths[column]),
                false => format!("{cell:<width$}", width = widths[column]),
            });
            writeln!(f, "{}", padded.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}

fn is_number(cell: &str) -> bool {
    cell.is_empty() || cell.trim_start_matches('-').starts_with(|c: char| c.is_ascii_digit())
}

/// `1.5 GB`: three digits are enough for people.
pub(crate) fn bytes(count: u64) -> String {
    scaled(count as f64, &["B", "kB", "MB", "GB", "TB"])
}

/// `135 M`.
pub(crate) fn count(count: usize) -> String {
    scaled(count as f64, &["", "k", "M", "G"]).trim_end().to_owned()
}

/// `45 s`, `12 min`, `3.5 h`, `20 days`.
pub(crate) fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3600.0),
        s if s < 6.3e7 => format!("{:.0} days", s / 86_400.0),
        s => format!("{:.0} years", s / 31_557_600.0),
    }
}

fn scaled(value: f64, units: &[&str]) -> String {
    let (mut value, mut unit) = (value, 0);
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    let decimals = if unit == 0 || value >= 99.95 { 0 } else { 1 };
    format!("{value:.decimals$} {}", units[unit])
}

/// Writes a file that appears complete or not at all.
pub(crate) fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let partial = suffixed(path, ".partial");
    let write = || {
        let mut file = BufWriter::new(File::create(&partial)?);
        file.write_all(bytes)?;
        file.into_inner()?.sync_all()?;
        std::fs::rename(&partial, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// The path with something put after its name.
pub(crate) fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_on_the_right() {
        let mut table = Table::new(&["part", "bytes"]);
        table.row(["llm".to_owned(), "9 MB".to_owned()]);
        table.row(["adapter".to_owned(), "12 kB".to_owned()]);
        assert_eq!(table.to_string(), "part     bytes\nllm       9 MB\nadapter  12 kB\n");
    }

    #[test]
    fn times_for_people() {
        let cases = [(12.3, "12 s"), (600.0, "10 min"), (9000.0, "2.5 h"), (1e6, "12 days")];
        for (seconds, text) in cases {
            assert_eq!(duration(seconds), text);
        }
        assert_eq!(duration(1e9), "32 years");
    }

    #[test]
    fn sizes_for_people() {
        let cases = [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (999_950, "1.0 MB")];
        for (size, text) in cases {
            assert_eq!(bytes(size), text);
        }
        assert_eq!(bytes(134_500_000), "134 MB");
        assert_eq!(count(134_515_008), "135 M");
        assert_eq!(count(12), "12");
    }
}
