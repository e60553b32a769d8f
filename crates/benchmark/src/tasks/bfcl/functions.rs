//! Functions as the prompt describes them: with the benchmark's notes on the language.

use serde_json::Value;

use crate::item::Language;

/// The functions, each with the note on its language; in Java and JavaScript all arguments are texts.
pub(super) fn described(functions: &[Value], language: Language) -> Vec<Value> {
    let syntax = match language {
        Language::Python => "Python 3",
        Language::Java => "Java 8 SDK",
        Language::JavaScript => "JavaScript",
    };
    let note = format!(" Note that the provided function is in {syntax} syntax.");
    let noted = |function: &Value| {
        let mut function = function.clone();
        append(&mut function, &note);
        let properties =
            function["parameters"].get_mut("properties").and_then(Value::as_object_mut);
        if language != Language::Python {
            properties.into_iter().flatten().for_each(|(_, property)| as_text(property, language));
        }
        function
    };
    functions.iter().map(noted).collect()
}

/// Adds to a description that there is.
fn append(described: &mut Value, note: &str) {
    if let Some(text) = described["description"].as_str() {
        described["description"] = format!("{text}{note}").into();
    }
}

/// An argument is given as a text; its own type is said in words.
fn as_text(property: &mut Value, language: Language) {
    let name = if language == Language::Java { "Java" } else { "JavaScript" };
    let kind = property["type"].as_str().unwrap_or_default().to_owned();
    let note = match kind.as_str() {
        "any" => {
            format!(" This parameter can be of any type of {name} object in string representation.")
        }
        kind => format!(" This is {name} {kind} type parameter in string representation."),
    };
    append(property, &note);
    let mut told = |key: &str, note: &dyn Fn(&Value) -> String| {
        if let Some(told) = property.as_object_mut().and_then(|map| map.shift_remove(key)) {
            append(property, &note(&told));
        }
    };
    match kind.as_str() {
        "array" | "Array" | "ArrayList" => told("items", &|items| {
            let kind = items["type"].as_str().unwrap_or_default();
            format!(" The list elements are of type {kind}; they are not in string representation.")
        }),
        "dict" => told("properties", &|properties| {
            format!(
                " The dictionary entries have the following schema; they are not in string representation. {properties}"
            )
        }),
        _ => {}
    }
    property["type"] = "string".into();
}
