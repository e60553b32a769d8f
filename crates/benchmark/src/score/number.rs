//! Numbers, rounded (MathVista).

use reward::{last_boxed, verify};

use super::Marks;

/// A decimal number; Python's `float` takes spaces around it, and no words but these.
fn decimal(text: &str) -> Option<f64> {
    let number = text.trim().parse::<f64>().ok()?;
    number.is_finite().then_some(number)
}

/// Without currency, thousands separators and a full stop.
pub(super) fn stripped(text: &str) -> String {
    text.replace([',', '$', '€', '£'], "").trim().trim_end_matches('.').to_owned()
}

/// The last number of a text.
pub(super) fn last_number(text: &str) -> Option<String> {
    let is_part = |c: char| c.is_ascii_digit() || ".,-%".contains(c);
    let mut words = text.split(|c: char| !is_part(c)).map(stripped);
    words.rfind(|word| decimal(word.trim_end_matches('%')).is_some())
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
    Marks::of(is_strict, is_lenient, strict.or(same.prediction).or(number))
}

/// Rounded to so many decimals, as a whole number.
fn at(value: f64, decimals: u8) -> i64 {
    (value * 10f64.powi(decimals.into())).round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mathvista_rounds() {
        let cases = [
            ("0.6", 1, r"\boxed{0.62}", [1, 1]),
            ("0.6", 1, r"\boxed{0.66}", [0, 0]),
            ("1.45", 2, "1.45", [1, 1]),
            ("14", 0, "14", [1, 1]),
            ("14", 0, "The number missing in the sequence\nis 14.", [0, 1]),
            ("14", 0, r"\boxed{\frac{28}{2}}", [1, 1]),
            ("14", 0, "none", [0, 0]),
        ];
        for (gold, decimals, said, expected) in cases {
            let marks = rounded(said, gold, decimals);
            assert_eq!([marks.strict, marks.lenient], expected.map(f64::from), "{gold} {said}");
        }
    }
}
