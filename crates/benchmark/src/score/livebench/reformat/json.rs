//! Tables in JSON as pandas' `read_json` reads them.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::frame::{Cell, Column, Frame, Kind, is_read};

/// Stands for JavaScript's numbers that JSON lacks.
const NOT_JSON: [(&str, &str, f64); 3] = [
    ("NaN", "\u{1}nan", f64::NAN),
    ("-Infinity", "\u{1}-inf", f64::NEG_INFINITY),
    ("Infinity", "\u{1}inf", f64::INFINITY),
];

/// A list of rows, or an object of rows by their index.
pub(super) fn frame(text: &str) -> Option<Frame> {
    let value = parsed(text)?;
    match &value {
        Value::Object(rows) => match rows.values().next() {
            None => Some(Frame::default()),
            Some(Value::Object(_)) => {
                let rows: Option<Vec<_>> = rows.values().map(Value::as_object).collect();
                Some(converted(&rows?))
            }
            // Columns without names.
            Some(_) => Some(nameless()),
        },
        Value::Array(rows) => Some(of_list(rows)),
        _ => None,
    }
}

/// A row on each line, blank ones aside.
pub(super) fn frame_of_lines(text: &str) -> Option<Frame> {
    let lines: Vec<&str> =
        text.split('\n').map(str::trim).filter(|line| !line.is_empty()).collect();
    match parsed(&format!("[{}]", lines.join(",")))? {
        Value::Array(rows) => Some(of_list(&rows)),
        _ => None,
    }
}

/// The lines that are rows of these columns, as they are.
pub(super) fn frame_among_lines(text: &str, names: &[&str]) -> Option<Frame> {
    let is_row = |line: &&str| {
        line.starts_with('{') && line.ends_with('}') && names.iter().all(|name| line.contains(name))
    };
    let rows: Vec<Value> = text.trim().split('\n').filter(is_row).filter_map(parsed).collect();
    let rows: Vec<&Map<String, Value>> = rows.iter().filter_map(Value::as_object).collect();
    (!rows.is_empty()).then(|| built(&rows, |name, cells| untyped(name, &cells)))
}

/// An object with a schema (`orient="table"`).
pub(super) fn frame_with_schema(text: &str) -> Option<Frame> {
    let value = parsed(text)?;
    let (schema, data) = (value.get("schema")?, value.get("data")?.as_array()?);
    let rows: Vec<&Map<String, Value>> =
        data.iter().map(Value::as_object).collect::<Option<_>>()?;
    let keys = schema["primaryKey"].as_array();
    let mut columns = Vec::new();
    for field in schema["fields"].as_array()? {
        let name = &field["name"];
        let (text, kind) = (name.as_str()?, field["type"].as_str()?);
        if keys.is_none_or(|keys| !keys.contains(name)) {
            columns.push(cast(text, kind, &rows)?);
        }
    }
    Some(Frame { columns, num_rows: rows.len() })
}

fn cast(name: &str, kind: &str, rows: &[&Map<String, Value>]) -> Option<Column> {
    let values: Vec<Option<&Value>> =
        rows.iter().map(|row| row.get(name).filter(|value| !value.is_null())).collect();
    let mut column = untyped(name, &values);
    let has_holes = values.iter().any(Option::is_none);
    match kind {
        "integer" | "number" | "boolean" if kind == "number" || !has_holes => {
            let numbers: Option<Vec<f64>> = column.cells.iter().map(as_float).collect();
            let cells = numbers?.into_iter();
            column.cells = cells.map(Cell::Number).collect();
            column.kind = Kind::Numbers;
        }
        "integer" => return None,
        _ => {}
    }
    Some(column)
}

/// JSON, with three words more.
fn parsed(text: &str) -> Option<Value> {
    if let Ok(value) = serde_json::from_str(text) {
        return Some(value);
    }
    let mut parts: Vec<String> = Vec::new();
    let mut rest = text;
    loop {
        // Texts stay as they are.
        let bare = rest.find('"').unwrap_or(rest.len());
        let mut outside = rest[..bare].to_owned();
        for (word, stand_in, _) in NOT_JSON {
            let stand_in = serde_json::to_string(stand_in).ok()?;
            outside = outside.replace(word, &stand_in);
        }
        parts.push(outside);
        if bare == rest.len() {
            break;
        }
        let quoted = &rest[bare..];
        let end = end_of_text(quoted)?;
        parts.push(quoted[..end].to_owned());
        rest = &quoted[end..];
    }
    serde_json::from_str(&parts.concat()).ok()
}

/// Where a text in quotes ends.
fn end_of_text(quoted: &str) -> Option<usize> {
    let mut is_escaped = false;
    for (place, c) in quoted.char_indices().skip(1) {
        match c {
            '"' if !is_escaped => return Some(place + 1),
            '\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
    None
}

fn of_list(rows: &[Value]) -> Frame {
    let objects: Option<Vec<&Map<String, Value>>> = rows.iter().map(Value::as_object).collect();
    objects.map_or_else(nameless, |rows| converted(&rows))
}

/// A table whose columns have no names: never the same as another.
fn nameless() -> Frame {
    Frame {
        columns: vec![Column { name: None, cells: Vec::new(), kind: Kind::Objects }],
        num_rows: 0,
    }
}

fn converted(rows: &[&Map<String, Value>]) -> Frame {
    let mut frame = built(rows, |name, values| retyped(untyped(name, &values)));
    // pandas makes numbers or dates of names where all of them are such.
    let texts: Vec<Cell> = frame.names().unwrap_or_default().into_iter().map(text).collect();
    let are_numbers = texts.iter().all(|name| as_float(name).is_some());
    if !texts.is_empty() && (are_numbers || dates(&texts).is_some()) {
        frame.columns.iter_mut().for_each(|column| column.name = None);
    }
    frame
}

fn text(text: &str) -> Cell {
    Cell::Text(text.to_owned())
}

fn built(
    rows: &[&Map<String, Value>],
    column: impl Fn(&str, Vec<Option<&Value>>) -> Column,
) -> Frame {
    let names: BTreeSet<&str> =
        rows.iter().flat_map(|row| row.keys().map(String::as_str)).collect();
    if !is_read(rows.len(), names.len()) {
        return nameless();
    }
    let values = |name: &str| rows.iter().map(|row| row.get(name)).collect();
    let columns = names.into_iter().map(|name| column(name, values(name))).collect();
    Frame { columns, num_rows: rows.len() }
}

/// A column as it is built of values, some of which may be missing.
fn untyped(name: &str, values: &[Option<&Value>]) -> Column {
    let are = |of: fn(&Value) -> bool| values.iter().flatten().all(|value| of(value));
    let has_any = |of: fn(&Value) -> bool| values.iter().flatten().any(|value| of(value));
    let are_numbers = are(|value| number(value).is_some() || value.is_null())
        && has_any(|value| number(value).is_some());
    let are_truths = are(Value::is_boolean) && values.iter().all(Option::is_some);
    let kind = match (are_numbers, are_truths) {
        (true, _) => Kind::Numbers,
        (_, true) => Kind::Truths,
        _ => Kind::Objects,
    };
    let cell = |value: &Option<&Value>| match value {
        None => Cell::HOLE,
        Some(value) if kind == Kind::Objects => object(value),
        Some(Value::Bool(is_true)) => Cell::Number(f64::from(u8::from(*is_true))),
        Some(value) => Cell::Number(number(value).unwrap_or(f64::NAN)),
    };
    let cells = values.iter().map(cell).collect();
    Column { name: Some(name.to_owned()), cells, kind }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => NOT_JSON.iter().find(|(_, word, _)| word == text).map(|word| word.2),
        _ => None,
    }
}

/// A value among others.
fn object(value: &Value) -> Cell {
    match value {
        Value::Null => Cell::Null,
        Value::Bool(is_true) => Cell::Plain(f64::from(u8::from(*is_true))),
        Value::Number(number) if !number.is_f64() => {
            Cell::Plain(number.as_f64().unwrap_or(f64::NAN))
        }
        Value::String(text) if number(value).is_none() => Cell::Text(text.clone()),
        Value::Array(_) | Value::Object(_) => Cell::Nested(value.clone()),
        other => Cell::Number(number(other).unwrap_or(f64::NAN)),
    }
}

/// What `read_json` makes of a column: dates where its name says so, else numbers where all can be such.
fn retyped(mut column: Column) -> Column {
    let numbers: Option<Vec<f64>> = column.cells.iter().map(as_float).collect();
    let is_date = column.name.as_deref().is_some_and(says_date);
    let dates = match column.kind {
        Kind::Numbers if is_date => numbers.as_deref().and_then(timestamps),
        Kind::Objects if is_date => dates(&column.cells),
        _ => None,
    };
    if let Some(dates) = dates {
        column.cells = dates;
    } else if let Some(numbers) = numbers.filter(|_| column.kind == Kind::Objects) {
        column.cells = numbers.into_iter().map(Cell::Number).collect();
        column.kind = Kind::Numbers;
    }
    column
}

/// Numbers as dates where all are more than a year of seconds.
fn timestamps(numbers: &[f64]) -> Option<Vec<Cell>> {
    const YEAR: f64 = 31_536_000.0;
    let are_dates = numbers.iter().all(|number| number.is_nan() || *number > YEAR);
    let unit = unit(numbers).filter(|_| are_dates)?;
    let date = |number: &f64| match number.is_nan() {
        true => Cell::NoDate,
        false => Cell::Date((number * unit) as i64),
    };
    Some(numbers.iter().map(date).collect())
}

/// The first unit of time, in nanoseconds, in which all numbers are dates.
fn unit(numbers: &[f64]) -> Option<f64> {
    let is_held = |unit: &f64| {
        numbers.iter().all(|number| number.is_nan() || (number * unit).abs() < i64::MAX as f64)
    };
    [1e9, 1e6, 1e3, 1.0].into_iter().find(is_held)
}

/// Dates where all cells are such, those told in words in one form, or nothing.
fn dates(cells: &[Cell]) -> Option<Vec<Cell>> {
    let whole: Option<Vec<f64>> = cells.iter().map(as_whole).collect();
    if let Some(whole) = whole {
        return timestamps(&whole);
    }
    let is_text = |cell: &&Cell| matches!(cell, Cell::Text(_));
    let told: Vec<f64> = cells.iter().filter(is_text).filter_map(as_float).collect();
    let unit = unit(&told)?;
    let mut form = None;
    let mut date = |cell: &Cell| match cell {
        Cell::Null => Some(Cell::NoDate),
        Cell::Number(value) if value.is_nan() => Some(Cell::NoDate),
        Cell::Number(value) | Cell::Plain(value) => Some(Cell::Date(*value as i64)),
        Cell::Text(text) if text.is_empty() => Some(Cell::NoDate),
        Cell::Text(text) => match as_float(cell) {
            Some(value) if value.is_nan() => Some(Cell::NoDate),
            Some(value) => Some(Cell::Date((value * unit) as i64)),
            None => {
                let (date, found) = dated(text)?;
                (*form.get_or_insert_with(|| found.clone()) == found).then_some(Cell::Date(date))
            }
        },
        _ => None,
    };
    cells.iter().map(&mut date).collect()
}

/// As Python's `int` has it.
fn as_whole(cell: &Cell) -> Option<f64> {
    match cell {
        Cell::Text(text) => as_float(cell).filter(|_| !text.contains(['.', 'e', 'E', 'n', 'N'])),
        Cell::Number(_) | Cell::Plain(_) => as_float(cell).map(f64::trunc),
        _ => None,
    }
    .filter(|value| value.abs() < i64::MAX as f64)
}

/// As Python's `float` has it, nothing being no number.
fn as_float(cell: &Cell) -> Option<f64> {
    match cell {
        Cell::Number(value) | Cell::Plain(value) => Some(*value),
        Cell::Null => Some(f64::NAN),
        Cell::Text(text) => {
            let bare = text.trim();
            let is_joined = bare.starts_with('_') || bare.ends_with('_') || bare.contains("__");
            bare.replace('_', "").parse().ok().filter(|_| !is_joined)
        }
        Cell::Date(_) | Cell::NoDate | Cell::Nested(_) => None,
    }
}

fn says_date(name: &str) -> bool {
    let name = name.to_lowercase();
    ["_at", "_time"].iter().any(|end| name.ends_with(end))
        || ["modified", "date", "datetime"].contains(&name.as_str())
        || name.starts_with("timestamp")
}

/// A date in digits with or without a time, and its form: year first, or month first and year last.
fn dated(text: &str) -> Option<(i64, String)> {
    let runs: Vec<&str> =
        text.split(|c: char| !c.is_ascii_digit()).filter(|run| !run.is_empty()).collect();
    let form: String = text.chars().filter(|c| !c.is_ascii_digit()).collect();
    let (date, time) = form.split_at_checked(2)?;
    let is_time = ["", " :", " ::", " ::.", "T:", "T::", "T::.", "T::Z", "T::.Z"].contains(&time);
    let num_signs = time.matches([':', '.']).count();
    let num_runs = 3 + num_signs + usize::from(num_signs > 0);
    if !["--", "//"].contains(&date) || !is_time || runs.len() != num_runs {
        return None;
    }
    let mut numbers = [0; 6];
    for (number, run) in numbers.iter_mut().zip(&runs) {
        *number = run.parse().ok()?;
    }
    let is_year_first = runs[0].len() == 4;
    if !is_year_first {
        numbers[..3].rotate_right(1);
    }
    let fraction = runs.get(6).map_or("0", |fraction| fraction);
    let fraction: i64 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    let is_valid = (is_year_first || (date == "//" && runs[2].len() == 4))
        && (1678..2262).contains(&numbers[0])
        && (1..=12).contains(&numbers[1])
        && (1..=31).contains(&numbers[2])
        && numbers[3] < 24
        && numbers[4] < 60
        && numbers[5] < 60;
    let form = format!("{is_year_first}{form}");
    is_valid.then(|| (seconds(numbers) * 1_000_000_000 + fraction, form))
}

/// Seconds since 1970 of a year, month, day, hour, minute and second.
fn seconds([year, month, day, hour, minute, second]: [i64; 6]) -> i64 {
    // Years that begin in March have their leap day at the end.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leaps = year / 4 - year / 100 + year / 400;
    let days = 365 * year + leaps + (153 * month + 2) / 5 + day - 1 - 719_468;
    ((days * 24 + hour) * 60 + minute) * 60 + second
}
