//! Whether a call is the expected one: names, types, values
//! (gorilla, `bfcl_eval/eval_checker/ast_eval/ast_checker.py`, its leniencies included).

use serde_json::{Map, Value};

use super::{java, javascript};
use crate::item::Language;
use crate::python::Call;

/// Compares a call with one whose arguments list what is allowed.
///
/// # Errors
/// What is wrong with it first.
pub(super) fn matches(
    found: &Call,
    expected: &Call,
    functions: &[Value],
    language: Language,
) -> Result<(), String> {
    if found.name != expected.name {
        return Err(format!("{} is called, expected {}", found.name, expected.name));
    }
    let function = functions.iter().find(|function| function["name"] == expected.name.as_str());
    let parameters = function.map_or(&Value::Null, |function| &function["parameters"]);
    let required = parameters["required"].as_array().map_or(&[][..], Vec::as_slice);
    let mut required = required.iter().filter_map(Value::as_str);
    if let Some(name) = required.find(|name| !found.arguments.contains_key(*name)) {
        return Err(format!("argument {name} is missing"));
    }
    for (name, value) in &found.arguments {
        let allowed = expected.arguments.get(name).and_then(Value::as_array);
        let described = parameters["properties"].get(name);
        let (Some(allowed), Some(described)) = (allowed, described) else {
            return Err(format!("argument {name} is not expected"));
        };
        argument(value, allowed, described, language)
            .map_err(|reason| format!("argument {name} = {value}{reason}"))?;
    }
    let missing = expected
        .arguments
        .iter()
        .find(|(name, allowed)| !found.arguments.contains_key(*name) && !is_optional(allowed));
    missing.map_or(Ok(()), |(name, _)| Err(format!("argument {name} is missing")))
}

/// What may be left out has the empty text among its values; the benchmark finds that in every text, too.
fn is_optional(allowed: &Value) -> bool {
    match allowed {
        Value::Array(allowed) => allowed.iter().any(is_nothing),
        other => other.is_string(),
    }
}

fn is_nothing(value: &Value) -> bool {
    value.as_str() == Some("")
}

/// What a value is, or should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Integer,
    Float,
    Boolean,
    List,
    Dictionary,
    Nothing,
}

impl Kind {
    fn of(value: &Value) -> Self {
        match value {
            Value::String(_) => Self::Text,
            Value::Number(number) if number.is_f64() => Self::Float,
            Value::Number(_) => Self::Integer,
            Value::Bool(_) => Self::Boolean,
            Value::Array(_) => Self::List,
            Value::Object(_) => Self::Dictionary,
            Value::Null => Self::Nothing,
        }
    }

    /// By the name of a type in a description, whatever its language.
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "string" | "String" | "any" | "char" => Self::Text,
            "integer" | "byte" | "short" | "long" | "Bigint" => Self::Integer,
            "float" | "double" | "number" => Self::Float,
            "boolean" | "Boolean" => Self::Boolean,
            "array" | "tuple" | "Array" | "ArrayList" | "Queue" | "Stack" => Self::List,
            "dict" | "object" | "HashMap" | "Hashtable" => Self::Dictionary,
            _ => return None,
        })
    }
}

/// Checks an argument's type and value.
fn argument(
    value: &Value,
    allowed: &[Value],
    described: &Value,
    language: Language,
) -> Result<(), String> {
    let name = described["type"].as_str().unwrap_or_default();
    let element = described["items"]["type"].as_str();
    let element = element.filter(|_| matches!(name, "array" | "tuple" | "Array" | "ArrayList"));
    let value = converted(value, name, element, language)
        .ok_or_else(|| format!(" is of type {name}, which is not read"))?;
    let kind = Kind::named(name).unwrap_or_else(|| Kind::of(&value));
    let inner = element.and_then(Kind::named);
    let is_variable =
        has_kind(&value, allowed, kind, inner).ok_or_else(|| format!(" is no {name}"))?;
    let is_right = match kind {
        _ if is_variable => allowed.iter().any(|allowed| equal(&value, allowed)),
        Kind::Dictionary => allowed.iter().any(|allowed| is_dictionary(&value, allowed)),
        Kind::List if inner == Some(Kind::Dictionary) => {
            allowed.iter().any(|allowed| are_dictionaries(&value, allowed))
        }
        Kind::List => allowed.iter().any(|allowed| is_list(&value, allowed)),
        Kind::Text => allowed.iter().any(|allowed| allowed.is_string() && same(&value, allowed)),
        _ => allowed.iter().any(|allowed| equal(&value, allowed)),
    };
    match is_right {
        true => Ok(()),
        false => Err(format!(", expected one of {}", Value::from(allowed))),
    }
}

/// The value that a text of Java or JavaScript stands for; in Python an integer is a float where one is expected.
fn converted(
    value: &Value,
    kind: &str,
    element: Option<&str>,
    language: Language,
) -> Option<Value> {
    match language {
        Language::Java => java::converted(value.as_str()?, kind, element),
        Language::JavaScript => javascript::converted(value.as_str()?, kind, element),
        Language::Python => Some(match value.as_i64() {
            Some(integer) if Kind::named(kind) == Some(Kind::Float) => (integer as f64).into(),
            _ => value.clone(),
        }),
    }
}

/// Whether a value is of its type, or of that of what is allowed: a name of something then, and compared as it is.
fn has_kind(value: &Value, allowed: &[Value], kind: Kind, inner: Option<Kind>) -> Option<bool> {
    let expected = kind_of_allowed(allowed);
    if Kind::of(value) != kind {
        return (expected == Some(Kind::of(value))).then_some(true);
    }
    let is_variable = expected.is_some_and(|expected| expected != kind);
    let Some(inner) = inner else { return Some(is_variable) };
    let elements = value.as_array().map_or(&[][..], Vec::as_slice);
    let fits = |allowed: &Value| match allowed.as_array() {
        Some(list) => elements.iter().all(|element| {
            Kind::of(element) == inner || kind_of_allowed(list) == Some(Kind::of(element))
        }),
        None => true,
    };
    allowed.iter().any(fits).then_some(is_variable)
}

/// The type of the first value that is not the empty text.
fn kind_of_allowed(allowed: &[Value]) -> Option<Kind> {
    allowed.iter().find(|value| !is_nothing(value)).map(Kind::of)
}

fn is_dictionary(value: &Value, allowed: &Value) -> bool {
    let (Some(value), Some(allowed)) = (value.as_object(), allowed.as_object()) else {
        return false;
    };
    // Where a text stands for a list, its letters are what is allowed.
    let one_of = |value: &Value, allowed: &Value| match allowed {
        Value::Array(allowed) => allowed.iter().any(|allowed| same(value, allowed)),
        Value::String(text) => text.chars().any(|c| same(value, &c.to_string().into())),
        _ => false,
    };
    let each = value
        .iter()
        .all(|(key, value)| allowed.get(key).is_some_and(|allowed| one_of(value, allowed)));
    each && allowed.iter().all(|(key, allowed)| value.contains_key(key) || is_optional(allowed))
}

fn are_dictionaries(value: &Value, allowed: &Value) -> bool {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let (value, allowed) = (list(value), list(allowed));
    value.len() == allowed.len()
        && value.iter().zip(&allowed).all(|(value, allowed)| is_dictionary(value, allowed))
}

/// The empty text among what is allowed allows the empty list.
fn is_list(value: &Value, allowed: &Value) -> bool {
    let nothing = Vec::new();
    let list = |value: &'_ Value| value.is_array() || is_nothing(value);
    if !list(value) || !list(allowed) {
        return false;
    }
    let (value, allowed) =
        (value.as_array().unwrap_or(&nothing), allowed.as_array().unwrap_or(&nothing));
    value.len() == allowed.len()
        && value.iter().zip(allowed).all(|(value, allowed)| same(value, allowed))
}

/// Equal, texts but for case and signs.
fn same(value: &Value, allowed: &Value) -> bool {
    match (value, allowed) {
        (Value::String(a), Value::String(b)) => plain(a) == plain(b),
        (a, b) => equal(a, b),
    }
}

/// As Python's `==`: numbers by value, truth values among them.
fn equal(a: &Value, b: &Value) -> bool {
    let number = |value: &Value| match value {
        Value::Bool(truth) => Some(f64::from(u8::from(*truth))),
        other => other.as_f64(),
    };
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, value)| holds(b, key, value))
        }
        (a, b) => match (number(a), number(b)) {
            (Some(a), Some(b)) => a == b,
            _ => a == b,
        },
    }
}

fn holds(map: &Map<String, Value>, key: &str, value: &Value) -> bool {
    map.get(key).is_some_and(|other| equal(value, other))
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

    fn is_right(value: &Value, allowed: &Value, described: &Value, language: Language) -> bool {
        argument(value, allowed.as_array().unwrap(), described, language).is_ok()
    }

    #[test]
    fn arguments_by_their_types() {
        let list = |of: &str| json!({"type": "array", "items": {"type": of}});
        let cases = [
            (json!(5), json!([5.0]), json!({"type": "float"}), true),
            (json!(5.0), json!([5]), json!({"type": "integer"}), false),
            (json!(true), json!([true]), json!({"type": "boolean"}), true),
            (json!("Paris, France"), json!(["paris france"]), json!({"type": "string"}), true),
            // A name stands for a value.
            (json!("limit"), json!(["limit"]), json!({"type": "integer"}), true),
            (json!("Limit"), json!(["limit"]), json!({"type": "integer"}), false),
            (json!(["A b"]), json!([["ab"]]), list("string"), true),
            (json!([1]), json!([["1"]]), list("string"), false),
            (json!([]), json!([[1], ""]), list("integer"), true),
            (json!([{"a": 1}]), json!([[{"a": [1, 2], "b": [""]}]]), list("dict"), true),
            (json!([{"a": 3}]), json!([[{"a": [1, 2]}]]), list("dict"), false),
        ];
        for (value, allowed, described, expected) in cases {
            let found = is_right(&value, &allowed, &described, Language::Python);
            assert_eq!(found, expected, "{value}");
        }
        let others = [
            (
                json!("new ArrayList<>(Arrays.asList(\"a\"))"),
                json!([["a"]]),
                json!({"type": "ArrayList", "items": {"type": "String"}}),
                Language::Java,
                true,
            ),
            (json!("q"), json!(["q"]), json!({"type": "Queue"}), Language::Java, false),
            (
                json!("{a: 1}"),
                json!([{"a": [1]}]),
                json!({"type": "dict"}),
                Language::JavaScript,
                true,
            ),
        ];
        for (value, allowed, described, language, expected) in others {
            assert_eq!(is_right(&value, &allowed, &described, language), expected, "{value}");
        }
    }

    #[test]
    fn dictionaries_hold_lists_of_what_is_allowed() {
        let allowed = json!({"city": ["Paris", "paris, france"], "days": [3, ""]});
        assert!(is_dictionary(&json!({"city": "PARIS"}), &allowed));
        assert!(!is_dictionary(&json!({"city": "Rome"}), &allowed));
        assert!(!is_dictionary(&json!({"town": "Paris"}), &allowed));
        let text = json!({"format": "epoch"});
        assert!(
            is_dictionary(&json!({}), &text) && !is_dictionary(&json!({"format": "epoch"}), &text)
        );
    }
}
