//! What the kit says to a model, word by word; the texts are in `prompts/`.

use crate::prompt::letter;

const OPTION: &str = include_str!("prompts/option.txt");
const OPTION_CHINESE: &str = include_str!("prompts/option_chinese.txt");
const YES_NO: &str = include_str!("prompts/yes_no.txt");
const MATHVISTA: &str = include_str!("prompts/mathvista.txt");
const MATHVISION: &str = include_str!("prompts/mathvision.txt");
const MATHVERSE_EXTRACT: &str = include_str!("prompts/mathverse_extract.txt");
const MATHVERSE_SCORE: &str = include_str!("prompts/mathverse_score.txt");
const BETTER: &str = include_str!("prompts/better.txt");

/// Which option an answer means; in Chinese where the question is.
pub(super) fn option(question: &str, options: &[String], answer: &str) -> String {
    let line = |(place, option): (usize, &String)| format!("{}. {option}\n", letter(place));
    let listed: String = options.iter().enumerate().map(line).collect();
    let listed = format!("There are several options: \n{listed}");
    let words = if is_chinese(question) { OPTION_CHINESE } else { OPTION };
    filled(words, &[("question", question), ("options", &listed), ("answer", answer)])
}

fn is_chinese(text: &str) -> bool {
    text.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c))
}

/// Whether an answer means yes or no.
pub(super) fn yes_no(question: &str, answer: &str) -> String {
    filled(YES_NO, &[("question", question), ("answer", answer)])
}

/// The final answer in a response to MathVista or MATH-Vision, after five examples.
pub(super) fn extraction(question: &str, answer: &str, is_mathvista: bool) -> String {
    let words = if is_mathvista { MATHVISTA } else { MATHVISION };
    filled(words, &[("question", question), ("answer", answer)])
}

/// The final answer in a response to MathVerse, after six examples.
pub(super) fn verse_extraction(answer: &str) -> String {
    filled(MATHVERSE_EXTRACT, &[("answer", answer)])
}

/// Whether an extracted answer is the known one, 0 or 1.
pub(super) fn verse_score(question: &str, gold: &str, extracted: &str) -> String {
    let places = [("question", question), ("gold", gold), ("extracted", extracted)];
    filled(MATHVERSE_SCORE, &places)
}

/// Which response a judgement prefers.
pub(super) fn better(judgement: &str) -> String {
    filled(BETTER, &[("answer", judgement)])
}

/// The words with what belongs in their places; what is put in is not looked at again.
fn filled(words: &str, places: &[(&str, &str)]) -> String {
    let mut text = String::new();
    let mut rest = words;
    while let Some((before, name, value, behind)) = next_place(rest, places) {
        text += before;
        text += value;
        rest = &behind[name.len() + 2..];
    }
    text + rest
}

/// What stands before the next place, its name, its value, and the text from the place on.
fn next_place<'a>(
    rest: &'a str,
    places: &[(&'a str, &'a str)],
) -> Option<(&'a str, &'a str, &'a str, &'a str)> {
    let found = places.iter().filter_map(|(name, value)| {
        let place = rest.find(&format!("{{{name}}}"))?;
        Some((place, *name, *value))
    });
    let (place, name, value) = found.min()?;
    Some((&rest[..place], name, value, &rest[place..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_once() {
        let options = ["red".to_owned(), "blue".to_owned()];
        let asked = option("Which {answer}", &options, "it is {question}");
        assert!(asked.starts_with("You are an AI assistant who will help me to match an answer"));
        assert!(
            asked.ends_with(
                "Question: Which {answer}?\nOptions: There are several options: \nA. red\nB. blue\n\n\
                 Answer: it is {question}\nYour output: "
            ),
            "{asked}"
        );
        assert!(option("图中", &options, "x").ends_with("答案: x\n输出: "));
        assert!(extraction("Q", "7", true).ends_with("Q\nModel respone: 7Extracted answer:"));
        assert!(extraction("Q", "7", false).contains("provide the final answer at the end."));
        assert!(verse_extraction("7").ends_with("7.\nModel response: '7'\nExtracted Answer: "));
        assert!(verse_score("Q", "G", "E").ends_with("[Model_answer] : E\n    Judgement:"));
        assert!(better("J").ends_with("Judgement: J\n"));
    }
}
