//! Instructions that a program can check (IFEval, arXiv:2311.07911): strictly, and loosely over eight spellings.
//!
//! Sentences are found by their full stops, where the benchmark's own code has a trained splitter; languages by
//! `whatlang`, and Swahili, which that does not know, by its commonest words.

mod form;
mod keywords;
mod language;
mod length;

use serde_json::Value;

use crate::score::{Marks, share};

/// Scores a response by its instructions: right when all are followed.
///
/// # Errors
/// An instruction that is not known, or one without what it needs.
pub(crate) fn marks(answer: &str, instructions: &[(String, Value)]) -> Result<Marks, String> {
    let loose = spellings(answer);
    let mut verdicts = Vec::with_capacity(instructions.len());
    for (name, arguments) in instructions {
        let check = |text: &str| follows(text, name, arguments);
        let strictly = check(answer)? && !answer.trim().is_empty();
        let mut loosely = strictly;
        for text in loose.iter().filter(|text| !text.trim().is_empty()) {
            loosely = loosely || check(text)?;
        }
        verdicts.push((strictly, loosely));
    }
    let strict = verdicts.iter().all(|(strictly, _)| *strictly);
    let lenient = verdicts.iter().all(|(_, loosely)| *loosely);
    let broken = instructions.iter().zip(&verdicts).filter(|(_, (_, loosely))| !loosely);
    let broken: Vec<&str> = broken.map(|((name, _), _)| name.as_str()).collect();
    let why = match (strict, broken.is_empty()) {
        (true, _) => "all instructions are followed".to_owned(),
        (false, true) => "all instructions are followed, loosely".to_owned(),
        (false, false) => format!("not followed: {}", broken.join(", ")),
    };
    Ok(Marks {
        strict: share(strict),
        lenient: share(lenient),
        why,
        instructions: verdicts,
        ..Marks::default()
    })
}

/// Scores a response as LiveBench does: half for all instructions, half for the share that is followed.
///
/// # Errors
/// As [`marks`].
pub(crate) fn shares(answer: &str, instructions: &[(String, Value)]) -> Result<Marks, String> {
    let marks = marks(answer, instructions)?;
    let of = |all: f64, follows: fn(&(bool, bool)) -> bool| {
        let num = marks.instructions.iter().filter(|verdict| follows(verdict)).count();
        f64::midpoint(all, num as f64 / marks.instructions.len().max(1) as f64)
    };
    let strict = of(marks.strict, |(strictly, _)| *strictly);
    let lenient = of(marks.lenient, |(_, loosely)| *loosely);
    Ok(Marks { strict, lenient, ..marks })
}

/// Whether all of an item's instructions are known and have what they need.
///
/// # Errors
/// Names the first that is not.
pub(crate) fn check_known(instructions: &[(String, Value)]) -> Result<(), String> {
    instructions.iter().try_for_each(|(name, arguments)| follows("a", name, arguments).map(drop))
}

/// The response without its first or last line or both, each with and without asterisks.
fn spellings(answer: &str) -> Vec<String> {
    let lines: Vec<&str> = answer.split('\n').collect();
    let inner = |from: usize, less: usize| {
        let end = lines.len().saturating_sub(less);
        lines.get(from..end).map_or(String::new(), |lines| lines.join("\n").trim().to_owned())
    };
    let plain = [answer.to_owned(), inner(1, 0), inner(0, 1), inner(1, 1)];
    let without = plain.clone().map(|text| text.replace('*', ""));
    plain.into_iter().chain(without).collect()
}

/// What an instruction needs to know.
pub(crate) struct Needs<'a>(&'a Value);

impl Needs<'_> {
    fn text(&self, key: &str) -> Result<&str, String> {
        self.0[key].as_str().ok_or_else(|| format!("no text `{key}`"))
    }

    fn count(&self, key: &str) -> Result<usize, String> {
        let value = &self.0[key];
        let count = value.as_u64().or_else(|| value.as_f64().map(|count| count as u64));
        count.map(|count| count as usize).ok_or_else(|| format!("no number `{key}`"))
    }

    fn texts(&self, key: &str) -> Result<Vec<&str>, String> {
        let list = self.0[key].as_array().ok_or_else(|| format!("no list `{key}`"))?;
        Ok(list.iter().filter_map(Value::as_str).collect())
    }

    /// `at least` or `less than` a count.
    fn compares(&self, key: &str, found: usize, count: usize) -> Result<bool, String> {
        match self.text(key)? {
            "at least" => Ok(found >= count),
            "less than" => Ok(found < count),
            other => Err(format!("{key} = {other:?}, expected \"at least\" or \"less than\"")),
        }
    }
}

fn follows(text: &str, name: &str, arguments: &Value) -> Result<bool, String> {
    let needs = Needs(arguments);
    let verdict = match name.split_once(':') {
        Some(("keywords", kind)) => keywords::follows(text, kind, &needs),
        Some(("language", kind)) => language::follows(text, kind, &needs),
        Some(("length_constraints", kind)) => length::follows(text, kind, &needs),
        Some(("change_case", kind)) => language::has_case(text, kind, &needs),
        Some((
            "detectable_content" | "detectable_format" | "combination" | "startend" | "punctuation",
            kind,
        )) => form::follows(text, kind, &needs),
        _ => None,
    };
    let verdict = verdict.ok_or_else(|| format!("unknown instruction {name:?}"))?;
    verdict.map_err(|reason| format!("instruction {name}: {reason}"))
}

/// A verdict on an instruction; nothing where the instruction is not known.
pub(crate) type Verdict = Option<Result<bool, String>>;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Instructions with what they need, a text that follows each and one that does not.
    #[track_caller]
    fn check(cases: &[(&str, Value, &str, &str)]) {
        for (name, needs, followed, broken) in cases {
            let instructions = [((*name).to_owned(), needs.clone())];
            let strict = |text: &str| marks(text, &instructions).unwrap().strict;
            assert_eq!((strict(followed), strict(broken)), (1.0, 0.0), "{name}");
        }
    }

    #[test]
    fn words_and_lengths() {
        check(&[
            (
                "keywords:existence",
                json!({"keywords": ["sun", "sea"]}),
                "The Sun, the sea.",
                "the sun",
            ),
            (
                "keywords:frequency",
                json!({"keyword": "sun", "frequency": 2, "relation": "at least"}),
                "sun Sun",
                "sun",
            ),
            ("keywords:forbidden_words", json!({"forbidden_words": ["sun"]}), "sunny", "The sun."),
            (
                "keywords:letter_frequency",
                json!({"letter": "s", "let_frequency": 2, "let_relation": "less than"}),
                "Sun",
                "suns",
            ),
            (
                "language:response_language",
                json!({"language": "de"}),
                "Das ist ein sehr schöner Tag, und wir gehen heute gemeinsam in den Wald.",
                "This is a very nice day and we are walking through the woods together.",
            ),
            (
                "length_constraints:number_sentences",
                json!({"num_sentences": 3, "relation": "at least"}),
                "One. Two! Three?",
                "One. Two.",
            ),
            (
                "length_constraints:number_paragraphs",
                json!({"num_paragraphs": 2}),
                "a\n***\nb",
                "a\n\nb",
            ),
            (
                "length_constraints:number_words",
                json!({"num_words": 3, "relation": "less than"}),
                "one two",
                "one two three",
            ),
            (
                "length_constraints:nth_paragraph_first_word",
                json!({"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "then"}),
                "a\n\nThen, b",
                "a\n\nb",
            ),
            (
                "detectable_content:number_placeholders",
                json!({"num_placeholders": 1}),
                "Dear [name],",
                "Dear name,",
            ),
            (
                "detectable_content:postscript",
                json!({"postscript_marker": "P.S."}),
                "Bye.\nP.S. Hi",
                "Bye.",
            ),
            ("detectable_format:number_bullet_lists", json!({"num_bullets": 2}), "* a\n- b", "* a"),
        ]);
    }

    #[test]
    fn forms_and_cases() {
        check(&[
            ("detectable_format:constrained_response", json!({}), "My answer is yes.", "Yes."),
            (
                "detectable_format:number_highlighted_sections",
                json!({"num_highlights": 2}),
                "*a* and **b**",
                "*a*",
            ),
            (
                "detectable_format:multiple_sections",
                json!({"section_spliter": "Section", "num_sections": 2}),
                "Section 1\na\nSection 2\nb",
                "Section 1\na",
            ),
            ("detectable_format:json_format", json!({}), "```json\n{\"a\": 1}\n```", "{a: 1}"),
            ("detectable_format:title", json!({}), "<<Title>>\na", "Title"),
            ("combination:two_responses", json!({}), "a\n******\nb", "a\n******\na"),
            (
                "combination:repeat_prompt",
                json!({"prompt_to_repeat": "Say it."}),
                "Say it. It.",
                "It.",
            ),
            (
                "startend:end_checker",
                json!({"end_phrase": "The end."}),
                "So. The end.",
                "The end. So.",
            ),
            ("startend:quotation", json!({}), "\"So.\"", "So."),
            ("punctuation:no_comma", json!({}), "one two", "one, two"),
            (
                "change_case:capital_word_frequency",
                json!({"capital_frequency": 2, "capital_relation": "at least"}),
                "NASA and ESA",
                "NASA",
            ),
            (
                "change_case:english_capital",
                json!({}),
                "THIS IS A SENTENCE WRITTEN IN THE ENGLISH LANGUAGE",
                "This is a sentence in English.",
            ),
            (
                "change_case:english_lowercase",
                json!({}),
                "this is a sentence written in the english language",
                "This is a sentence in English.",
            ),
        ]);
    }

    #[test]
    fn loosely_a_first_line_may_go() {
        let instructions = [("startend:quotation".to_owned(), json!({}))];
        let found = marks("Here it is:\n\"So.\"", &instructions).unwrap();
        assert_eq!(
            (found.strict, found.lenient, &found.instructions[..]),
            (0.0, 1.0, &[(false, true)][..])
        );
        assert!(
            marks("a", &[("poems:rhyme".to_owned(), json!({}))])
                .unwrap_err()
                .contains("poems:rhyme")
        );
        let lacking = marks("a", &[("keywords:existence".to_owned(), json!({}))]).unwrap_err();
        assert_eq!(lacking, "instruction keywords:existence: no list `keywords`");
    }
}
