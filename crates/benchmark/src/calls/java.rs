//! Values of Java as the types of their descriptions say
//! (gorilla, `bfcl_eval/eval_checker/ast_eval/type_convertor/java_type_converter.py`).
//!
//! What is not of its type stays a text.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Value};

use super::syntax::inside;
use super::types::{integer, number, pattern, pattern_of};

static FLOAT: LazyLock<Regex> = LazyLock::new(|| pattern(r"^-?\d+(\.\d+)?([eE][+-]?\d+)?[fF]$"));
static DOUBLE: LazyLock<Regex> = LazyLock::new(|| pattern(r"^-?\d+(\.\d+)?([eE][+-]?\d+)?$"));
static LONG: LazyLock<Regex> = LazyLock::new(|| pattern(r"^-?\d+[lL]$"));
static AS_LIST: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"new\s+ArrayList<\w*>\(Arrays\.asList\((.+?)\)\)"));
static ADDED: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?s)new\s+ArrayList<\w*>\(\)\s*\{\{\s*(.+?)\s*\}\}"));
static ADD: LazyLock<Regex> = LazyLock::new(|| pattern(r"add\((.+?)\)"));
static NEW_LIST: LazyLock<Regex> = LazyLock::new(|| pattern(r"new\s+ArrayList<\w*>\(\)"));
static ARRAY: LazyLock<Regex> = LazyLock::new(|| pattern(r"new\s+\w+\[\]\s*\{(.*?)\}"));
static MAP: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?s)new\s+HashMap<.*?>\s*\(\)\s*\{\s*\{?\s*(.*?)\s*\}?\s*\}"));
static PUT: LazyLock<Regex> = LazyLock::new(|| pattern(r#"put\("(.*?)",\s*(.*?)\)"#));
static NEW_MAP: LazyLock<Regex> = LazyLock::new(|| pattern(r"new\s+HashMap<.*?>\s*\(\)"));

/// A value by its type and the type of its elements; nothing for types that the benchmark does not convert.
pub(super) fn converted(text: &str, kind: &str, element: Option<&str>) -> Option<Value> {
    let without_last = || number(&text[..text.len() - 1]);
    let found = match kind {
        "byte" | "short" | "integer" => integer(text),
        "float" => FLOAT.is_match(text).then(without_last).flatten().as_ref().map(as_float),
        "double" => DOUBLE.is_match(text).then(|| number(text)).flatten().as_ref().map(as_float),
        "long" => LONG.is_match(text).then(without_last).flatten(),
        "boolean" => text.parse().ok().map(Value::Bool),
        "Array" => array(text, element)?,
        "ArrayList" => list(text, element)?,
        "HashMap" => map(text),
        // The benchmark's pattern for characters fits none.
        "char" | "String" | "any" => None,
        _ => return None,
    };
    Some(found.unwrap_or_else(|| text.into()))
}

fn as_float(number: &Value) -> Value {
    number.as_f64().map_or(Value::Null, Value::from)
}

fn array(text: &str, element: Option<&str>) -> Option<Option<Value>> {
    let Some(inner) = pattern_of(&ARRAY, text) else { return Some(None) };
    let parts = inner.split(',').map(str::trim).filter(|part| !part.is_empty());
    let values = parts.map(|part| match element {
        Some(kind) => converted(part, kind, None),
        None => Some(plain(part)),
    });
    values.collect::<Option<Vec<_>>>().map(|values| Some(values.into()))
}

fn list(text: &str, element: Option<&str>) -> Option<Option<Value>> {
    let value = |part: &str| match element {
        Some("char" | "String") => Some(inside(part.trim()).into()),
        Some(kind) => converted(part.trim(), kind, None),
        None => Some(plain(part.trim())),
    };
    let values: Option<Vec<Value>> = if let Some(inner) = pattern_of(&AS_LIST, text) {
        inner.split(',').map(value).collect()
    } else if let Some(inner) = pattern_of(&ADDED, text) {
        ADD.captures_iter(inner).map(|found| value(found.get(1)?.as_str())).collect()
    } else if NEW_LIST.is_match(text) {
        Some(Vec::new())
    } else {
        return Some(None);
    };
    values.map(|values| Some(values.into()))
}

fn map(text: &str) -> Option<Value> {
    let Some(inner) = pattern_of(&MAP, text) else {
        return NEW_MAP.is_match(text).then(|| Map::new().into());
    };
    let entries =
        PUT.captures_iter(inner).map(|found| (found[1].to_owned(), plain(found[2].trim())));
    Some(Value::Object(entries.collect()))
}

/// A value of which no type is known.
fn plain(text: &str) -> Value {
    if let Ok(truth) = text.parse() {
        return Value::Bool(truth);
    }
    if text.len() > 1 && text.starts_with('"') && text.ends_with('"') {
        return inside(text).into();
    }
    let bare =
        if LONG.is_match(text) || FLOAT.is_match(text) { &text[..text.len() - 1] } else { text };
    let found = number(bare);
    let found = if FLOAT.is_match(text) { found.as_ref().map(as_float) } else { found };
    found.unwrap_or_else(|| text.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_by_their_types() {
        let cases = [
            ("12", "integer", None, json!(12)),
            ("-3", "byte", None, json!(-3)),
            ("1.5", "integer", None, json!("1.5")),
            ("3f", "float", None, json!(3.0)),
            ("3.0", "float", None, json!("3.0")),
            ("3e2", "double", None, json!(300.0)),
            ("7L", "long", None, json!(7)),
            ("true", "boolean", None, json!(true)),
            ("'c'", "char", None, json!("'c'")),
            ("new int[]{1, 2,}", "Array", Some("integer"), json!([1, 2])),
            ("new String[]{\"a\"}", "Array", Some("String"), json!(["\"a\""])),
            (
                "new ArrayList<>(Arrays.asList(\"a\", \"b\"))",
                "ArrayList",
                Some("String"),
                json!(["a", "b"]),
            ),
            (
                "new ArrayList<Long>() {{ add(1L); add(2L); }}",
                "ArrayList",
                Some("long"),
                json!([1, 2]),
            ),
            ("new ArrayList<>()", "ArrayList", Some("any"), json!([])),
            ("List.of(1)", "ArrayList", Some("any"), json!("List.of(1)")),
            (
                "new HashMap<String, Object>() {{ put(\"a\", 1); put(\"b\", \"c\"); }}",
                "HashMap",
                None,
                json!({"a": 1, "b": "c"}),
            ),
            ("new HashMap<>()", "HashMap", None, json!({})),
            ("x", "any", None, json!("x")),
        ];
        for (text, kind, element, expected) in cases {
            assert_eq!(converted(text, kind, element), Some(expected), "{text} as {kind}");
        }
        assert_eq!(converted("x", "Queue", None), None);
    }
}
