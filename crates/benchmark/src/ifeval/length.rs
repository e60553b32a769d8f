//! How many words, sentences and paragraphs.

use super::{Needs, Verdict};

/// Shortened words that a full stop does not end.
const SHORTENED: [&str; 12] =
    ["mr.", "mrs.", "ms.", "dr.", "prof.", "st.", "e.g.", "i.e.", "etc.", "vs.", "no.", "jr."];

pub(super) fn follows(text: &str, kind: &str, needs: &Needs) -> Verdict {
    Some(match kind {
        "number_words" => words(text, needs),
        "number_sentences" => sentences(text, needs),
        "number_paragraphs" => paragraphs(text, needs),
        "nth_paragraph_first_word" => first_word(text, needs),
        _ => return None,
    })
}

fn words(text: &str, needs: &Needs) -> Result<bool, String> {
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    let found = words.filter(|word| !word.is_empty()).count();
    needs.compares("relation", found, needs.count("num_words")?)
}

fn sentences(text: &str, needs: &Needs) -> Result<bool, String> {
    needs.compares("relation", count_sentences(text), needs.count("num_sentences")?)
}

/// Words that end in a full stop, a question mark or an exclamation mark, and what stands after the last of them.
fn count_sentences(text: &str) -> usize {
    let (mut num, mut is_open) = (0, false);
    for word in text.split_whitespace() {
        let plain = word.trim_end_matches(['"', '\'', ')', ']', '*', '”', '’']);
        let ends = plain.ends_with(['.', '!', '?', '。', '！', '？']);
        if ends && !SHORTENED.contains(&plain.to_lowercase().as_str()) {
            num += 1;
            is_open = false;
        } else {
            is_open = is_open || word.chars().any(char::is_alphanumeric);
        }
    }
    num + usize::from(is_open)
}

/// Paragraphs parted by `***`; one at either end may be empty, one in between may not.
fn paragraphs(text: &str, needs: &Needs) -> Result<bool, String> {
    let expected = needs.count("num_paragraphs")?;
    let parts: Vec<&str> = text.split("***").map(str::trim).collect();
    let inner_empty = parts
        .iter()
        .enumerate()
        .any(|(place, part)| part.is_empty() && place > 0 && place + 1 < parts.len());
    let found = parts.iter().filter(|part| !part.is_empty()).count();
    Ok(!inner_empty && found == expected)
}

fn first_word(text: &str, needs: &Needs) -> Result<bool, String> {
    let (expected, nth) = (needs.count("num_paragraphs")?, needs.count("nth_paragraph")?);
    let first = needs.text("first_word")?.to_lowercase();
    let paragraphs: Vec<&str> = text.split("\n\n").collect();
    let found = paragraphs.iter().filter(|part| !part.trim().is_empty()).count();
    let Some(paragraph) = nth.checked_sub(1).and_then(|at| paragraphs.get(at)) else {
        return Ok(false);
    };
    let word = paragraph.split_whitespace().next().unwrap_or("");
    let word = word.trim_start_matches(['\'', '"']).to_lowercase();
    let end = word.find(['.', ',', '?', '!', '\'', '"']).unwrap_or(word.len());
    Ok(found == expected && word[..end] == first)
}
