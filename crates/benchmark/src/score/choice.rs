//! One of several options.

use std::sync::LazyLock;

use regex::Regex;
use reward::last_boxed;

use super::{Marks, share};
use crate::prompt::letter;

static ANNOUNCED: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)answer\s*:\s*(.*)"));
static ANSWER_IS: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?i)(?:correct )?answer is:?\s*\**\(?([A-Z])\)?\**(?:[^A-Za-z]|$)"));
static TYPESET: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"\\(?:text|textbf|mathrm|mathbf|rm|bf)\b|[{}$*\s]"));

fn pattern(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a pattern that compiles")
}

/// What VLMEvalKit answers with instead of a letter where a model refuses.
const REFUSALS: [&str; 4] = [
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
];

/// Whose matching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Harness {
    /// VLMEvalKit's.
    Upstream,
    /// Skywork's fork, which has neither the rule of the last five words nor that of the length.
    Fork,
}

/// Scores a choice.
pub(super) fn marks(answer: &str, response: &str, options: &[String], right: usize) -> Marks {
    let strict = strict(answer, options.len());
    let lenient = strict.or_else(|| lenient(answer, options));
    let prediction = lenient.map(|place| letter(place).to_string());
    let upstream = can_infer(answer, options, Harness::Upstream);
    let marks = Marks::of(strict == Some(right), lenient == Some(right), prediction);
    let fork = fork(response, options, right).unwrap_or_default();
    let marks = marks.harness(share(upstream == Some(right)), fork);
    Marks { is_unmatched: upstream.is_none() && !answer.is_empty(), ..marks }
}

/// By the rules of Skywork's fork, which reads the whole response.
pub(super) fn fork(response: &str, options: &[String], right: usize) -> Option<f64> {
    Some(share(can_infer(response, options, Harness::Fork) == Some(right)))
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

/// The option that a text begins with: `B`, `(B)`, `B. red`, `\text{B}`.
fn named(text: &str, num_options: usize) -> Option<usize> {
    let plain = TYPESET.replace_all(text.trim(), " ");
    let plain = plain.trim().trim_start_matches('(');
    let mut characters = plain.chars();
    let place = (characters.next()? as usize).checked_sub('A' as usize)?;
    let rest = characters.as_str();
    let ends = rest.is_empty() || rest.starts_with([')', '.', ':', ',']);
    (place < num_options && ends).then_some(place)
}

/// The option wherever it is said.
fn lenient(answer: &str, options: &[String]) -> Option<usize> {
    let boxed = last_boxed(answer).and_then(|boxed| {
        let same = |option: &String| plain(option) == plain(boxed);
        options.iter().position(same)
    });
    boxed
        .or_else(|| can_infer(answer, options, Harness::Fork))
        .or_else(|| official(answer, options))
}

fn plain(text: &str) -> String {
    TYPESET.replace_all(text, "").to_lowercase()
}

/// VLMEvalKit's `can_infer`: a letter that stands alone, else the one option whose text occurs.
pub(crate) fn can_infer(answer: &str, options: &[String], harness: Harness) -> Option<usize> {
    if REFUSALS.iter().any(|refusal| answer.contains(refusal)) {
        return None;
    }
    infer_letter(answer, options.len(), harness).or_else(|| infer_text(answer, options, harness))
}

fn infer_letter(answer: &str, num_options: usize, harness: Harness) -> Option<usize> {
    let spaced = answer.replace(|c| ".()[],:;!*#{}".contains(c), " ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let place_of = |option: usize| {
        let letter = letter(option).to_string();
        words.iter().position(|word| *word == letter)
    };
    let found: Vec<(usize, usize)> =
        (0..num_options).filter_map(|option| Some((option, place_of(option)?))).collect();
    match (&found[..], harness) {
        ([(option, _)], Harness::Fork) => Some(*option),
        ([(option, place)], Harness::Upstream) if place + 5 > words.len() => Some(*option),
        (_, Harness::Upstream) => {
            let said = ANSWER_IS.captures(answer)?[1].to_uppercase();
            (0..num_options).find(|option| said == letter(*option).to_string())
        }
        _ => None,
    }
}

fn infer_text(answer: &str, options: &[String], harness: Harness) -> Option<usize> {
    let answer = answer.to_lowercase();
    let length: usize = options.iter().map(|option| option.chars().count()).sum();
    if harness == Harness::Upstream && answer.chars().count() > 2 * length {
        return None;
    }
    let mut found = (0..options.len()).filter(|&at| answer.contains(&options[at].to_lowercase()));
    let first = found.next()?;
    found.next().is_none().then_some(first)
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

    /// Strict, lenient, VLMEvalKit, its fork; option B is right.
    #[test]
    fn verdicts_by_hand() {
        let long =
            "A word on the picture, which shows many things in many colours, all of them old. ";
        let thought = format!("<think>\nIs it A or C?\n</think>\n\n{}", r"Answer: \boxed{B}");
        let cases = [
            (r"Thus.\nAnswer: \boxed{B}", [1, 1, 1, 1]),
            (r"Answer: \boxed{\text{B}}", [1, 1, 1, 1]),
            (r"\boxed{rabbit}", [0, 1, 1, 1]),
            ("B", [1, 1, 1, 1]),
            ("(B) rabbit", [1, 1, 1, 1]),
            ("The answer is B.", [0, 1, 1, 1]),
            ("Answer: B", [1, 1, 1, 1]),
            (r"\boxed{C}", [0, 0, 0, 0]),
            ("It is a rabbit", [0, 1, 1, 1]),
            // More than one letter: nothing can be inferred, MMMU's rule takes the last.
            ("Either A or maybe B here", [0, 1, 0, 0]),
            // B stands alone, but far from the end.
            ("B is what I see in this picture of some old toys", [0, 1, 0, 1]),
            ("", [0, 0, 0, 0]),
            ("I cannot tell", [0, 0, 0, 0]),
        ];
        for (response, expected) in cases {
            let marks = marks(response, response, &options(), 1);
            let found = [
                marks.strict,
                marks.lenient,
                marks.vlmevalkit.unwrap(),
                marks.vlmevalkit_fork.unwrap(),
            ];
            assert_eq!(found, expected.map(f64::from), "{response}");
        }
        // The fork reads the thought, in which other letters stand.
        let marks = marks(r"Answer: \boxed{B}", &thought, &options(), 1);
        assert_eq!((marks.vlmevalkit, marks.vlmevalkit_fork), (Some(1.0), Some(0.0)));
        // Twice the options' length is too long for VLMEvalKit, not for its fork.
        let text = format!("{long}It is the rabbit").replace("A word", "a word");
        assert_eq!(can_infer(&text, &options(), Harness::Upstream), None);
        assert_eq!(can_infer(&text, &options(), Harness::Fork), Some(1));
        assert_eq!(can_infer("Cannot determine the answer: B", &options(), Harness::Fork), None);
    }

    #[test]
    fn a_letter_beyond_the_options_is_none() {
        assert_eq!(strict(r"\boxed{E}", 4), None);
        assert_eq!(strict(r"\boxed{E}", 5), Some(4));
        assert_eq!(named("A rabbit", 4), None);
    }
}
