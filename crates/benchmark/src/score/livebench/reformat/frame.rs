//! Columns of cells, and when two tables are the same.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

/// Numbers nearer than this are the same.
const NEAR: f64 = 1e-6;

/// Tables of more cells are not read: no known one comes near.
const MAX_CELLS: usize = 1 << 20;

/// Whether a table of so many rows and columns is read.
pub(super) fn is_read(num_rows: usize, num_columns: usize) -> bool {
    num_rows.saturating_mul(num_columns) <= MAX_CELLS
}

/// A table.
#[derive(Clone, Debug, Default)]
pub(super) struct Frame {
    pub columns: Vec<Column>,
    pub num_rows: usize,
}

/// A column.
#[derive(Clone, Debug)]
pub(super) struct Column {
    /// Its name; none where pandas makes a number or a date of it.
    pub name: Option<String>,
    pub cells: Vec<Cell>,
    pub kind: Kind,
}

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Numbers,
    /// Truth values, none of which is missing.
    Truths,
    /// Texts and mixed values.
    Objects,
}

/// A cell as pandas holds it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    /// A number or truth value of a column of such, or a float; also a hole.
    Number(f64),
    /// An integer or truth value among others.
    Plain(f64),
    Text(String),
    /// Nanoseconds since 1970.
    Date(i64),
    /// JSON's null among others.
    Null,
    /// A list or an object.
    Nested(Value),
    /// A hole among dates, which is not even itself.
    NoDate,
}

impl Cell {
    pub(super) const HOLE: Self = Self::Number(f64::NAN);

    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => {
                (a.is_nan() && b.is_nan()) || (a - b).abs() < NEAR
            }
            (Self::Number(a) | Self::Plain(a), Self::Number(b) | Self::Plain(b)) => a == b,
            (Self::Text(a), Self::Text(b)) => a.trim() == b.trim(),
            (Self::NoDate, _) => false,
            (a, b) => a == b,
        }
    }

    /// As Python's `str` has it, where it is needed: truth values and holes.
    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.trim().to_owned(),
            Self::Plain(value) => (if *value == 0.0 { "False" } else { "True" }).to_owned(),
            _ => "nan".to_owned(),
        }
    }
}

impl Column {
    /// Makes texts of what is no number.
    pub(super) fn as_texts(&mut self) {
        if self.kind == Kind::Objects {
            self.cells.iter_mut().for_each(|cell| *cell = Cell::Text(cell.text()));
        }
    }
}

impl Frame {
    /// The names of its columns, if all have one.
    pub(super) fn names(&self) -> Option<Vec<&str>> {
        self.columns.iter().map(|column| column.name.as_deref()).collect()
    }

    pub(super) fn trim_names(&mut self) {
        for name in self.columns.iter_mut().filter_map(|column| column.name.as_mut()) {
            *name = name.trim().to_owned();
        }
    }

    /// Columns by their names, one called `index` aside.
    fn sorted(&self) -> Option<Vec<(&str, &Column)>> {
        let named = |column| Some((Column::name(column)?, column));
        let mut sorted: Vec<_> = self.columns.iter().map(named).collect::<Option<_>>()?;
        sorted.retain(|(name, _)| *name != "index");
        sorted.sort_by_key(|(name, _)| *name);
        Some(sorted)
    }

    /// Whether both have the same rows in the same order, and the same columns in any.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let (Some(ours), Some(others)) = (self.sorted(), other.sorted()) else { return false };
        let is_twice = ours.windows(2).any(|pair| pair[0].0 == pair[1].0);
        self.num_rows == other.num_rows
            && ours.len() == others.len()
            && !(is_twice && self.num_rows > 0)
            && ours.iter().zip(&others).all(|((name, ours), (other, others))| {
                let mut cells = ours.cells.iter().zip(&others.cells);
                name == other && cells.all(|(ours, others)| ours.is_same(others))
            })
    }
}

impl Column {
    fn name(&self) -> Option<&str> {
        self.name.as_deref().map(str::trim)
    }
}

/// Names of columns as pandas gives them: empty ones are numbered, repeated ones too.
pub(super) fn names(header: &[String]) -> Vec<String> {
    let (mut seen, mut numbers) = (HashSet::new(), HashMap::new());
    let mut name = |(place, name): (usize, &String)| {
        let bare = if name.is_empty() { format!("Unnamed: {place}") } else { name.clone() };
        let mut name = bare.clone();
        while !seen.insert(name.clone()) {
            let number = numbers.entry(bare.clone()).or_insert(0_usize);
            *number += 1;
            name = format!("{bare}.{number}");
        }
        name
    };
    header.iter().enumerate().map(&mut name).collect()
}
