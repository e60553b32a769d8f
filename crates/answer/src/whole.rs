//! Texts without delimiters that are one answer from their beginning to their end.

use crate::extract::numeral_at_start;
use crate::{Answer, Reading, normalise, parse, units, with_unit};

/// Longer texts are no single formula.
const MAX_WHOLE: usize = 512;

/// Words of a unit, at most: `meters per second squared`.
const MAX_UNIT_WORDS: usize = 4;

/// Words after a number that change it.
const MULTIPLES: [&str; 6] = ["hundred", "thousand", "million", "billion", "trillion", "dozen"];

/// Words before a number that do not.
const ABOUT: [&str; 8] = ["about", "approximately", "around", "roughly", "rs", "usd", "eur", "rmb"];

/// Reads a text that is one formula without delimiters: `\frac{\pi}{2}`, `x > 5`, `-1 and 1`, or a number
/// with symbols of its unit. What has other words in it is none; a date or a time is a text.
pub(crate) fn read(text: &str) -> Option<Answer> {
    let is_delimited =
        ["$", "\\(", "\\[", "\\boxed", "\\fbox"].iter().any(|sign| text.contains(sign));
    if text.len() > MAX_WHOLE || is_delimited {
        return None;
    }
    if is_date_or_time(text) {
        return Some(Answer { text: text.to_owned(), reading: None });
    }
    let plain = normalise::plain(text);
    if let Some(number) = units::quantity(text) {
        let Answer { text, reading } = crate::read(number, crate::Extraction::Bare)?;
        let reading = reading?;
        let other = reading.other.or_else(|| parse::parse(&plain));
        return Some(Answer { text, reading: Some(Reading { expr: reading.expr, other }) });
    }
    let spelling = units::without_units(&plain);
    // `x = 1,250` is one number without LaTeX
    let is_number = !text.contains(['(', '[', '{']) && has_thousands(text);
    if is_number || is_numeral(text) || has_words(&spelling) {
        return None;
    }
    let expr = parse::parse(&spelling)?;
    let other = with_unit(&plain, &spelling);
    Some(Answer { text: spelling, reading: Some(Reading { expr, other }) })
}

/// Whether a text is one answer from its beginning to its end: a formula, a number, or a number with its
/// name or its unit. `x = 3 or x = 5`, `12 apples` and `The area is 12` are; `July 4` and `2 hours 30 minutes`
/// are more than their last number.
pub fn is_whole(text: &str) -> bool {
    let text =
        text.trim().trim_start_matches(['#', '*', '=', ' ']).trim_end_matches(['*', '.', ' ']);
    let named = text.split_once('=').or_else(|| text.split_once(" is "));
    let value = match named {
        Some((name, value)) if !name.contains(|c: char| c.is_ascii_digit()) => value.trim(),
        _ => text,
    };
    match read(text) {
        Some(answer) => answer.is_mathematics(),
        None => is_numeral(text) || is_counted(value),
    }
}

/// Whether a text is nothing but one number or one piece of arithmetic.
fn is_numeral(text: &str) -> bool {
    numeral_at_start(text) == Some(text.len())
}

/// Whether a text is a number and the words for what it counts.
fn is_counted(text: &str) -> bool {
    let word = |text: &str| text.split([' ', '.']).next().unwrap_or("").to_lowercase();
    let first = word(text);
    let text = match ABOUT.contains(&first.as_str()) {
        true => text[first.len()..].trim_start_matches(['.', ' ']),
        false => text,
    };
    let Some(end) = numeral_at_start(text) else { return false };
    let rest = &text[end..];
    let is_parted = rest.is_empty() || rest.starts_with(char::is_whitespace);
    let is_ordinal = ["st", "nd", "rd", "th"].contains(&word(rest).as_str());
    let is_unit = units::without_units(text).len() <= end;
    let is_plain = |c: char| c.is_alphabetic() || c.is_whitespace() || "-./()'^²³°%".contains(c);
    let unit = rest.replace("^2", "²").replace("^3", "³");
    let words = || unit.split_whitespace().map(word);
    (is_parted || is_ordinal || is_unit)
        && unit.chars().all(is_plain)
        && words().count() <= MAX_UNIT_WORDS
        && !words().any(|word| MULTIPLES.contains(&word.trim_end_matches('s')))
}

/// `12:30`, `2020-01-02` and `1/2/2020`, which are no arithmetic.
fn is_date_or_time(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let hour = |text: &str| text.split(':').next().and_then(|hour| hour.parse::<u32>().ok());
    match shape.as_str() {
        "0:00" | "00:00" | "0:00:00" | "00:00:00" => {
            let mut rest = text.split(':').skip(1);
            hour(text).is_some_and(|hour| hour <= 24) && rest.all(|part| part < "60")
        }
        "0000-00-00" | "0000-0-0" | "0000-0-00" | "0000-00-0" => true,
        "0000/00/00" | "0/0/0000" | "0/00/0000" | "00/0/0000" | "00/00/0000" => true,
        _ => false,
    }
}

/// Whether a comma stands between a digit and three digits.
fn has_thousands(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.windows(5).any(|window| {
        window[0].is_ascii_digit()
            && window[1] == b','
            && window[2..].iter().all(u8::is_ascii_digit)
    })
}

/// Whether a text holds words that are neither commands nor in their groups.
fn has_words(text: &str) -> bool {
    let mut letters = 0;
    let mut in_command = false;
    let mut depth = 0u32;
    for c in text.chars() {
        match c {
            '\\' => in_command = true,
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if c.is_alphabetic() {
            letters += u32::from(!in_command && depth == 0);
        } else {
            letters = 0;
            in_command = c == '\\';
        }
        if letters > 1 {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_answers() {
        for text in [
            "7",
            "1,250",
            "$5",
            "€5.20",
            "28 %",
            "12 apples",
            "-3 degrees Celsius",
            "20 m/s",
            "about 5 km",
            "Rs. 50",
            "x = 5 cm",
            "Area = 12",
            "x = 3 or x = 5",
            "-1 and 1",
            "x > 5",
            r"\frac{1}{2}",
            "12 cm^2",
            "15cm",
            "2nd",
            r"\sqrt{3} meters",
            "The area is 12.",
            "2 pi",
            "#### 18",
            "**7**",
            "3 meters per second squared",
            "1:2",
            "9.8 m/s^2",
        ] {
            let shown = text.trim_start_matches('$');
            assert!(is_whole(shown), "{text}: {:?}", numeral_at_start(shown));
        }
        for text in [
            "July 4",
            "2 hours 30 minutes",
            "5 feet 6 inches",
            "7 out of 10",
            "5 million",
            "Figure 3",
            "3 to 5",
            "12:30",
            "2020-01-02",
            "1/2/2020",
            "Yes, 5",
            "red",
            "",
            "3 apples and 4 pears",
            "x = 3 in case 2",
        ] {
            assert!(!is_whole(text), "{text}");
        }
    }

    #[test]
    fn dates_and_times_are_texts() {
        for text in ["12:30", "9:05", "23:59:59", "2020-01-02", "1/2/2020"] {
            let answer = read(text).expect("a text");
            assert_eq!((answer.text.as_str(), answer.is_mathematics()), (text, false));
        }
        for text in ["1:2", "12:61", "25:30", "12-30", "2020-1"] {
            assert!(read(text).is_none_or(|answer| answer.is_mathematics()), "{text}");
        }
    }
}
