//! Types of columns, joins of tables, consecutive events.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Value};

use super::{boxed, boxed_text, found, pattern, solution_of_lines};
use crate::python::literal;
use crate::score::share;

static FENCED: LazyLock<[Regex; 3]> =
    LazyLock::new(|| [r"```python(.*?)```", r"```json(.*?)```", r"```(.*?)```"].map(pattern));
static QUOTED: LazyLock<Regex> = LazyLock::new(|| pattern(r#"\\text\{['"](.*?)['"]\}"#));
static SOLUTION: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?s)<solution>(.*?)</solution>"));

/// Types of columns: the answer ends in the known one, signs and spaces aside.
pub(super) fn columns(gold: &str, answer: &str) -> f64 {
    let plain = |text: &str| -> String {
        let text = text.to_lowercase();
        text.chars().filter(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let said = if answer.contains("\\boxed{") { boxed_text(answer) } else { None };
    share(plain(&said.unwrap_or_else(|| answer.to_owned())).ends_with(&plain(gold)))
}

/// Joins of tables: F1 of the pairs of columns, to two decimals.
pub(super) fn join(gold: &str, answer: &str) -> f64 {
    let Some(Value::Object(gold)) = literal(gold) else { return 0.0 };
    let said = mapping(answer);
    if said.is_empty() {
        return 0.0;
    }
    let (mut hits, mut wrong, mut missed) = (0.0, 0.0, 0.0);
    for (key, value) in &said {
        match gold.get(key).filter(|gold| is_set(gold)) {
            Some(gold) if gold == value => hits += 1.0,
            Some(_) => (wrong, missed) = (wrong + 1.0, missed + 1.0),
            None => wrong += 1.0,
        }
    }
    missed += gold.keys().filter(|key| !said.get(*key).is_some_and(is_set)).count() as f64;
    (200.0 * hits / (2.0 * hits + wrong + missed)).round_ties_even() / 100.0
}

/// What Python takes for true.
fn is_set(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(set) => *set,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// The dictionary in an answer: between the tags, as it is, fenced, or boxed; nothing is nothing.
fn mapping(answer: &str) -> Map<String, Value> {
    let mut text = answer.to_owned();
    while let Some(inner) = found(&SOLUTION, &text).pop() {
        text = inner.trim().to_owned();
    }
    let joined = text.replace('\n', "");
    let fenced = || FENCED.iter().find_map(|fence| found(fence, &joined).pop());
    let framed = || {
        let boxed = boxed(&joined).filter(|_| joined.contains("\\boxed"))?;
        Some(QUOTED.replace_all(&boxed, "'$1'").replace('\\', ""))
    };
    let value = literal(&text).or_else(|| {
        let text = fenced().or_else(framed).unwrap_or_else(|| text.clone());
        literal(&text.replace("null", "None"))
    });
    match value {
        Some(Value::Object(map)) => map.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        _ => Map::new(),
    }
}

/// Consecutive events: the users with the right number of months, of all that either side names.
pub(super) fn events(gold: &str, answer: &str) -> f64 {
    let Ok(Value::Array(gold)) = serde_json::from_str(gold) else { return 0.0 };
    let said = solution_of_lines(answer).and_then(|said| serde_json::from_str(said.trim()).ok());
    let Some(Value::Array(said)) = said else { return 0.0 };
    if gold.is_empty() || said.is_empty() {
        return share(gold.is_empty() && said.is_empty());
    }
    let by_user = |list: &[Value]| -> BTreeMap<String, Value> {
        let users = list.iter().filter_map(|one| Some((one.get("user_id")?.to_string(), one)));
        users.map(|(user, one)| (user, one["max_consecutive_growth_months"].clone())).collect()
    };
    let (gold, said) = (by_user(&gold), by_user(&said));
    let hits = gold.iter().filter(|(user, months)| said.get(*user) == Some(months)).count();
    let union = hits + (said.len() - hits) + (gold.len() - hits);
    (1e4 * hits as f64 / union.max(1) as f64).round_ties_even() / 1e4
}
