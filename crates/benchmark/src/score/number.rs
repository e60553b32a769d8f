//! Numbers within a tolerance: ChartQA's 5 %, MathVista's rounding.

use reward::{extract_answer, last_boxed, verify};

use super::{Marks, share};

/// ChartQA: a number within 5 % of the known one, or the same text (arXiv:2203.10244, section 5.1).
pub(super) fn relaxed(answer: &str, golds: &[String]) -> Marks {
    let is_right = |said: &str| golds.iter().any(|gold| is_near(gold, said));
    let strict = last_boxed(answer).unwrap_or(answer).trim();
    let loose = extract_answer(answer).unwrap_or(answer).trim();
    let stripped = stripped(loose);
    let number = last_number(answer).unwrap_or_default();
    let is_lenient = is_right(loose) || is_right(&stripped) || is_right(&number);
    let said = if strict.is_empty() { None } else { Some(strict.to_owned()) };
    let marks = Marks::of(is_right(strict), is_lenient, said);
    let harness = share(is_right(answer));
    marks.harness(harness, harness)
}

/// Whether a number is within 5 % of the known one, or a text the same.
fn is_near(gold: &str, said: &str) -> bool {
    match (percent(gold), percent(said)) {
        (Some(gold), Some(said)) if gold != 0.0 => (said - gold).abs() / gold.abs() <= 0.05,
        _ => gold.to_lowercase() == said.to_lowercase(),
    }
}

fn percent(text: &str) -> Option<f64> {
    match text.strip_suffix('%') {
        Some(number) => Some(decimal(number)? / 100.0),
        None => decimal(text),
    }
}

/// A decimal number; Python's `float` takes spaces around it, and no words but these.
pub(crate) fn decimal(text: &str) -> Option<f64> {
    let number = text.trim().parse::<f64>().ok()?;
    number.is_finite().then_some(number)
}

/// Without currency, thousands separators and a full stop.
fn stripped(text: &str) -> String {
    text.replace([',', '$', '€', '£'], "").trim().trim_end_matches('.').to_owned()
}

/// The last number of a text.
pub(super) fn last_number(text: &str) -> Option<String> {
    let is_part = |c: char| c.is_ascii_digit() || ".,-%".contains(c);
    let mut words = text.split(|c: char| !is_part(c)).map(stripped);
    words.rfind(|word| percent(word).is_some())
}

/// MathVista: the number rounded to the item's precision equals the known one.
pub(super) fn rounded(answer: &str, gold: &str, decimals: u8) -> Marks {
    let is_right = |said: &str| {
        let (said, gold) = (decimal(&stripped(said)), decimal(gold));
        said.zip(gold).is_some_and(|(said, gold)| at(said, decimals) == at(gold, decimals))
    };
    let strict = match last_boxed(answer) {
        Some(boxed) => Some(boxed.to_owned()),
        None if answer.lines().count() == 1 => Some(answer.to_owned()),
        None => None,
    };
    let same = verify(gold, &format!("<think></think>{answer}"));
    let is_strict = same.equivalent || strict.as_deref().is_some_and(is_right);
    let number = last_number(answer);
    let is_lenient = verify(gold, answer).equivalent || number.as_deref().is_some_and(is_right);
    let marks = Marks::of(is_strict, is_lenient, strict.or(same.prediction).or(number));
    // VLMEvalKit converts the whole response, and asks a model where that fails.
    let harness = match decimals {
        0 => share(answer.parse::<i64>().is_ok_and(|said| gold.parse() == Ok(said))),
        _ => share(decimal(answer).is_some() && decimal(answer) == decimal(gold)),
    };
    marks.harness(harness, harness)
}

/// Rounded to so many decimals, as a whole number.
fn at(value: f64, decimals: u8) -> i64 {
    (value * 10f64.powi(decimals.into())).round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_percent_and_no_more() {
        let cases = [
            ("14", "14", [1, 1, 1]),
            ("14", "14.7", [1, 1, 1]),
            ("14", "14.71", [0, 0, 0]),
            ("0.14", "14%", [1, 1, 1]),
            ("14%", "14", [0, 0, 0]),
            ("0", "0.01", [0, 0, 0]),
            ("0", "0", [1, 1, 1]),
            ("Yes", "yes", [1, 1, 1]),
            ("1200", "1,200", [0, 1, 0]),
            ("14", r"Answer: \boxed{14}", [1, 1, 0]),
            ("14", "The value is 14.", [0, 1, 0]),
            ("Blue", "", [0, 0, 0]),
        ];
        for (gold, said, expected) in cases {
            let marks = relaxed(said, &[gold.to_owned()]);
            let found = [marks.strict, marks.lenient, marks.vlmevalkit.unwrap()];
            assert_eq!(found, expected.map(f64::from), "{gold} {said}");
        }
    }

    #[test]
    fn mathvista_rounds() {
        let cases = [
            ("0.6", 1, r"\boxed{0.62}", [1, 1, 0]),
            ("0.6", 1, r"\boxed{0.66}", [0, 0, 0]),
            ("1.45", 2, "1.45", [1, 1, 1]),
            ("14", 0, "14", [1, 1, 1]),
            ("14", 0, "The number missing in the sequence\nis 14.", [0, 1, 0]),
            ("14", 0, r"\boxed{\frac{28}{2}}", [1, 1, 0]),
            ("14", 0, "none", [0, 0, 0]),
        ];
        for (gold, decimals, said, expected) in cases {
            let marks = rounded(said, gold, decimals);
            let found = [marks.strict, marks.lenient, marks.vlmevalkit.unwrap()];
            assert_eq!(found, expected.map(f64::from), "{gold} {said}");
        }
    }
}
