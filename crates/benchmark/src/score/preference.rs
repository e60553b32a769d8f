//! Which of two responses is better: a model as a judge (VL-RewardBench, RewardBench).

use std::sync::LazyLock;

use regex::Regex;
use reward::last_boxed;

use super::Marks;

static OVERALL: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?i)overall judg[e]?ment[^12AB]*?answer\s*\**([12])"));
static BRACKETS: LazyLock<Regex> = LazyLock::new(|| pattern(r"\[\[([AB])\]\]"));
static BETTER: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?i)(?:answer|assistant|response)\s*\**([12AB])\**\s+is\s+(?:the\s+)?better")
});

fn pattern(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a pattern that compiles")
}

/// Scores the preference for the response at place `better`.
pub(super) fn marks(answer: &str, better: usize) -> Marks {
    let last =
        |pattern: &Regex| pattern.captures_iter(answer).last().and_then(|found| place(&found[1]));
    let strict = last(&OVERALL).or_else(|| last(&BRACKETS)).or_else(|| place(last_boxed(answer)?));
    let lenient = strict.or_else(|| last(&BETTER));
    let said = lenient.map(|place| (place + 1).to_string());
    Marks::of(strict == Some(better), lenient == Some(better), said)
}

fn place(name: &str) -> Option<usize> {
    match name.trim() {
        "1" | "A" | "a" => Some(0),
        "2" | "B" | "b" => Some(1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_by_hand() {
        let cases = [
            ("Answer 1 is vague.\nOverall Judgment: Answer 2 is better.", [1, 1]),
            ("**Overall Judgment**: **Answer 2** is better.", [1, 1]),
            ("Both fine. [[B]]", [1, 1]),
            ("I think Answer 2 is better.", [0, 1]),
            ("Overall Judgment: Answer 1 is better.", [0, 0]),
            ("They are equal.", [0, 0]),
        ];
        for (said, expected) in cases {
            let marks = marks(said, 1);
            assert_eq!([marks.strict, marks.lenient], expected.map(f64::from), "{said}");
        }
    }
}
