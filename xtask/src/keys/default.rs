//! What a key is where a recipe does not say.

use super::declared::{Declared, Field, Struct, parted};

/// The default of a key, for a cell of a table.
pub(super) fn of(declared: &Declared, keys: &Struct, field: &Field) -> String {
    let named =
        field.attributes.split_once("default = \"").and_then(|(_, rest)| rest.split_once('"'));
    if let Some((function, _)) = named {
        let function = function.rsplit("::").next().unwrap_or(function);
        return code(declared, keys, declared.value_of(keys, function).unwrap_or(function));
    }
    if let Some(value) = declared.default_of(keys, &field.name).filter(|_| keys.has_default) {
        return code(declared, keys, value);
    }
    let may_be_absent = keys.has_default || field.attributes.contains("default");
    if !may_be_absent && !field.kind.starts_with("Option<") {
        return "required".to_owned();
    }
    of_type(declared, keys, &field.kind)
}

fn of_type(declared: &Declared, keys: &Struct, kind: &str) -> String {
    let choices = declared.enum_of(keys, kind);
    let choice = choices.and_then(|choices| choices.variants.iter().find(|it| it.is_default));
    match kind {
        "bool" => "`false`".to_owned(),
        "f64" | "f32" | "u64" | "u32" | "usize" | "i64" => "`0`".to_owned(),
        _ if kind.starts_with("Vec<") => "`[]`".to_owned(),
        _ => choice.map_or_else(|| "–".to_owned(), |choice| format!("`{}`", choice.name)),
    }
}

/// A Rust expression as TOML has it, as far as there is a way.
fn code(declared: &Declared, keys: &Struct, value: &str) -> String {
    match plain(declared, keys, value) {
        Some(value) => format!("`{value}`"),
        None => "–".to_owned(),
    }
}

fn plain(declared: &Declared, keys: &Struct, value: &str) -> Option<String> {
    let value = value.trim().trim_end_matches(".to_owned()").trim_end_matches(".to_string()");
    if value == "None" {
        return None;
    }
    for (before, after) in [("Some(", ")"), ("PathBuf::from(", ")"), ("String::from(", ")")] {
        if let Some(inner) = value.strip_prefix(before).and_then(|rest| rest.strip_suffix(after)) {
            return plain(declared, keys, inner);
        }
    }
    let list = value.strip_prefix("vec!").unwrap_or(value);
    if let Some(list) = list.strip_prefix('[').and_then(|list| list.strip_suffix(']')) {
        let each = list.split(", ").filter(|part| !part.is_empty());
        let each: Option<Vec<String>> = each.map(|part| plain(declared, keys, part)).collect();
        return Some(format!("[{}]", each?.join(", ")));
    }
    if let Some((_, variant)) = value.rsplit_once("::").filter(|_| !value.contains('(')) {
        return Some(parted(variant, "_"));
    }
    match declared.value_of(keys, value.trim_end_matches("()")) {
        Some(inner) if inner != value => plain(declared, keys, inner),
        // What is computed, its meaning says.
        _ => Some(value.to_owned()).filter(|value| !value.contains('(')),
    }
}
