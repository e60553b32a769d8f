//! Yes, no, and the signs that are taken out before words are compared (`smp/misc.py`, `dataset/utils/yorn.py`).

/// `process_punctuation`: signs are taken out where they touch a space, or anywhere where a comma stands between
/// digits, and become a space elsewhere; a full stop goes unless it touches a digit.
pub(super) fn without_signs(text: &str) -> String {
    const SIGNS: &str = ";/[]\"{}()=+\\_-><@`,?!";
    let characters: Vec<char> = text.chars().collect();
    let is_number = |window: &[char]| {
        window[1] == ',' && window[0].is_ascii_digit() && window[2].is_ascii_digit()
    };
    let has_comma = characters.windows(3).any(is_number);
    let mut plain = text.to_owned();
    for sign in SIGNS.chars() {
        let beside = text.contains(&format!("{sign} ")) || text.contains(&format!(" {sign}"));
        plain = plain.replace(sign, if beside || has_comma { "" } else { " " });
    }
    without_stops(&plain)
}

/// The kit hands `re.UNICODE` over as the number of stops to take out, which is 32.
fn without_stops(text: &str) -> String {
    const MAX_STOPS: usize = 32;
    let characters: Vec<char> = text.chars().collect();
    let is_digit = |place: Option<usize>| {
        place.and_then(|place| characters.get(place)).is_some_and(char::is_ascii_digit)
    };
    let (mut kept, mut num_stops) = (String::new(), 0);
    for (place, c) in characters.iter().enumerate() {
        let is_stop = *c == '.' && !is_digit(place.checked_sub(1)) && !is_digit(Some(place + 1));
        if is_stop && num_stops < MAX_STOPS {
            num_stops += 1;
        } else {
            kept.push(*c);
        }
    }
    kept
}

/// `YOrN_Extraction`: the one of the two that is said, if only one is.
pub(super) fn yes_or_no(text: &str) -> Option<bool> {
    let plain = without_signs(&text.to_lowercase());
    let says = |word: &str| plain.split_whitespace().any(|said| said == word);
    match (says("yes"), says("no")) {
        (true, false) => Some(true),
        (false, true) => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_by_hand() {
        let cases = [
            ("yes.", "yes"),
            ("3.5 m.", "3.5 m"),
            ("in 2.", "in 2."),
            ("a/b", "a b"),
            ("a/b c/ d", "ab c d"),
            ("1,000-2", "10002"),
        ];
        for (text, expected) in cases {
            assert_eq!(without_signs(text).trim(), expected, "{text}");
        }
        assert_eq!(without_signs(&"a. ".repeat(40)).matches('.').count(), 8);
    }

    #[test]
    fn yes_and_no_by_hand() {
        assert_eq!(yes_or_no("Yes, there is."), Some(true));
        assert_eq!(yes_or_no("No!"), Some(false));
        assert_eq!(yes_or_no("yes or no"), None);
        // Asterisks are no signs, and a comma without a space joins.
        assert_eq!(yes_or_no("**Yes**"), None);
        assert_eq!(yes_or_no("Yes,it is, so"), None);
    }
}
