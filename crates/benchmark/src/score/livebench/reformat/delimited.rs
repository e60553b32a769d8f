//! Tables of separated fields as pandas' C parser reads them.

use super::frame::{Cell, Column, Frame, Kind, is_read, names};

/// How fields are separated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dialect {
    pub separator: char,
    skips_spaces: bool,
}

impl Dialect {
    pub(super) const CSV: Self = Self { separator: ',', skips_spaces: false };
    pub(super) const TSV: Self = Self { separator: '\t', skips_spaces: false };
    pub(super) const BARS: Self = Self { separator: '|', skips_spaces: true };
}

/// What stands for a hole.
const HOLES: [&str; 19] = [
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
    "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
];

/// A table whose first line is its header; nothing where a quote stays open or a row is longer than those before.
pub(super) fn frame(text: &str, dialect: Dialect) -> Option<Frame> {
    let mut records = records(text, dialect)?.into_iter();
    let names = names(&records.next()?);
    let rows: Vec<Vec<String>> = records.collect();
    // Where the first row is longer than the header, what is too much in front is an index.
    let width = rows.first().map_or(names.len(), |first| first.len().max(names.len()));
    let num_skipped = width - names.len();
    if rows.iter().any(|row| row.len() > width) || !is_read(rows.len(), width) {
        return None;
    }
    let column = |(place, name): (usize, String)| {
        let fields: Vec<&str> = rows
            .iter()
            .map(|row| row.get(place + num_skipped).map_or("", String::as_str))
            .collect();
        typed(Some(name), &fields)
    };
    let columns = names.into_iter().enumerate().map(column).collect();
    Some(Frame { columns, num_rows: rows.len() })
}

/// A column of the type that all its fields have.
pub(super) fn typed(name: Option<String>, fields: &[&str]) -> Column {
    let present: Vec<&str> = fields.iter().copied().filter(|field| !is_hole(field)).collect();
    let filled = |of: &dyn Fn(&str) -> Cell| -> Vec<Cell> {
        fields.iter().map(|field| if is_hole(field) { Cell::HOLE } else { of(field) }).collect()
    };
    let number = |field: &str| number(field).unwrap_or(f64::NAN);
    let truth = |field: &str| f64::from(u8::from(truth(field) == Some(true)));
    let are_numbers = present.iter().all(|field| self::number(field).is_some());
    let are_truths = present.iter().all(|field| self::truth(field).is_some());
    let (cells, kind) = match (are_numbers && !is_too_large(&present), are_truths) {
        (true, _) if fields.is_empty() => (Vec::new(), Kind::Objects),
        (true, _) => (filled(&|field| Cell::Number(number(field))), Kind::Numbers),
        (_, true) if present.len() < fields.len() => {
            (filled(&|field| Cell::Plain(truth(field))), Kind::Objects)
        }
        (_, true) => (filled(&|field| Cell::Number(truth(field))), Kind::Truths),
        _ => (filled(&|field| Cell::Text(field.to_owned())), Kind::Objects),
    };
    Column { name, cells, kind }
}

fn is_hole(field: &str) -> bool {
    HOLES.contains(&field)
}

fn number(field: &str) -> Option<f64> {
    let bare = field.trim_matches([' ', '\t', '\n', '\r', '\u{b}', '\u{c}']);
    // The words for infinity stand alone.
    let is_numeral = bare.len() == field.len() || !bare.contains(['n', 'N']);
    bare.parse().ok().filter(|value: &f64| is_numeral && !value.is_nan())
}

fn truth(field: &str) -> Option<bool> {
    match field {
        "True" | "TRUE" | "true" => Some(true),
        "False" | "FALSE" | "false" => Some(false),
        _ => None,
    }
}

/// Whether integers go on until one that 64 bits do not hold: pandas keeps such columns as texts.
fn is_too_large(fields: &[&str]) -> bool {
    let first = fields.iter().map(|field| field.trim()).find(|field| field.parse::<i64>().is_err());
    let Some(field) = first.filter(|field| field.parse::<u64>().is_err()) else { return false };
    let digits = field.strip_prefix(['-', '+']).unwrap_or(field);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// All lines but blank ones, by their fields.
fn records(text: &str, dialect: Dialect) -> Option<Vec<Vec<String>>> {
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut records = Vec::new();
    while !rest.is_empty() {
        let end = rest.find(['\n', '\r']).unwrap_or(rest.len());
        if rest[..end].chars().all(|c| (c == ' ' || c == '\t') && c != dialect.separator) {
            rest = next_line(&rest[end..]);
            continue;
        }
        let (record, behind) = record(rest, dialect)?;
        records.push(record);
        rest = behind;
    }
    Some(records)
}

fn next_line(rest: &str) -> &str {
    rest.strip_prefix("\r\n").or_else(|| rest.strip_prefix(['\n', '\r'])).unwrap_or(rest)
}

/// The fields of one line, which quotes may make longer, and what follows.
fn record(mut rest: &str, dialect: Dialect) -> Option<(Vec<String>, &str)> {
    let mut fields = Vec::new();
    loop {
        let (field, behind) = field(rest, dialect)?;
        fields.push(field);
        match behind.strip_prefix(dialect.separator) {
            Some(behind) => rest = behind,
            None => return Some((fields, next_line(behind))),
        }
    }
}

/// Quotes count at the beginning of a field; what stands behind them belongs to it.
fn field(rest: &str, dialect: Dialect) -> Option<(String, &str)> {
    let mut rest = if dialect.skips_spaces { rest.trim_start_matches(' ') } else { rest };
    let mut field = String::new();
    if let Some(mut quoted) = rest.strip_prefix('"') {
        loop {
            let (inside, behind) = quoted.split_once('"')?;
            field.push_str(inside);
            rest = behind;
            let Some(again) = behind.strip_prefix('"') else { break };
            field.push('"');
            quoted = again;
        }
    }
    let ends = |c: char| c == dialect.separator || c == '\n' || c == '\r';
    let (last, behind) = rest.split_at(rest.find(ends).unwrap_or(rest.len()));
    field.push_str(last);
    Some((field, behind))
}
