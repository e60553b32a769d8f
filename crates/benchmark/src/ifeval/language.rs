//! The language of a response, and its capital letters.

use whatlang::{Lang, detect};

use super::{Needs, Verdict};

/// Languages by the codes that the benchmark has for them.
const LANGUAGES: [(&str, Lang); 23] = [
    ("en", Lang::Eng),
    ("es", Lang::Spa),
    ("pt", Lang::Por),
    ("ar", Lang::Ara),
    ("hi", Lang::Hin),
    ("fr", Lang::Fra),
    ("ru", Lang::Rus),
    ("de", Lang::Deu),
    ("ja", Lang::Jpn),
    ("it", Lang::Ita),
    ("bn", Lang::Ben),
    ("uk", Lang::Ukr),
    ("th", Lang::Tha),
    ("ur", Lang::Urd),
    ("ta", Lang::Tam),
    ("te", Lang::Tel),
    ("bg", Lang::Bul),
    ("ko", Lang::Kor),
    ("pl", Lang::Pol),
    ("he", Lang::Heb),
    ("fa", Lang::Pes),
    ("vi", Lang::Vie),
    ("ne", Lang::Nep),
];

/// More of them.
const MORE_LANGUAGES: [(&str, Lang); 6] = [
    ("kn", Lang::Kan),
    ("mr", Lang::Mar),
    ("gu", Lang::Guj),
    ("pa", Lang::Pan),
    ("ml", Lang::Mal),
    ("fi", Lang::Fin),
];

/// The commonest words of Swahili.
const SWAHILI: [&str; 14] = [
    "na", "ya", "wa", "kwa", "ni", "katika", "la", "za", "kuwa", "hii", "cha", "vya", "kama",
    "yake",
];

pub(super) fn follows(text: &str, kind: &str, needs: &Needs) -> Verdict {
    (kind == "response_language").then(|| is_in(text, needs.text("language")?))
}

fn is_in(text: &str, code: &str) -> Result<bool, String> {
    if code == "sw" {
        return Ok(is_swahili(text));
    }
    let known = LANGUAGES.iter().chain(&MORE_LANGUAGES).find(|(known, _)| *known == code);
    let (_, language) = known.ok_or_else(|| format!("language {code:?} cannot be told"))?;
    Ok(detect(text).is_none_or(|found| found.lang() == *language))
}

/// Whether a seventh of the words are among the commonest ones.
fn is_swahili(text: &str) -> bool {
    let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
    let num_common = words.iter().filter(|word| SWAHILI.contains(&word.as_str())).count();
    num_common * 7 >= words.len() && num_common > 0
}

pub(super) fn has_case(text: &str, kind: &str, needs: &Needs) -> Verdict {
    let is_english = || is_in(&text.to_lowercase(), "en");
    let has_letters = text.chars().any(char::is_alphabetic);
    Some(match kind {
        "english_capital" => is_english()
            .map(|english| english && has_letters && !text.chars().any(char::is_lowercase)),
        "english_lowercase" => is_english()
            .map(|english| english && has_letters && !text.chars().any(char::is_uppercase)),
        "capital_word_frequency" => capitals(text, needs),
        _ => return None,
    })
}

/// Words all of whose letters are capitals.
fn capitals(text: &str, needs: &Needs) -> Result<bool, String> {
    let is_capital = |word: &&str| {
        let has_letters = word.chars().any(char::is_alphabetic);
        has_letters && !word.chars().any(char::is_lowercase)
    };
    let words = text.split(|c: char| c.is_whitespace() || ",.;:!?()[]\"*".contains(c));
    let found = words.filter(is_capital).count();
    needs.compares("capital_relation", found, needs.count("capital_frequency")?)
}
