//! What the words of a question tell without a judge: patterns of text and image taken together, and of the text alone.

use std::sync::LazyLock;

use judge::Score;
use regex::Regex;

fn compiled(pattern: &str) -> Regex {
    Regex::new(&format!("(?i){pattern}")).expect("the pattern is a constant")
}

/// Words that place things beside each other.
const SPATIAL: &str = r"\b(left|right|above|below|between|behind|beside|beneath|under|over|inside|outside|near(est)?|next to|in front of|on top of|relative to|adjacent|opposite)\b";

/// Terms of the sciences that questions of benchmarks come from.
const DOMAIN: &str = r"\b(angles?|triangles?|circles?|radius|diameter|tangent|parallel|perpendicular|area|perimeter|volume|slope|function|graph|axis|axes|vector|matrix|derivative|integral|probability|velocity|acceleration|force|mass|momentum|energy|current|voltage|resistance|circuit|magnetic|electric|wavelength|frequency|refraction|lens|pressure|temperature|molecules?|atoms?|ions?|reaction|oxidation|acid|base|solution|concentration|cells?|membrane|protein|enzyme|gene|chromosome|species|population|ecosystem|supply|demand|equilibrium|price|gdp|revenue|latitude|longitude|strata|circuitry|algorithm|node|tree)\b";

static WHY_HOW: LazyLock<Regex> = LazyLock::new(|| {
    compiled(r"\b(why|how come|how (does|do|did|is|are|can|could|would|will|should))\b")
});
static PLACED: LazyLock<Regex> = LazyLock::new(|| compiled(SPATIAL));
static THINGS: LazyLock<Regex> =
    LazyLock::new(|| compiled(r"\b(the|a|an|each|both|two|three|four) [a-z]+"));
static TERMS: LazyLock<Regex> = LazyLock::new(|| compiled(DOMAIN));
static WHAT_THE: LazyLock<Regex> =
    LazyLock::new(|| compiled(r"^\W*(what|where|which|who)('s| is| are| was| were)? the\b"));
static IDENTIFY: LazyLock<Regex> = LazyLock::new(|| {
    compiled(
        r"\b((what|which) (colou?r|object|animal|kind|type|number|letter|digit|shape|word|brand)|identify|name the|how many)\b",
    )
});
static SHOWN: LazyLock<Regex> = LazyLock::new(|| {
    compiled(
        r"\b(image|picture|photo(graph)?|figure|diagram|drawing|chart|graph|plot|map|table|shown|shows|depicted|above|below|this|these|here|see|seen|visible)\b",
    )
});
static HOPS: LazyLock<Regex> = LazyLock::new(|| {
    compiled(
        r"\b(and then|then|after|before|if|given|suppose|than|total|sum|difference|altogether|each|both|first|second|finally|therefore|compare|respectively|ratio|average|per)\b",
    )
});
static NUMBERS: LazyLock<Regex> = LazyLock::new(|| compiled(r"\d+(\.\d+)?|\\frac|\\sqrt|\$"));

/// How much image and text have to be read together, by the patterns that R1V's VTIA module names: up for why and how,
/// for several objects in relation, for terms of a field that occur together; down for what and where with a definite
/// article, for direct identification, for a question that does not point at the image. The rest is 3.
pub(crate) fn integration(question: &str) -> Score {
    let text = question.replace("<image>", " ");
    let terms = distinct(&TERMS, &text);
    let high = [
        WHY_HOW.is_match(&text),
        PLACED.is_match(&text) && THINGS.find_iter(&text).count() >= 2,
        terms >= 2,
    ];
    let low = [WHAT_THE.is_match(&text), IDENTIFY.is_match(&text), !points_at_image(&text)];
    let count = |found: [bool; 3]| found.into_iter().filter(|&found| found).count() as i64;
    Score::clamped(3 + count(high) - count(low))
}

/// Whether the words point at something that is shown.
pub(crate) fn points_at_image(question: &str) -> bool {
    SHOWN.is_match(question)
}

/// Whether it reads as a question: some words, an end, few of them twice.
pub(crate) fn quality(question: &str) -> Score {
    let text = question.replace("<image>", " ");
    let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
    let has_letters = text.chars().any(char::is_alphabetic);
    let is_ended = text.trim_end().ends_with(['?', '.', ':', '!', ')', '}', '$', '？', '。']);
    let repetition = reward::repetition_rate(&words, 2);
    let lost = 2 * i64::from(words.len() < 3)
        + i64::from(!is_ended)
        + i64::from(repetition > 0.2)
        + 3 * i64::from(!has_letters);
    Score::clamped(5 - lost)
}

/// Knowledge of a field: its terms, numbers, and a long statement.
pub(crate) fn difficulty(question: &str) -> Score {
    let terms = distinct(&TERMS, question).min(2) as i64;
    let numbers = i64::from(NUMBERS.find_iter(question).count() >= 2);
    Score::clamped(1 + terms + numbers + i64::from(question.split_whitespace().count() > 40))
}

/// Steps on the way to the answer: words that chain, compare or add up.
pub(crate) fn demand(question: &str) -> Score {
    let why = i64::from(WHY_HOW.is_match(question));
    Score::clamped(1 + why + HOPS.find_iter(question).count() as i64)
}

/// How many different words a pattern finds.
fn distinct(pattern: &Regex, text: &str) -> usize {
    let found = pattern.find_iter(text).map(|found| found.as_str().to_lowercase());
    found.collect::<std::collections::HashSet<_>>().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integration_rises_and_falls_with_the_patterns() {
        for (question, want) in [
            ("<image>\nWhat is the color of the car?", 1.0),
            ("<image>\nWhat is the number in this picture?", 2.0),
            ("<image>\nDescribe this scene.", 3.0),
            ("<image>\nWhy is the ladder in this picture leaning?", 4.0),
            (
                "<image>\nHow does the ball to the left of the ramp in the figure gain velocity and energy?",
                5.0,
            ),
            ("", 2.0),
        ] {
            assert_eq!(integration(question).value(), want, "{question}");
        }
    }

    #[test]
    fn words_of_a_question_are_graded() {
        assert_eq!(quality("<image>\nWhat is shown in this picture?").value(), 5.0);
        assert_eq!(quality("<image>").value(), 1.0);
        assert_eq!(quality("what what what what what").value(), 3.0);
        assert_eq!(difficulty("What is it?").value(), 1.0);
        assert_eq!(
            difficulty("Find the radius of the circle with area 9 and slope 2.").value(),
            4.0
        );
        assert_eq!(demand("What is it?").value(), 1.0);
        assert_eq!(
            demand("If each has 2, what is the total, and then the difference?").value(),
            5.0
        );
    }
}
