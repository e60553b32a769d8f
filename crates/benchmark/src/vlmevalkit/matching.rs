//! Which option an answer means (`utils/matching_util.py`, `dataset/utils/videomme.py`, `dataset/utils/mvbench.py`).

use std::sync::LazyLock;

use regex::Regex;

use crate::prompt::letter;

static ANSWER_IS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)(?:correct\s+)?answer\s+is\s+\**([ABCD])\**").expect("a pattern that compiles")
});

/// What a refusal contains.
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
    /// Skywork's fork, which has neither the rule of the last five words, nor "answer is", nor that of the length.
    Fork,
}

/// What was inferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inferred {
    /// The option at this place.
    Option(usize),
    /// `Z`: none of them.
    Neither,
}

/// `can_infer`: a letter that stands alone, else the one option whose text occurs. Nothing where the kit asks on.
pub(crate) fn can_infer(answer: &str, options: &[String], harness: Harness) -> Option<Inferred> {
    if REFUSALS.iter().any(|refusal| answer.contains(refusal)) {
        return Some(Inferred::Neither);
    }
    infer_letter(answer, options.len(), harness)
        .or_else(|| infer_text(answer, options, harness).map(Inferred::Option))
}

fn infer_letter(answer: &str, num_options: usize, harness: Harness) -> Option<Inferred> {
    let spaced = answer.replace(|c| ".()[],:;!*#{}".contains(c), " ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let place_of = |option: usize| {
        let letter = letter(option).to_string();
        words.iter().position(|word| *word == letter)
    };
    let found: Vec<(usize, usize)> =
        (0..num_options).filter_map(|option| Some((option, place_of(option)?))).collect();
    match (&found[..], harness) {
        ([(option, _)], Harness::Fork) => return Some(Inferred::Option(*option)),
        ([(option, place)], Harness::Upstream) if place + 5 > words.len() => {
            return Some(Inferred::Option(*option));
        }
        ([], _) if words.contains(&"Z") => return Some(Inferred::Neither),
        _ => {}
    }
    if harness == Harness::Fork {
        return None;
    }
    let said = ANSWER_IS.captures(answer)?[1].to_uppercase();
    let said = usize::from(*said.as_bytes().first()? - b'A');
    (said < num_options).then_some(Inferred::Option(said))
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

/// Video-MME's own: what is taken out, and then the first capital letter from A to D.
///
/// Two pairs of them are one text each, as in the kit, where a comma is missing.
const PREFIXES: [&str; 8] = [
    "The best answer is",
    "The correct answer is",
    "The answer is",
    "The answer",
    "The best option isThe correct option is",
    "Best answer:Best option:",
    "Answer:",
    "Option:",
];

/// The place of the first letter from A to D behind what announces one.
pub(super) fn first_letter(answer: &str) -> Option<usize> {
    let mut text = answer.trim().to_owned();
    for prefix in PREFIXES {
        text = text.replace(prefix, "");
    }
    let found = text.bytes().find(|byte| (b'A'..=b'D').contains(byte))?;
    Some(usize::from(found - b'A'))
}

/// Whether the first word is part of the right option's letter in brackets, or holds it.
pub(super) fn first_word(answer: &str, right: usize) -> bool {
    let answer = answer.trim().to_lowercase();
    let first = answer.split(' ').next().unwrap_or_default();
    let gold = format!("({})", letter(right).to_ascii_lowercase());
    gold.contains(&first.replace('.', "")) || first.contains(&gold)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Vec<String> {
        ["teddy bear", "rabbit", "cat", "dog"].map(str::to_owned).to_vec()
    }

    #[test]
    fn options_by_hand() {
        use Inferred::{Neither, Option as Is};
        let long = "a word on the picture, which shows many things in many colours, all of them old. It is the rabbit";
        // VLMEvalKit, its fork.
        let cases = [
            (r"Answer: \boxed{B}", Some(Is(1)), Some(Is(1))),
            ("It is a rabbit", Some(Is(1)), Some(Is(1))),
            ("Either A or maybe B here", None, None),
            ("B is what I see in this picture of some old toys", None, Some(Is(1))),
            ("The answer is **b**, since of all the toys it has ears", Some(Is(1)), None),
            ("Z", Some(Neither), Some(Neither)),
            ("Cannot determine the answer: B", Some(Neither), Some(Neither)),
            (long, None, Some(Is(1))),
            ("", None, None),
        ];
        for (answer, upstream, fork) in cases {
            assert_eq!(can_infer(answer, &options(), Harness::Upstream), upstream, "{answer}");
            assert_eq!(can_infer(answer, &options(), Harness::Fork), fork, "{answer}");
        }
    }

    #[test]
    fn first_letters_and_words_as_they_come() {
        assert_eq!(first_letter("The best answer is: B"), Some(1));
        assert_eq!(first_letter("Because A is red, C"), Some(1), "the B of Because");
        assert_eq!(first_letter("none"), None);
        assert!(first_word("(B) rabbit", 1) && first_word("b.", 1) && first_word("(B)rabbit", 1));
        assert!(!first_word("rabbit", 1) && !first_word("The answer is B", 1));
    }
}
