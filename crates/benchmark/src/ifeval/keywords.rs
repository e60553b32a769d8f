//! Words and letters that must or must not occur.

use regex::RegexBuilder;

use super::{Needs, Verdict};

pub(super) fn follows(text: &str, kind: &str, needs: &Needs) -> Verdict {
    Some(match kind {
        "existence" => exist(text, needs),
        "frequency" => frequency(text, needs),
        "forbidden_words" => forbidden(text, needs),
        "letter_frequency" => letters(text, needs),
        _ => return None,
    })
}

/// How often a word occurs, letter case aside; as a whole word, or anywhere.
fn count(text: &str, word: &str, is_whole: bool) -> usize {
    let escaped = regex::escape(word);
    let pattern = if is_whole { format!(r"\b{escaped}\b") } else { escaped };
    let pattern = RegexBuilder::new(&pattern).case_insensitive(true).build();
    pattern.map_or(0, |pattern| pattern.find_iter(text).count())
}

fn exist(text: &str, needs: &Needs) -> Result<bool, String> {
    Ok(needs.texts("keywords")?.iter().all(|word| count(text, word, false) > 0))
}

fn frequency(text: &str, needs: &Needs) -> Result<bool, String> {
    let found = count(text, needs.text("keyword")?, false);
    needs.compares("relation", found, needs.count("frequency")?)
}

fn forbidden(text: &str, needs: &Needs) -> Result<bool, String> {
    Ok(needs.texts("forbidden_words")?.iter().all(|word| count(text, word, true) == 0))
}

fn letters(text: &str, needs: &Needs) -> Result<bool, String> {
    let letter = needs.text("letter")?.to_lowercase();
    let found = text.to_lowercase().matches(&letter).count();
    needs.compares("let_relation", found, needs.count("let_frequency")?)
}
