//! Short answers: within 5 % (ChartQA), by agreement with people (TextVQA).

use reward::{extract_answer, last_boxed};

use super::Marks;
use super::number::{last_number, stripped};
use crate::vlmevalkit;

/// ChartQA: a number within 5 % of the known one, or the same text (arXiv:2203.10244, section 5.1).
pub(super) fn relaxed(answer: &str, golds: &[String]) -> Marks {
    let is_right = |said: &str| golds.iter().any(|gold| vlmevalkit::relaxed(gold, said));
    let strict = last_boxed(answer).unwrap_or(answer).trim();
    let loose = extract_answer(answer).unwrap_or(answer).trim();
    let number = last_number(answer).unwrap_or_default();
    let is_lenient = is_right(loose) || is_right(&stripped(loose)) || is_right(&number);
    Marks::of(is_right(strict), is_lenient, said(strict))
}

/// TextVQA: the share of people who agree (arXiv:1505.00468).
pub(super) fn consensus(answer: &str, answers: &[String]) -> Marks {
    let of = |said: &str| vlmevalkit::agreement(said, answers);
    let strict = last_boxed(answer).unwrap_or(answer);
    let loose = extract_answer(answer).unwrap_or(answer);
    Marks::shares(of(strict), of(loose), said(strict))
}

fn said(text: &str) -> Option<String> {
    (!text.trim().is_empty()).then(|| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_percent_and_no_more() {
        let cases = [
            ("14", "14", [1, 1]),
            ("14", "14.7", [1, 1]),
            ("14", "14.71", [0, 0]),
            ("0.14", "14%", [1, 1]),
            ("14%", "14", [0, 0]),
            ("0", "0.01", [0, 0]),
            ("0", "0", [1, 1]),
            ("Yes", "yes", [1, 1]),
            ("1200", "1,200", [0, 1]),
            ("14", r"Answer: \boxed{14}", [1, 1]),
            ("14", "The value is 14.", [0, 1]),
            ("Blue", "", [0, 0]),
        ];
        for (gold, said, expected) in cases {
            let marks = relaxed(said, &[gold.to_owned()]);
            assert_eq!([marks.strict, marks.lenient], expected.map(f64::from), "{gold} {said}");
        }
    }

    #[test]
    fn agreement_in_a_box() {
        let people = vec!["dakota".to_owned(); 10];
        assert_eq!(consensus(r"So.\nAnswer: \boxed{Dakota}", &people).strict, 1.0);
        let spoken = consensus("It says dakota", &people);
        assert_eq!((spoken.strict, spoken.lenient), (0.0, 0.0));
    }
}
