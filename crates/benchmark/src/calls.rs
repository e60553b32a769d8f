//! Calls of functions, compared with those expected (BFCL, single turn, by syntax tree).
//!
//! ```text
//! answer ─► Python: our reader ──────────────┐
//!        └► Java, JavaScript: syntax tree ───┴─► calls ─► values by type ─► those allowed
//! ```

mod syntax;
mod types;
mod java;
mod javascript;
mod check;

use crate::item::{Expected, Language};
use crate::python::{Call, calls};
use crate::score::{Marks, share};

/// Beginnings of a list that are tried in a text.
const MAX_STARTS: usize = 64;

/// Scores the calls of an answer.
pub(crate) fn marks(answer: &str, expected: &Expected) -> Marks {
    let read = |text: &str| read(text, expected.language);
    let strict = read(answer);
    let gently = |text: &str| read(text).or_else(|| ended(text, expected.language));
    let lenient = strict.clone().or_else(|| gently(unfenced(answer)));
    let lenient = lenient.or_else(|| somewhere(answer, gently));
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

/// As the benchmark reads an answer: in brackets, which Java and JavaScript then lose again.
fn read(answer: &str, language: Language) -> Option<Vec<Call>> {
    let text = bracketed(answer);
    match language {
        Language::Python => calls(&text),
        Language::Java => syntax::java(syntax::inside(&text)),
        Language::JavaScript => syntax::javascript(syntax::inside(&text)),
    }
}

/// As a statement: of Java, the benchmark's grammar takes no call with one argument for itself.
fn ended(answer: &str, language: Language) -> Option<Vec<Call>> {
    let text = bracketed(answer);
    let is_java = language == Language::Java;
    is_java.then(|| syntax::java(&format!("{};", syntax::inside(&text))))?
}

/// Without backticks at its ends, in brackets.
fn bracketed(answer: &str) -> String {
    let plain = answer.trim_matches(['`', '\n', ' ']);
    let open = if plain.starts_with('[') { "" } else { "[" };
    let close = if plain.ends_with(']') { "" } else { "]" };
    format!("{open}{plain}{close}")
}

fn unfenced(answer: &str) -> &str {
    let inside = answer.trim().strip_prefix("```").and_then(|rest| rest.strip_suffix("```"));
    match inside {
        Some(inside) => {
            let inside = inside.trim();
            let language = ["python", "javascript", "java", "js"].iter();
            language.filter_map(|name| inside.strip_prefix(name)).next().unwrap_or(inside).trim()
        }
        None => answer.trim(),
    }
}

/// The last list of calls in a text.
fn somewhere(answer: &str, read: impl Fn(&str) -> Option<Vec<Call>>) -> Option<Vec<Call>> {
    let ends: Vec<usize> = answer.match_indices(']').map(|(at, _)| at).collect();
    let starts: Vec<usize> = answer.match_indices('[').map(|(at, _)| at).collect();
    let end = *ends.last()?;
    let starts = starts.iter().filter(|start| **start < end).take(MAX_STARTS);
    let mut spans = starts.map(|start| &answer[*start..=end]);
    spans.find_map(|span| read(span).filter(|calls| !calls.is_empty()))
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
    let matches = |found: &Call, call: &Call| {
        check::matches(found, call, &expected.functions, expected.language)
    };
    if expected.is_ordered {
        let mut pairs = found.iter().zip(&expected.calls);
        return pairs.try_for_each(|(found, call)| matches(found, call));
    }
    // The first that fits is taken, in the order of both, as in the benchmark.
    let mut left: Vec<&Call> = found.iter().collect();
    for call in &expected.calls {
        let is_meant = |found: &&Call| matches(found, call).is_ok();
        let place = left.iter().position(is_meant);
        left.remove(place.ok_or_else(|| format!("no call is the expected one of {}", call.name))?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

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
            ..Expected::default()
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
        // The first that fits is taken, and the order of the others kept.
        let three = [
            ("area", json!({"base": [3], "height": [4]})),
            ("area", json!({"base": [1], "height": [2], "unit": ["cm", ""]})),
            ("area", json!({"base": [1], "height": [2], "unit": ["cm"]})),
        ];
        let answer =
            "[area(base=3, height=4), area(base=1, height=2), area(base=1, height=2, unit='cm')]";
        assert_eq!(marks(answer, &expected(false, &three)).strict, 1.0);
        // Any call is right where one is relevant.
        let any = Expected { is_any: true, ..expected(false, &[]) };
        assert_eq!((marks(answer, &any).strict, marks("None.", &any).strict), (1.0, 0.0));
    }

    #[test]
    fn other_languages() {
        let call = |language, functions: Value, arguments: Value| Expected {
            functions: functions.as_array().unwrap().clone(),
            calls: vec![Call {
                name: "f.g".to_owned(),
                arguments: arguments.as_object().unwrap().clone(),
            }],
            is_ordered: true,
            language,
            ..Expected::default()
        };
        let functions = json!([{"name": "f.g", "parameters": {"type": "dict", "required": ["n"], "properties":
            {"n": {"type": "long"}, "on": {"type": "boolean"}, "o": {"type": "any"}}}}]);
        let java = call(
            Language::Java,
            functions,
            json!({"n": [5], "on": [true, ""], "o": ["thing", ""]}),
        );
        let functions = json!([{"name": "f.g", "parameters": {"type": "dict", "required": ["n"], "properties":
            {"n": {"type": "integer"}, "l": {"type": "array", "items": {"type": "String"}}}}}]);
        let javascript =
            call(Language::JavaScript, functions, json!({"n": [5], "l": [["a", "b"], ""]}));
        let cases = [
            (&java, "[f.g(n=5L, on=true)]", [1, 1]),
            (&java, "f.g(n=5L, o=thing)", [1, 1]),
            (&java, "```java\nf.g(n=5L)\n```", [0, 1]),
            (&java, "[f.g(n=5L)]", [0, 1]),
            (&java, "[f.g(n=5, on=true)]", [0, 0]),
            (&java, "[f.g(n=5L, on=false)]", [0, 0]),
            (&java, "I call [f.g(n=5L, on=true)]", [0, 1]),
            (&javascript, "[f.g(n=5, l=['a', 'b'])]", [1, 1]),
            (&javascript, "[f.g(n=5, l=['a'])]", [0, 0]),
            (&javascript, "```js\n[f.g(n=5)]\n```", [0, 1]),
        ];
        for (expected, answer, scores) in cases {
            let marks = marks(answer, expected);
            assert_eq!([marks.strict, marks.lenient], scores.map(f64::from), "{answer} {marks:?}");
        }
    }
}
