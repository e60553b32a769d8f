//! OlympiadBench's own judge of expressions, which the kit took over (`dataset/utils/olympiadbench.py`, `MathJudger`;
//! OpenBMB/OlympiadBench, `inference/code/math_judger.py`).
//!
//! Several answers are parted by commas outside brackets and count in any order, `±` is two of them, and a number may
//! be off by the item's tolerance. Where the benchmark asks SymPy whether two expressions are the same, the verifier
//! that rewards is asked. The kit lacks a function there (`sympy_sub_pi`), so that it holds only expressions equal
//! that SymPy writes alike: `\frac{1}{2}` and `0.5` are not. The benchmark's own judge, and this one, do.

use std::sync::LazyLock;

use regex::Regex;
use reward::verify;

/// What is taken out or written another way before anything is compared.
const SIGNS: [(&str, &str); 12] = [
    ("\\left", ""),
    ("\\right", ""),
    ("∶", ":"),
    ("，", ","),
    ("$", ""),
    ("\\approx", "="),
    ("\\simeq", "="),
    ("\\sim", "="),
    ("^\\prime", "'"),
    ("^{\\prime}", "'"),
    ("^\\circ", ""),
    ("%", ""),
];

/// What is taken off both ends.
const ENDS: &str = "\n$,.:;^_=+`!@#$%^&*~，。";

/// The tolerance where the item has none.
const TOLERANCE: f64 = 1e-8;

static UPRIGHT: LazyLock<Regex> = LazyLock::new(|| pattern(r"\\(?:mathrm|mathbf)\{~?([^}]*)\}"));
static DOLLARS: LazyLock<Regex> = LazyLock::new(|| pattern(r"\$(.*?)\$"));

fn pattern(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a pattern that compiles")
}

/// What follows the last "So the final answer is", up to the end of the line; else the whole answer.
pub(crate) fn final_answer(answer: &str, is_chinese: bool) -> &str {
    let start = if is_chinese { "所以最终答案是" } else { "So the final answer is " };
    match answer.rfind(start) {
        Some(place) => answer[place + start.len()..].lines().next().unwrap_or_default().trim(),
        None => answer,
    }
}

/// The judge, with the tolerances of an item.
pub(crate) struct Judger<'a> {
    tolerances: &'a [f64],
}

impl<'a> Judger<'a> {
    /// One tolerance for all answers, or one for each; none is 10⁻⁸.
    pub(crate) fn new(tolerances: &'a [f64]) -> Self {
        Self { tolerances: if tolerances.is_empty() { &[TOLERANCE] } else { tolerances } }
    }

    /// Whether all answers of both sides can be paired.
    pub(crate) fn judge(&self, said: &str, gold: &str) -> bool {
        let (Some(said), Some(gold)) = (prepared(said), prepared(gold)) else { return false };
        if said == gold {
            return true;
        }
        let (mut said, mut gold) =
            (answers(&without_chinese(&said)), answers(&without_chinese(&gold)));
        if said.len() != gold.len() {
            return false;
        }
        let mut tolerances = match self.tolerances {
            [one] => vec![*one; said.len()],
            several => several.to_vec(),
        };
        // The benchmark goes on behind the place of what it took out, where the list closes up.
        let mut next = 0;
        while !said.is_empty() {
            let place = next % said.len();
            next = place + 1;
            let Some(&tolerance) = tolerances.get(place) else { return false };
            let Some(pair) = gold.iter().position(|gold| same(&said[place], gold, tolerance))
            else {
                return false;
            };
            said.remove(place);
            gold.remove(pair);
            tolerances.remove(place);
        }
        true
    }
}

/// All boxes with commas between, else the formulas of the last line, else all; then without what typesets.
fn prepared(text: &str) -> Option<String> {
    let boxes = boxes(text)?;
    let last = text.trim().lines().last().unwrap_or_default();
    let formulas =
        || DOLLARS.captures_iter(last).map(|found| found[1].to_owned()).collect::<Vec<_>>();
    let mut text = match (boxes.is_empty(), formulas()) {
        (false, _) => with_commas(&boxes),
        (true, formulas) if !formulas.is_empty() => with_commas(&formulas),
        _ => text.to_owned(),
    };
    if let Some((_, behind)) = text.split_once("\\in ") {
        text = behind.split("\\in ").next().unwrap_or_default().to_owned();
    }
    for (sign, other) in SIGNS {
        text = text.replace(sign, other);
    }
    let text = text.trim_matches(|c| ENDS.contains(c));
    Some(UPRIGHT.replace_all(text, "$1").into_owned())
}

fn with_commas(parts: &[String]) -> String {
    parts.iter().map(|part| format!("{part},")).collect()
}

/// What stands in boxes; nothing where one is not closed.
fn boxes(text: &str) -> Option<Vec<String>> {
    let mut found = Vec::new();
    for (place, command) in text.match_indices("\\boxed{") {
        let inside = &text[place + command.len()..];
        let mut depth = 1usize;
        let end = inside.bytes().position(|byte| {
            match byte {
                b'{' => depth += 1,
                b'}' => depth -= 1,
                _ => {}
            }
            depth == 0
        })?;
        found.push(inside[..end].to_owned());
    }
    Some(found)
}

fn without_chinese(text: &str) -> String {
    text.chars().filter(|c| !('\u{4e00}'..='\u{9fff}').contains(c)).collect()
}

/// The answers that commas part outside brackets, `±` as two of them.
fn answers(text: &str) -> Vec<String> {
    let (mut depth, mut start, mut found) = (0i64, 0, Vec::new());
    for (place, c) in text.char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            ',' if depth == 0 => {
                found.push(text[start..place].trim().to_owned());
                start = place + 1;
            }
            _ => {}
        }
    }
    if start < text.len() {
        found.push(text[start..].trim().to_owned());
    }
    let signs = |answer: String| match answer.contains("\\pm") {
        true => vec![answer.replace("\\pm", "+"), answer.replace("\\pm", "-")],
        false => vec![answer],
    };
    found.into_iter().flat_map(signs).collect()
}

/// Whether two answers are the same: as text, as numbers within the tolerance, a percentage for a share too, or as
/// expressions.
fn same(said: &str, gold: &str, tolerance: f64) -> bool {
    if said == gold && !said.is_empty() {
        return true;
    }
    let numbers = said.trim().parse::<f64>().ok().zip(gold.trim().parse::<f64>().ok());
    if let Some((said, gold)) = numbers {
        let near = |said: f64| (said - gold).abs() <= tolerance * 1.01;
        if [said / 100.0, said, said * 100.0].into_iter().any(near) {
            return true;
        }
    }
    let are_equations = said.contains('=') && gold.contains('=');
    let (said, gold) = match are_equations {
        true => (said, gold),
        false => (right_side(said), right_side(gold)),
    };
    verify(&format!("${gold}$"), &format!("<think></think>\\boxed{{{said}}}")).equivalent
}

/// What stands behind the first equals sign, up to the next.
fn right_side(text: &str) -> &str {
    text.split('=').nth(1).unwrap_or(text).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_by_hand() {
        let cases = [
            (r"\boxed{2, 1}", "1,2", 1e-8, true),
            (r"\boxed{1}", "1,2", 1e-8, false),
            (r"\boxed{1, 2}", "1", 1e-8, false),
            (r"\boxed{2} and \boxed{1}", "1,2", 1e-8, true),
            (r"\boxed{3, -3}", r"$\pm 3$", 1e-8, true),
            (r"\boxed{(1,2)}", "(1,2)", 1e-8, true),
            (r"\boxed{0.55}", "0.5", 0.1, true),
            (r"\boxed{0.55}", "0.5", 0.01, false),
            (r"\boxed{50%}", "0.5", 1e-8, true),
            (r"\boxed{\frac{1}{2}}", "0.5", 1e-8, true),
            (r"\boxed{x = 3}", "3", 1e-8, true),
            ("it is $7$ m", "7", 1e-8, true),
            (r"\boxed{7", "7", 1e-8, false),
        ];
        for (said, gold, tolerance, expected) in cases {
            assert_eq!(Judger::new(&[tolerance]).judge(said, gold), expected, "{said} {gold}");
        }
    }

    #[test]
    fn the_last_announcement_counts() {
        assert_eq!(
            final_answer("So the final answer is 1.\nSo the final answer is 2.\nEnd", false),
            "2."
        );
        assert_eq!(final_answer("It is 3", false), "It is 3");
        assert_eq!(final_answer("所以最终答案是\\boxed{4}。", true), "\\boxed{4}。");
    }
}
