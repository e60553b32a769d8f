//! Calls of functions, compared with those expected (BFCL, single turn, by syntax tree).

use serde_json::Value;

use crate::item::Expected;
use crate::python::{Call, calls};
use crate::score::{Marks, share};

/// Scores the calls of an answer.
pub(crate) fn marks(answer: &str, expected: &Expected) -> Marks {
    let strict = calls(&bracketed(answer));
    let lenient = strict.clone().or_else(|| calls(unfenced(answer))).or_else(|| somewhere(answer));
    let of = |found: &Option<Vec<Call>>| verdict(found.as_deref(), expected);
    let why = of(&lenient).err().unwrap_or_else(|| "right".to_owned());
    let prediction = lenient.as_ref().map(|calls| {
        let names: Vec<&str> = calls.iter().map(|call| call.name.as_str()).collect();
        names.join(", ")
    });
    let (strict, lenient) = (share(of(&strict).is_ok()), share(of(&lenient).is_ok()));
    // Where no call is right, a call said in passing is one nevertheless.
    let is_relevant = expected.is_any || !expected.calls.is_empty();
    let lenient = if is_relevant { lenient.max(strict) } else { lenient };
    Marks { strict, lenient, prediction, why, ..Marks::default() }
}

/// As the benchmark reads an answer: without backticks at its ends, in brackets.
fn bracketed(answer: &str) -> String {
    let plain = answer.trim_matches(['`', '\n', ' ']);
    let open = if plain.starts_with('[') { "" } else { "[" };
    let close = if plain.ends_with(']') { "" } else { "]" };
    format!("{open}{plain}{close}")
}

fn unfenced(answer: &str) -> &str {
    let inside = answer.trim().strip_prefix("```").and_then(|rest| rest.strip_suffix("```"));
    match inside {
        Some(inside) => inside.trim().trim_start_matches("python").trim(),
        None => answer.trim(),
    }
}

/// The last list of calls in a text.
fn somewhere(answer: &str) -> Option<Vec<Call>> {
    let ends: Vec<usize> = answer.match_indices(']').map(|(at, _)| at).collect();
    let starts: Vec<usize> = answer.match_indices('[').map(|(at, _)| at).collect();
    let end = *ends.last()?;
    let mut spans = starts.iter().filter(|start| **start < end).map(|start| &answer[*start..=end]);
    spans.find_map(|span| calls(span).filter(|calls| !calls.is_empty()))
}

fn verdict(found: Option<&[Call]>, expected: &Expected) -> Result<(), String> {
    let found = found.unwrap_or_default();
    if expected.is_any {
        return if found.is_empty() { Err("no call".to_owned()) } else { Ok(()) };
    }
    if expected.calls.is_empty() {
        return if found.is_empty() {
            Ok(())
        } else {
            Err("a call where none is right".to_owned())
        };
    }
    if found.len() != expected.calls.len() {
        return Err(format!("{} calls, expected {}", found.len(), expected.calls.len()));
    }
    if expected.is_ordered {
        let mut pairs = found.iter().zip(&expected.calls);
        return pairs.try_for_each(|(found, call)| matches(found, call, &expected.functions));
    }
    let mut left: Vec<&Call> = found.iter().collect();
    for call in &expected.calls {
        let is_meant = |found: &&Call| matches(found, call, &expected.functions).is_ok();
        let place = left.iter().position(is_meant);
        left.swap_remove(
            place.ok_or_else(|| format!("no call is the expected one of {}", call.name))?,
        );
    }
    Ok(())
}

fn matches(found: &Call, expected: &Call, functions: &[Value]) -> Result<(), String> {
    if found.name != expected.name {
        return Err(format!("{} is called, expected {}", found.name, expected.name));
    }
    let function = functions.iter().find(|function| function["name"] == expected.name.as_str());
    let parameters = function.map_or(&Value::Null, |function| &function["parameters"]);
    let required = parameters["required"].as_array().map_or(&[][..], Vec::as_slice);
    if let Some(name) =
        required.iter().filter_map(Value::as_str).find(|name| !found.arguments.contains_key(*name))
    {
        return Err(format!("argument {name} is missing"));
    }
    for (name, value) in &found.arguments {
        let allowed = expected.arguments.get(name).and_then(Value::as_array);
        let allowed = allowed.ok_or_else(|| format!("argument {name} is not expected"))?;
        let kind = parameters["properties"][name]["type"].as_str().unwrap_or("");
        if !has_kind(value, kind) {
            return Err(format!("argument {name} = {value} is no {kind}"));
        }
        if !allowed.iter().any(|allowed| is_same(value, allowed)) {
            return Err(format!(
                "argument {name} = {value}, expected one of {}",
                Value::from(allowed.clone())
            ));
        }
    }
    // What may be left out has the empty text among its values.
    let is_optional = |allowed: &Value| {
        allowed.as_array().is_some_and(|allowed| allowed.contains(&Value::String(String::new())))
    };
    let missing = expected
        .arguments
        .iter()
        .find(|(name, allowed)| !found.arguments.contains_key(*name) && !is_optional(allowed));
    missing.map_or(Ok(()), |(name, _)| Err(format!("argument {name} is missing")))
}

/// Whether a value is of a type of the description; an integer is a float too.
fn has_kind(value: &Value, kind: &str) -> bool {
    match kind {
        "integer" => value.is_i64(),
        "float" | "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" | "tuple" => value.is_array(),
        "dict" | "object" => value.is_object(),
        _ => true,
    }
}

fn is_same(found: &Value, allowed: &Value) -> bool {
    match (found, allowed) {
        (Value::String(a), Value::String(b)) => plain(a) == plain(b),
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b))
        }
        // The values of a dictionary are lists of what is allowed.
        (Value::Object(a), Value::Object(b)) => {
            let each = a.iter().all(|(key, value)| match b.get(key) {
                Some(Value::Array(allowed)) => {
                    allowed.iter().any(|allowed| is_same(value, allowed)) || is_same(value, &b[key])
                }
                Some(allowed) => is_same(value, allowed),
                None => false,
            });
            let optional = |allowed: &Value| {
                allowed.as_array().is_some_and(|list| list.contains(&Value::String(String::new())))
            };
            each && b.iter().all(|(key, allowed)| a.contains_key(key) || optional(allowed))
        }
        (a, b) => a == b,
    }
}

/// Without case and the signs that the benchmark passes over.
fn plain(text: &str) -> String {
    text.chars()
        .filter(|c| !" ,./-_*^".contains(*c))
        .collect::<String>()
        .to_lowercase()
        .replace('\'', "\"")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn expected(is_ordered: bool, calls: &[(&str, Value)]) -> Expected {
        let functions = json!([{"name": "area", "parameters": {"type": "dict", "required": ["base", "height"],
            "properties": {"base": {"type": "integer"}, "height": {"type": "float"}, "unit": {"type": "string"}}}}]);
        let call = |(name, arguments): &(&str, Value)| Call {
            name: (*name).to_owned(),
            arguments: arguments.as_object().unwrap().clone(),
        };
        Expected {
            functions: functions.as_array().unwrap().clone(),
            calls: calls.iter().map(call).collect(),
            is_ordered,
            is_any: false,
        }
    }

    #[test]
    fn verdicts_by_hand() {
        let one = [("area", json!({"base": [10], "height": [5], "unit": ["units", ""]}))];
        let cases = [
            ("[area(base=10, height=5)]", [1, 1]),
            ("area(base=10, height=5.0, unit='Units')", [1, 1]),
            ("```\n[area(base=10, height=5)]\n```", [1, 1]),
            ("```python\n[area(base=10, height=5)]\n```", [0, 1]),
            ("I call [area(base=10, height=5)]", [0, 1]),
            ("[area(base=10.0, height=5)]", [0, 0]),
            ("[area(base=10)]", [0, 0]),
            ("[area(base=10, height=6)]", [0, 0]),
            ("[area(base=10, height=5, colour='red')]", [0, 0]),
            ("[area(base=10, height=5), area(base=10, height=5)]", [0, 0]),
            ("[perimeter(base=10, height=5)]", [0, 0]),
            ("none of them", [0, 0]),
        ];
        for (answer, scores) in cases {
            let marks = marks(answer, &expected(true, &one));
            assert_eq!([marks.strict, marks.lenient], scores.map(f64::from), "{answer} {marks:?}");
        }
    }

    #[test]
    fn parallel_calls_have_no_order_and_irrelevant_ones_no_place() {
        let two = [
            ("area", json!({"base": [1], "height": [2]})),
            ("area", json!({"base": [3], "height": [4]})),
        ];
        let answer = "[area(base=3, height=4), area(base=1, height=2)]";
        assert_eq!(marks(answer, &expected(false, &two)).strict, 1.0);
        assert_eq!(marks(answer, &expected(true, &two)).strict, 0.0);
        assert_eq!(marks("None of the functions can be used.", &expected(false, &[])).strict, 1.0);
        assert_eq!(marks(answer, &expected(false, &[])).strict, 0.0);
        // Any call is right where one is relevant.
        let any = Expected { is_any: true, ..expected(false, &[]) };
        assert_eq!((marks(answer, &any).strict, marks("None.", &any).strict), (1.0, 0.0));
    }

    #[test]
    fn dictionaries_hold_lists_of_what_is_allowed() {
        let allowed = json!({"city": ["Paris", "paris, france"], "days": [3, ""]});
        assert!(is_same(&json!({"city": "PARIS"}), &allowed));
        assert!(!is_same(&json!({"city": "Rome"}), &allowed));
        assert!(!is_same(&json!({"town": "Paris"}), &allowed));
    }
}
