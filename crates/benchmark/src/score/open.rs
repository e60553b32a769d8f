//! Mathematics and words.

use reward::{extract_answer, last_boxed, verify};

use super::choice::{Harness, can_infer};
use super::{Marks, share};
use crate::item::Comparing;
use crate::score::number::decimal;

/// Answers longer than this are not in one line.
const MAX_DIRECT: usize = 200;

/// Scores an open answer.
pub(super) fn marks(answer: &str, response: &str, golds: &[String], how: Comparing) -> Marks {
    let strict = formal(answer);
    let verdicts = |text: &str| golds.iter().any(|gold| is_right(gold, text, how));
    let several = |text: Option<&str>| text.is_some_and(|text| pairs(golds, text, how));
    let said = extract_answer(answer).map(|said| said.chars().take(MAX_DIRECT).collect());
    let marks = match how {
        Comparing::Several(_) => {
            Marks::of(several(last_boxed(answer)), several(extract_answer(answer)), said)
        }
        _ => {
            let is_lenient = verdicts(answer) || golds.iter().any(|gold| is_said(gold, answer));
            Marks::of(verdicts(&strict), is_lenient, said)
        }
    };
    match how {
        Comparing::Mmmu => {
            let options = [golds[0].clone(), "Other Answers".to_owned()];
            let infer = |text: &str, harness| share(can_infer(text, &options, harness) == Some(0));
            marks.harness(infer(answer, Harness::Upstream), infer(response, Harness::Fork))
        }
        _ => marks,
    }
}

/// The answer as the verifier takes one that has to keep its form: short and alone, or boxed or announced.
fn formal(answer: &str) -> String {
    let is_direct = answer.lines().count() == 1 && answer.len() <= MAX_DIRECT;
    match is_direct && last_boxed(answer).is_none() {
        true => answer.to_owned(),
        false => format!("<think></think>{answer}"),
    }
}

fn is_right(gold: &str, text: &str, how: Comparing) -> bool {
    let same = verify(gold, text).equivalent;
    let words = || {
        let said = extract_answer(text.trim_start_matches("<think></think>")).unwrap_or("");
        plain(said) == plain(gold) && !plain(gold).is_empty()
    };
    same || (how == Comparing::Words && words())
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

/// OlympiadBench: all answers, in any order, each within the tolerance or the same expression.
fn pairs(golds: &[String], said: &str, how: Comparing) -> bool {
    let Comparing::Several(decimals) = how else { return false };
    let tolerance = 10f64.powi(-i32::from(decimals)) * 1.01;
    let golds: Vec<String> = golds.iter().flat_map(|gold| elements(gold)).collect();
    let mut said = elements(said);
    let all = golds.iter().all(|gold| {
        let found = said.iter().position(|said| is_same(gold, said, tolerance));
        found.map(|at| said.swap_remove(at)).is_some()
    });
    all && said.is_empty() && !golds.is_empty()
}

fn is_same(gold: &str, said: &str, tolerance: f64) -> bool {
    let near = decimal(gold).zip(decimal(said)).is_some_and(|(gold, said)| {
        [gold / 100.0, gold, gold * 100.0].iter().any(|gold| (gold - said).abs() <= tolerance)
    });
    near || verify(&format!("${gold}$"), &format!("<think></think>\\boxed{{{said}}}")).equivalent
}

/// The answers that commas separate outside brackets, `±` as two of them.
fn elements(text: &str) -> Vec<String> {
    let (mut depth, mut start, mut found) = (0i32, 0, Vec::new());
    let text = text.replace(['$', '，'], "");
    for (place, c) in text.char_indices().chain([(text.len(), ',')]) {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth <= 0 || place == text.len() => {
                found.push(text[start..place].trim().to_owned());
                start = place + 1;
            }
            _ => {}
        }
    }
    let signs = |element: String| match element.contains("\\pm") {
        true => vec![element.replace("\\pm", ""), element.replace("\\pm", "-")],
        false => vec![element],
    };
    found.into_iter().filter(|element| !element.is_empty()).flat_map(signs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(gold: &[&str], how: Comparing, said: &str, expected: [i32; 2]) {
        let golds: Vec<String> = gold.iter().map(|&gold| gold.to_owned()).collect();
        let marks = marks(said, said, &golds, how);
        assert_eq!([marks.strict, marks.lenient], expected.map(f64::from), "{gold:?} {said:?}");
    }

    #[test]
    fn mathematics_in_its_form_and_out_of_it() {
        let how = Comparing::Mathematics;
        check(&["204"], how, "So.\n\\boxed{204}", [1, 1]);
        check(&["204"], how, "So many steps.\nIt is 204", [0, 1]);
        check(&["204"], how, "204", [1, 1]);
        check(&[r"\frac{3}{2}"], how, "Answer: \\boxed{1.5}", [1, 1]);
        check(&["204"], how, "\\boxed{205}", [0, 0]);
        check(&["204"], how, "", [0, 0]);
        check(&["left"], Comparing::Words, "Left.", [1, 1]);
        check(&["left"], Comparing::Words, "I look.\nThe car turns left here", [0, 1]);
        check(&["left"], Comparing::Words, "I look.\nThe car turns lefty", [0, 0]);
        check(&["a", "b"], Comparing::Words, "b", [1, 1]);
    }

    #[test]
    fn several_answers_pair_in_any_order() {
        let how = Comparing::Several(8);
        check(&["1,2"], how, r"So the final answer is \boxed{2, 1}.", [1, 1]);
        check(&["1", "2"], how, r"\boxed{2, 1}", [1, 1]);
        check(&[r"$\pm 3$"], how, r"\boxed{3, -3}", [1, 1]);
        check(&["1,2"], how, r"\boxed{1}", [0, 0]);
        check(&["1"], how, r"\boxed{1, 2}", [0, 0]);
        check(&["(1,2)"], how, r"\boxed{(1,2)}", [1, 1]);
        check(&["0.5"], Comparing::Several(1), r"\boxed{0.55}", [1, 1]);
        check(&["0.5"], Comparing::Several(2), r"\boxed{0.55}", [0, 0]);
        check(&["0.5"], how, r"\boxed{50}", [1, 1]);
    }

    #[test]
    fn vlmevalkit_makes_options_of_mmmus_open_questions() {
        let said = "The total comes to 24/7 as shown";
        let marks = marks(said, said, &["24/7".to_owned()], Comparing::Mmmu);
        assert_eq!((marks.vlmevalkit, marks.vlmevalkit_fork), (Some(1.0), Some(1.0)));
    }
}
