//! Mathematics and words.

use reward::{extract_answer, last_boxed, verify};

use super::Marks;
use crate::item::Comparing;
use crate::vlmevalkit::{Judger, final_answer, mathvision_equal};

/// Answers longer than this are not in one line.
const MAX_DIRECT: usize = 200;

/// Scores an open answer.
pub(super) fn marks(answer: &str, golds: &[String], how: &Comparing) -> Marks {
    if let Comparing::Several { tolerances, is_chinese } = how {
        return several(answer, golds, tolerances, *is_chinese);
    }
    let strict = formal(answer);
    let verdicts = |text: &str| golds.iter().any(|gold| is_right(gold, text, how));
    let is_lenient = verdicts(answer)
        || golds.iter().any(|gold| is_said(gold, answer))
        || extract_answer(answer).is_some_and(|said| golds.iter().any(|gold| same(said, gold)));
    Marks::of(verdicts(&strict), is_lenient, prediction(answer))
}

fn prediction(answer: &str) -> Option<String> {
    extract_answer(answer).map(|said| said.chars().take(MAX_DIRECT).collect())
}

/// A short answer that MATH-Vision's rule holds equal.
fn same(said: &str, gold: &str) -> bool {
    said.len() <= MAX_DIRECT && mathvision_equal(said, gold)
}

/// OlympiadBench: strictly as the benchmark has it, leniently in what is boxed or announced otherwise.
fn several(answer: &str, golds: &[String], tolerances: &[f64], is_chinese: bool) -> Marks {
    let (judger, gold) = (Judger::new(tolerances), golds.join(","));
    // The benchmark takes Chinese out before it compares, so that any two words of it are the same.
    let is_right =
        |said: &str| judger.judge(said, &gold) && (has_formula(&gold) || said.contains(&gold));
    let is_strict = is_right(final_answer(answer, is_chinese));
    let is_lenient = extract_answer(answer).is_some_and(is_right);
    Marks::of(is_strict && !answer.is_empty(), is_lenient, prediction(answer))
}

fn has_formula(gold: &str) -> bool {
    gold.chars().any(|c| c.is_ascii_alphanumeric())
}

/// The answer as the verifier takes one that has to keep its form: short and alone, or boxed or announced.
fn formal(answer: &str) -> String {
    let is_direct = answer.lines().count() == 1 && answer.len() <= MAX_DIRECT;
    match is_direct && last_boxed(answer).is_none() {
        true => answer.to_owned(),
        false => format!("<think></think>{answer}"),
    }
}

fn is_right(gold: &str, text: &str, how: &Comparing) -> bool {
    let same = verify(gold, text).equivalent;
    let words = || {
        let said = extract_answer(text.trim_start_matches("<think></think>")).unwrap_or("");
        plain(said) == plain(gold) && !plain(gold).is_empty()
    };
    same || (*how == Comparing::Words && words())
}

fn plain(text: &str) -> String {
    text.trim().trim_end_matches('.').to_lowercase()
}

/// Whether a known answer in words stands in the last line.
fn is_said(gold: &str, answer: &str) -> bool {
    let (gold, last) = (plain(gold), answer.lines().last().unwrap_or("").to_lowercase());
    let is_words = gold.chars().filter(|c| c.is_alphabetic()).count() > 2;
    let found = last.match_indices(&gold).any(|(start, found)| {
        let before = last[..start].chars().next_back();
        let behind = last[start + found.len()..].chars().next();
        ![before, behind].into_iter().flatten().any(char::is_alphanumeric)
    });
    is_words && found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(gold: &[&str], how: &Comparing, said: &str, expected: [i32; 2]) {
        let golds: Vec<String> = gold.iter().map(|&gold| gold.to_owned()).collect();
        let marks = marks(said, &golds, how);
        assert_eq!([marks.strict, marks.lenient], expected.map(f64::from), "{gold:?} {said:?}");
    }

    #[test]
    fn mathematics_in_its_form_and_out_of_it() {
        let how = &Comparing::Mathematics;
        check(&["204"], how, "So.\n\\boxed{204}", [1, 1]);
        check(&["204"], how, "So many steps.\nIt is 204", [0, 1]);
        check(&["204"], how, "204", [1, 1]);
        check(&[r"\frac{3}{2}"], how, "Answer: \\boxed{1.5}", [1, 1]);
        check(&["204"], how, "\\boxed{205}", [0, 0]);
        check(&["204"], how, "", [0, 0]);
        check(&["left"], &Comparing::Words, "Left.", [1, 1]);
        check(&["left"], &Comparing::Words, "I look.\nThe car turns left here", [0, 1]);
        check(&["left"], &Comparing::Words, "I look.\nThe car turns lefty", [0, 0]);
        check(&["a", "b"], &Comparing::Words, "b", [1, 1]);
    }

    #[test]
    fn several_answers_pair_in_any_order() {
        let within =
            |tolerance| Comparing::Several { tolerances: vec![tolerance], is_chinese: false };
        let how = &within(1e-8);
        check(&["1,2"], how, r"So the final answer is \boxed{2, 1}.", [1, 1]);
        check(&["1", "2"], how, r"\boxed{2, 1}", [1, 1]);
        check(&["1,2"], how, r"\boxed{1}", [0, 0]);
        check(&["0.5"], &within(0.1), r"\boxed{0.55}", [1, 1]);
        check(&["0.5"], &within(0.01), r"\boxed{0.55}", [0, 0]);
        check(&["7"], how, "", [0, 0]);
        check(&["能"], how, r"\boxed{不行}", [0, 0]);
        check(&["能"], how, r"\boxed{能}", [1, 1]);
    }
}
