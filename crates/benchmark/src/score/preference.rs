//! Which of two responses is better: a model as a judge (VL-RewardBench, RewardBench).

use std::sync::LazyLock;

use regex::Regex;
use reward::last_boxed;

use super::Marks;

/// VL-RewardBench's own (vl-rewardbench/VL_RewardBench, `inference_hf.py`), line ends and asterisks taken out.
static OVERALL: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)(?:Overall Judgment|Therefore)\s*.*\s*-*\s*Answer\s*(\d+)\s*is\s*(?:the\s*)?(?:slightly\s*)?better",
    )
});
static BETTER: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)(?:answer|assistant|response)\s*\**([12AB])\**\s+is\s+(?:the\s+)?(?:slightly\s+)?better",
    )
});

fn pattern(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a pattern that compiles")
}

/// Scores the preference for the response at place `better`, strictly by the benchmarks' own rules.
pub(super) fn marks(answer: &str, better: usize) -> Marks {
    let strict = overall(answer).or_else(|| bracketed(answer));
    let strict = strict.or_else(|| place(last_boxed(answer)?));
    let last = || BETTER.captures_iter(answer).last().and_then(|found| place(&found[1]));
    let lenient = strict.or_else(last);
    let said = lenient.map(|place| (place + 1).to_string());
    Marks::of(strict == Some(better), lenient == Some(better), said)
}

fn overall(answer: &str) -> Option<usize> {
    place(&OVERALL.captures(&answer.replace(['\n', '*'], ""))?[1])
}

/// RewardBench's own: A where both are said (allenai/reward-bench, `rewardbench/generative.py`).
fn bracketed(answer: &str) -> Option<usize> {
    ["[[A]]", "[[B]]"].iter().position(|name| answer.contains(name))
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
            ("**Overall Judgment:**\n- Answer 2 is slightly better.", [1, 1]),
            ("Both fine. [[B]]", [1, 1]),
            ("Not [[A]] but [[B]]", [0, 0]),
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
