//! One of several options.

use std::sync::LazyLock;

use regex::Regex;
use reward::{last_boxed, marked_choice};

use super::Marks;
use crate::prompt::letter;
use crate::vlmevalkit::{Harness, Inferred, can_infer};

static ANNOUNCED: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)answer\s*:\s*(.*)"));
/// simple-evals' own (openai/simple-evals, `common.py`).
static SIMPLE: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)Answer[ \t]*:[ \t]*\$?([A-Z])\$?"));
static TYPESET: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"\\(?:text|textbf|mathrm|mathbf|rm|bf)\b|[{}$*\s]"));

fn pattern(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a pattern that compiles")
}

/// Scores a choice.
pub(super) fn marks(answer: &str, options: &[String], right: usize) -> Marks {
    let strict = strict(answer, options.len());
    let lenient = strict.or_else(|| lenient(answer, options));
    let prediction = lenient.map(|place| letter(place).to_string());
    Marks::of(strict == Some(right), lenient == Some(right), prediction)
}

/// The option in the form asked for: the last box, the last line that says `Answer:`, or an answer that is
/// nothing else.
fn strict(answer: &str, num_options: usize) -> Option<usize> {
    if let Some(boxed) = last_boxed(answer) {
        return named(boxed, num_options);
    }
    let announced = ANNOUNCED.captures_iter(answer).last();
    match announced.and_then(|found| named(&found[1], num_options)) {
        Some(place) => Some(place),
        None if answer.lines().count() == 1 => named(answer, num_options),
        None => None,
    }
}

/// The option that a text begins with: `B`, `(B)`, `B. red`, `\text{B}`; none where it names several.
fn named(text: &str, num_options: usize) -> Option<usize> {
    let plain = TYPESET.replace_all(text.trim(), " ");
    let plain = plain.trim();
    let mut characters = plain.chars();
    let letter = match (characters.next()?, characters.next()) {
        (letter, None) => letter,
        _ => marked_choice(plain)?.0,
    };
    let place = (letter as usize).checked_sub('A' as usize)?;
    (place < num_options).then_some(place)
}

/// The option wherever it is said.
fn lenient(answer: &str, options: &[String]) -> Option<usize> {
    let boxed = last_boxed(answer).and_then(|boxed| {
        let same = |option: &String| plain(option) == plain(boxed);
        options.iter().position(same)
    });
    boxed
        .or_else(|| simple(answer, options.len()))
        .or_else(|| match can_infer(answer, options, Harness::Fork) {
            Some(Inferred::Option(place)) => Some(place),
            Some(Inferred::Neither) | None => None,
        })
        .or_else(|| official(answer, options))
}

fn plain(text: &str) -> String {
    TYPESET.replace_all(text, "").to_lowercase()
}

/// The first letter that is announced.
fn simple(answer: &str, num_options: usize) -> Option<usize> {
    let said = SIMPLE.captures(answer)?[1].to_ascii_uppercase();
    let place = usize::from(said.bytes().next()? - b'A');
    (place < num_options).then_some(place)
}

/// MMMU's own matching without its random guess: `(A)`, then ` A `, then the option's text; the last counts.
fn official(answer: &str, options: &[String]) -> Option<usize> {
    let trimmed = answer.trim_matches([',', '.', '!', '?', ';', ':', '\'']);
    let spaced = format!(" {trimmed} ");
    let last = |written: &dyn Fn(usize) -> String, text: &str| {
        let places = (0..options.len()).filter_map(|at| Some((text.rfind(&written(at))?, at)));
        places.max().map(|(_, at)| at)
    };
    last(&|at| format!("({})", letter(at)), &spaced)
        .or_else(|| last(&|at| format!(" {} ", letter(at)), &spaced))
        .or_else(|| {
            let is_long = spaced.split_whitespace().count() > 5;
            is_long
                .then(|| last(&|at| options[at].to_lowercase(), &spaced.to_lowercase()))
                .flatten()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: [&str; 4] = ["teddy bear", "rabbit", "cat", "dog"];

    fn options() -> Vec<String> {
        OPTIONS.map(str::to_owned).to_vec()
    }

    /// Strict, lenient; option B is right.
    #[test]
    fn verdicts_by_hand() {
        let cases = [
            ("Thus.\nAnswer: \\boxed{B}", [1, 1]),
            (r"Answer: \boxed{\text{B}}", [1, 1]),
            (r"\boxed{rabbit}", [0, 1]),
            ("B", [1, 1]),
            ("(B) rabbit", [1, 1]),
            ("The answer is B.", [0, 1]),
            ("Answer: B", [1, 1]),
            ("Answer: $B$ since it has ears", [0, 1]),
            (r"\boxed{C}", [0, 0]),
            ("It is a rabbit", [0, 1]),
            // More than one letter: nothing can be inferred, MMMU's rule takes the last.
            ("Either A or maybe B here", [0, 1]),
            ("B is what I see in this picture of some old toys", [0, 1]),
            ("Cannot determine the answer", [0, 0]),
            ("", [0, 0]),
            ("I cannot tell", [0, 0]),
        ];
        for (answer, expected) in cases {
            let marks = marks(answer, &options(), 1);
            assert_eq!([marks.strict, marks.lenient], expected.map(f64::from), "{answer}");
        }
    }

    #[test]
    fn a_letter_beyond_the_options_is_none() {
        assert_eq!(strict(r"\boxed{E}", 4), None);
        assert_eq!(strict(r"\boxed{E}", 5), Some(4));
        assert_eq!(named("A rabbit", 4), None);
    }

    #[test]
    fn several_options_are_none() {
        for text in ["A, B, C, D", "(A)(B)", "A: no; B: yes", "A) yes B) no"] {
            assert_eq!(named(text, 4), None, "{text}");
        }
        for text in ["A", "(A)", "A. teddy bear", "A: teddy bear", r"\text{A}"] {
            assert_eq!(named(text, 4), Some(0), "{text}");
        }
    }
}
