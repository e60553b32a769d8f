//! Titles, lists, placeholders, endings and other marks.

use std::sync::LazyLock;

use regex::Regex;

use super::{Needs, Verdict};

static PLACEHOLDER: LazyLock<Regex> = LazyLock::new(|| pattern(r"\[.*?\]"));
static BULLET: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?m)^\s*(?:\*[^*].*|-.*)$"));
static HIGHLIGHT: LazyLock<Regex> = LazyLock::new(|| pattern(r"\*[^\n*]*\*"));
static DOUBLE_HIGHLIGHT: LazyLock<Regex> = LazyLock::new(|| pattern(r"\*\*[^\n*]*\*\*"));
static TITLE: LazyLock<Regex> = LazyLock::new(|| pattern(r"<<[^\n]+>>"));

const CONSTRAINED: [&str; 3] = ["My answer is yes.", "My answer is no.", "My answer is maybe."];

fn pattern(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a pattern that compiles")
}

pub(super) fn follows(text: &str, kind: &str, needs: &Needs) -> Verdict {
    Some(match kind {
        "number_placeholders" => {
            needs.count("num_placeholders").map(|num| PLACEHOLDER.find_iter(text).count() >= num)
        }
        "postscript" => needs.text("postscript_marker").map(|marker| has_postscript(text, marker)),
        "number_bullet_lists" => {
            needs.count("num_bullets").map(|num| BULLET.find_iter(text).count() == num)
        }
        "constrained_response" => Ok(CONSTRAINED.iter().any(|one| text.trim().contains(one))),
        "number_highlighted_sections" => {
            needs.count("num_highlights").map(|num| highlights(text) >= num)
        }
        "multiple_sections" => sections(text, needs),
        "json_format" => Ok(is_json(text)),
        "title" => Ok(TITLE
            .find_iter(text)
            .any(|title| !title.as_str().trim_matches(['<', '>']).trim().is_empty())),
        "two_responses" => Ok(are_two(text)),
        "repeat_prompt" => needs
            .text("prompt_to_repeat")
            .map(|prompt| text.trim().to_lowercase().starts_with(&prompt.trim().to_lowercase())),
        "end_checker" => needs.text("end_phrase").map(|phrase| {
            let text = text.trim().trim_matches('"').to_lowercase();
            text.ends_with(&phrase.trim().to_lowercase())
        }),
        "quotation" => {
            let text = text.trim();
            Ok(text.len() > 1 && text.starts_with('"') && text.ends_with('"'))
        }
        "no_comma" => Ok(!text.contains(',')),
        _ => return None,
    })
}

fn has_postscript(text: &str, marker: &str) -> bool {
    let pattern = match marker {
        "P.P.S" => r"\s*p\.\s?p\.\s?s.*".to_owned(),
        "P.S." => r"\s*p\.\s?s\..*".to_owned(),
        other => format!(r"\s*{}.*", regex::escape(&other.to_lowercase())),
    };
    Regex::new(&pattern).is_ok_and(|pattern| pattern.is_match(&text.to_lowercase()))
}

fn highlights(text: &str) -> usize {
    let is_full = |found: &str| !found.trim_matches('*').trim().is_empty();
    let single = HIGHLIGHT.find_iter(text).filter(|found| is_full(found.as_str())).count();
    single + DOUBLE_HIGHLIGHT.find_iter(text).filter(|found| is_full(found.as_str())).count()
}

fn sections(text: &str, needs: &Needs) -> Result<bool, String> {
    let splitter = regex::escape(needs.text("section_spliter")?.trim());
    let expected = needs.count("num_sections")?;
    let pattern =
        Regex::new(&format!(r"\s?{splitter}\s?\d+\s?")).map_err(|error| error.to_string())?;
    Ok(pattern.find_iter(text).count() >= expected)
}

fn is_json(text: &str) -> bool {
    let mut text = text.trim();
    for fence in ["```json", "```Json", "```JSON", "```"] {
        text = text.strip_prefix(fence).unwrap_or(text);
    }
    let text = text.strip_suffix("```").unwrap_or(text).trim();
    serde_json::from_str::<serde_json::Value>(text).is_ok()
}

/// Two answers parted by six asterisks that differ.
fn are_two(text: &str) -> bool {
    let parts: Vec<&str> = text.split("******").collect();
    let is_inner = |place: usize| place > 0 && place + 1 < parts.len();
    let has_hole =
        parts.iter().enumerate().any(|(at, part)| part.trim().is_empty() && is_inner(at));
    let full: Vec<&str> =
        parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty()).collect();
    !has_hole && full.len() == 2 && full[0] != full[1]
}
