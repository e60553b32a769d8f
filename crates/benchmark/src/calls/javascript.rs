//! Values of JavaScript as the types of their descriptions say
//! (gorilla, `bfcl_eval/eval_checker/ast_eval/type_convertor/js_type_converter.py`).
//!
//! What is not of its type stays a text.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Value};

use super::syntax::unquoted;
use super::types::{integer, number, pattern, pattern_of};

static FLOAT: LazyLock<Regex> = LazyLock::new(|| pattern(r"^-?\d+(\.\d+)?$"));
static BIG: LazyLock<Regex> = LazyLock::new(|| pattern(r"^-?\d+n$"));
static LISTS: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^(?:\[\s*\[.*?\]\s*(,\s*\[.*?\]\s*)*\]|\bnew\s+Array\(\s*\[.*?\]\s*(,\s*\[.*?\]\s*)*\))",
    )
});
static INNER: LazyLock<Regex> = LazyLock::new(|| pattern(r"\[(.*?)\]"));
static LIST: LazyLock<Regex> = LazyLock::new(|| pattern(r"^(?:\[(.*?)\]|\bnew\s+Array\((.*?)\))"));
static ENTRIES: LazyLock<Regex> = LazyLock::new(|| pattern(r"^\{(.*?)\}"));

/// A value by its type and the type of its elements; nothing for types that the benchmark does not convert.
pub(super) fn converted(text: &str, kind: &str, element: Option<&str>) -> Option<Value> {
    let found = match kind {
        "String" => Some(unquoted(text).into()),
        "integer" => integer(text),
        "float" => {
            FLOAT.is_match(text).then(|| text.parse::<f64>().ok()).flatten().map(Value::from)
        }
        "Bigint" => BIG.is_match(text).then(|| number(&text[..text.len() - 1])).flatten(),
        "Boolean" => text.parse().ok().map(Value::Bool),
        "array" => return Some(array(text.trim(), element)),
        "dict" => return Some(dictionary(text.trim())),
        "any" => None,
        _ => return None,
    };
    Some(found.unwrap_or_else(|| text.into()))
}

fn array(text: &str, element: Option<&str>) -> Value {
    if let Some(found) = LISTS.find(text) {
        let list = |(place, found): (usize, regex::Captures<'_>)| {
            let inner = found.get(1).map_or("", |inner| inner.as_str()).trim();
            let inner = if place == 0 { inner.strip_prefix('[').unwrap_or(inner) } else { inner };
            Value::from(inner.split(',').map(plain).collect::<Vec<_>>())
        };
        return INNER
            .captures_iter(found.as_str())
            .enumerate()
            .map(list)
            .collect::<Vec<_>>()
            .into();
    }
    let Some(inner) = pattern_of(&LIST, text) else { return text.into() };
    let parts = inner.trim().split(',').map(str::trim);
    let parts: Vec<&str> = if inner.trim().is_empty() { Vec::new() } else { parts.collect() };
    let values: Option<Vec<Value>> = match element {
        Some(kind) => parts.into_iter().map(|part| converted(part, kind, None)).collect(),
        None => Some(parts.into_iter().map(plain).collect()),
    };
    values.map_or_else(|| text.into(), Value::from)
}

fn dictionary(text: &str) -> Value {
    if text == "{}" {
        return Map::new().into();
    }
    let Some(inner) = pattern_of(&ENTRIES, text) else { return text.into() };
    let marks = ['\'', '"'];
    let entry = |(key, value): (&str, &str)| {
        let is_between = |open, close| value.starts_with(open) && value.ends_with(close);
        let value = match value {
            _ if is_between('[', ']') => array(value, None),
            _ if is_between('{', '}') => dictionary(value),
            other => plain(other.trim_matches(marks)),
        };
        (key.trim().trim_matches(marks).to_owned(), value)
    };
    let entries = entries(inner);
    Value::Object(entries.into_iter().map(|(key, value)| entry((key, value.trim()))).collect())
}

/// Keys and values: a value ends at the end, or at a comma that a key follows.
fn entries(text: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut start = 0;
    while let Some(colon) = text[start..].find(':').map(|at| start + at) {
        let value = text.len() - text[colon + 1..].trim_start().len();
        match (colon > start).then(|| end_of(text, value)).flatten() {
            Some((end, next)) => {
                found.push((&text[start..colon], &text[value..end]));
                start = next;
            }
            None => start = colon + 1,
        }
    }
    found
}

/// The end of a value, and where the next key begins; a value has one line.
fn end_of(text: &str, value: usize) -> Option<(usize, usize)> {
    for (at, c) in text[value..].char_indices().map(|(at, c)| (value + at, c)) {
        if c == '\n' {
            return (at + 1 == text.len()).then_some((at, at));
        }
        if c == ',' && is_key(&text[at + 1..]) {
            return Some((at, text.len() - text[at + 1..].trim_start().len()));
        }
    }
    Some((text.len(), text.len()))
}

/// Whether something that ends in a colon comes before the next comma.
fn is_key(text: &str) -> bool {
    let before_comma = text.split(',').next().unwrap_or_default();
    before_comma.rfind(':').is_some_and(|at| at > 0)
}

/// A value of which no type is known.
fn plain(text: &str) -> Value {
    let text = text.trim();
    if let Ok(truth) = text.parse() {
        return Value::Bool(truth);
    }
    let bare = unquoted(text);
    if bare.len() < text.len() {
        return bare.into();
    }
    number(text).unwrap_or_else(|| text.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_by_their_types() {
        let cases = [
            ("'a'", "String", None, json!("a")),
            ("12", "integer", None, json!(12)),
            ("3", "float", None, json!(3.0)),
            ("3e2", "float", None, json!("3e2")),
            ("5n", "Bigint", None, json!(5)),
            ("false", "Boolean", None, json!(false)),
            ("[1, 2]", "array", Some("integer"), json!([1, 2])),
            ("['a', \"b\"]", "array", Some("String"), json!(["a", "b"])),
            ("new Array(1, 'x', true)", "array", None, json!([1, "x", true])),
            ("[[1, 2], [3]]", "array", Some("array"), json!([[1, 2], [3]])),
            ("list", "array", Some("any"), json!("list")),
            ("{}", "dict", None, json!({})),
            (
                "{'a': 1, b: [1, 2], c: x, \"d\": 'e'}",
                "dict",
                None,
                json!({"a": 1, "b": [1, 2], "c": "x", "d": "e"}),
            ),
            ("o", "dict", None, json!("o")),
            ("() => 1", "any", None, json!("() => 1")),
        ];
        for (text, kind, element, expected) in cases {
            assert_eq!(converted(text, kind, element), Some(expected), "{text} as {kind}");
        }
    }
}
