//! Numbers and patterns as Python reads them, for the converters of both languages.

use regex::Regex;
use serde_json::{Number, Value};

/// A pattern of ours.
pub(super) fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a pattern of ours")
}

/// The first group of a pattern that took part.
pub(super) fn pattern_of<'a>(pattern: &Regex, text: &'a str) -> Option<&'a str> {
    let found = pattern.captures(text)?;
    found.iter().skip(1).flatten().next().map(|group| group.as_str())
}

/// Nothing but digits, with a sign or without.
pub(super) fn integer(text: &str) -> Option<Value> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_integer = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_integer.then(|| number(text)).flatten()
}

/// What `int` reads, or else `float`.
pub(super) fn number(text: &str) -> Option<Value> {
    let text = text.trim().replace('_', "");
    if let Ok(integer) = text.parse::<i64>() {
        return Some(integer.into());
    }
    Number::from_f64(text.parse().ok()?).map(Value::Number)
}
