//! Yes or no.

use reward::last_boxed;

use super::Marks;

/// Scores yes or no.
pub(super) fn marks(answer: &str, yes: bool) -> Marks {
    let strict = first(last_boxed(answer).unwrap_or(answer));
    let only = only(answer);
    let lenient = strict.or(only).or_else(|| last(answer));
    let said = lenient.map(|said| if said { "Yes" } else { "No" }.to_owned());
    Marks::of(strict == Some(yes), lenient == Some(yes), said)
}

fn words(text: &str) -> impl DoubleEndedIterator<Item = String> + '_ {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase)
}

fn verdict(word: &str) -> Option<bool> {
    match word {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

/// The word that a text begins with.
fn first(text: &str) -> Option<bool> {
    words(text).find(|word| !["text", "answer"].contains(&word.as_str())).and_then(|w| verdict(&w))
}

/// The one of the two that occurs, where only one does.
fn only(text: &str) -> Option<bool> {
    let mut found = words(text).filter_map(|word| verdict(&word));
    let first = found.next()?;
    found.all(|other| other == first).then_some(first)
}

fn last(text: &str) -> Option<bool> {
    words(text).rev().find_map(|word| verdict(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_by_hand() {
        let cases = [
            ("Yes", [1, 1]),
            ("Yes, there is a car.", [1, 1]),
            (r"Answer: \boxed{\text{Yes}}", [1, 1]),
            ("There is a car, so yes", [0, 1]),
            ("Is it? No sign. Then: yes", [0, 1]),
            ("No", [0, 0]),
            ("I see nothing", [0, 0]),
            ("", [0, 0]),
        ];
        for (said, expected) in cases {
            let marks = marks(said, true);
            assert_eq!([marks.strict, marks.lenient], expected.map(f64::from), "{said}");
        }
    }
}
