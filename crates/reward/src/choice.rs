//! Letters of multiple choice.

/// Words that may follow the letter `A` where it is a choice and no article.
const AFTER_CHOICE: [&str; 8] = ["is", "was", "because", "since", "as", "and", "or", "by"];

/// What parts letters and words.
const SEPARATORS: &str = ".()[],:;!*#{}";

/// The letter of a gold answer that is a choice: `B`, `(B)`, or an option with its text, `B. 12`, `B) red`.
pub(crate) fn gold_choice(gold: &str) -> Option<char> {
    let (letter, text) = match alone(gold) {
        Some(letter) => return Some(letter),
        None => marked_choice(gold)?,
    };
    let mark = gold[..gold.len() - text.len()].chars().next_back();
    (mark != Some(':') && (mark == Some(')') || text.starts_with(' '))).then_some(letter)
}

/// The letters of a gold answer that is several choices: `ABD`, `A, B and D`.
pub(crate) fn choices(text: &str) -> Option<String> {
    let words = text
        .split(|c: char| c.is_whitespace() || c == '&' || c == '/' || SEPARATORS.contains(c))
        .filter(|word| !word.is_empty() && !matches!(*word, "and" | "or"));
    let words: Vec<&str> = words.collect();
    let mut letters: Vec<char> = match words.as_slice() {
        [word] => word.chars().collect(),
        words => words.iter().map(|word| alone(word)).collect::<Option<_>>()?,
    };
    let are_options =
        letters.len() > 1 && letters.iter().all(|letter| ('A'..='H').contains(letter));
    // a word of these letters in another order is a name
    let is_sorted = letters.is_sorted_by(|a, b| a < b);
    letters.sort_unstable();
    let are_distinct = letters.is_sorted_by(|a, b| a < b);
    (are_options && are_distinct && (is_sorted || words.len() > 1))
        .then(|| letters.into_iter().collect())
}

/// The letter that a prediction chooses: the one it begins with (`B.`, `(B) red`), or the only one in it.
/// A prediction that names several options chooses none.
pub(crate) fn choice(prediction: &str) -> Option<char> {
    if let Some((letter, _)) = marked_choice(prediction) {
        return Some(letter);
    }
    if marked(prediction).is_some() {
        return None;
    }
    let mut letters = letters(prediction);
    let first = letters.next().or_else(|| alone(&prediction.to_uppercase()))?;
    letters.all(|letter| letter == first).then_some(first)
}

/// The letter that a text begins with and marks as an option, `B.`, `B)`, `(B)` or `B:`, and what follows
/// its mark; `None` as well when another option is marked after it, or nothing but other letters stand
/// there.
pub fn marked_choice(text: &str) -> Option<(char, &str)> {
    let (letter, rest) = marked(text)?;
    let others = rest.char_indices().filter(|(at, c)| *c != letter && is_marked(rest, *at, *c));
    let words = || rest.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let is_letter = |word: &str| alone(word).is_some_and(|other| other != letter);
    let are_letters = words().any(is_letter)
        && words().all(|word| alone(word).is_some() || matches!(word, "and" | "or"));
    (others.count() == 0 && !are_letters).then_some((letter, rest))
}

/// A capital letter with its mark at the start of a text, and what follows.
fn marked(text: &str) -> Option<(char, &str)> {
    let mut characters = text.trim_start_matches(['(', ' ']).chars();
    let letter = characters.next().filter(char::is_ascii_uppercase)?;
    characters.next().filter(|mark| matches!(mark, ')' | '.' | ':'))?;
    Some((letter, characters.as_str()))
}

/// Whether a capital letter in a text stands alone and has a mark of an option after it.
fn is_marked(text: &str, at: usize, letter: char) -> bool {
    let before = text[..at].strip_suffix('(').unwrap_or(&text[..at]);
    let is_free = !before.ends_with(|c: char| c.is_alphanumeric() || "\\.".contains(c));
    let mut after = text[at + letter.len_utf8()..].chars();
    let is_followed = match after.next() {
        Some(')' | ':') => true,
        Some('.') => after.next().is_none_or(char::is_whitespace),
        _ => false,
    };
    letter.is_ascii_uppercase() && is_free && is_followed
}

/// The capital letters that stand alone in a text, articles, pronouns and names of values left out.
fn letters(text: &str) -> impl Iterator<Item = char> + '_ {
    let is_separator = |c: char| c.is_whitespace() || SEPARATORS.contains(c);
    let mut at = 0;
    text.split(is_separator).filter_map(move |word| {
        let rest = &text[at + word.len()..];
        at += word.len() + rest.chars().next().map_or(0, char::len_utf8);
        alone(word).filter(|letter| !is_word_or_name(*letter, rest))
    })
}

/// Whether a letter with this after it is the article, the pronoun, or the name of a value.
fn is_word_or_name(letter: char, rest: &str) -> bool {
    let is_name = rest.trim_start().starts_with('=');
    let next = rest.strip_prefix(' ').unwrap_or("");
    let length = next.find(|c: char| !c.is_alphabetic()).unwrap_or(next.len());
    let next = next[..length].to_lowercase();
    let is_word = next.len() > 1 && !AFTER_CHOICE.contains(&next.as_str());
    is_name || (matches!(letter, 'A' | 'I') && is_word)
}

/// The letter that is all of a text: `B`, `(B)`.
fn alone(text: &str) -> Option<char> {
    let mut letters = text.trim_matches(['(', ')', '.', ' ']).chars();
    letters.next().filter(|c| c.is_ascii_uppercase() && letters.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_prediction_chooses() {
        for (prediction, want) in [
            ("A", Some('A')),
            ("a", Some('A')),
            ("(A)", Some('A')),
            ("A. triangle", Some('A')),
            ("A) 5", Some('A')),
            ("(A) 5", Some('A')),
            ("A: 5", Some('A')),
            ("(B) A red car", Some('B')),
            ("B. A red car", Some('B')),
            ("B. A and C only", Some('B')),
            ("B. U.S. economy", Some('B')),
            ("A is right", Some('A')),
            ("A, since it is red", Some('A')),
            ("I think B", Some('B')),
            ("2. B", Some('B')),
            ("Option B", Some('B')),
            ("The answer is **B**", Some('B')),
            ("A, B, C, D", None),
            ("A. B", None),
            ("A. B. C. D.", None),
            ("(A)(B)", None),
            ("(A) and (B)", None),
            ("A: no; B: yes", None),
            ("A) yes B) no", None),
            ("A or B", None),
            ("A triangle", None),
            ("A = 5", None),
            ("A=5", None),
            ("Blue", None),
            ("", None),
            ("É", None),
        ] {
            assert_eq!(choice(prediction), want, "{prediction}");
        }
    }

    #[test]
    fn choices_of_a_gold_answer() {
        for (gold, one, several) in [
            ("B", Some('B'), None),
            ("(B)", Some('B'), None),
            ("B. 12", Some('B'), None),
            ("B) 12", Some('B'), None),
            ("(B) 12", Some('B'), None),
            ("B: 12", None, None),
            ("b", None, None),
            ("U.S.", None, None),
            ("(A)(B)", None, Some("AB")),
            ("ABD", None, Some("ABD")),
            ("A,B,D", None, Some("ABD")),
            ("D, A and B", None, Some("ABD")),
            ("CAB", None, None),
            ("AA", None, None),
            ("A triangle", None, None),
            ("PQ", None, None),
        ] {
            assert_eq!(gold_choice(gold), one, "{gold}");
            assert_eq!(choices(gold).as_deref(), several, "{gold}");
        }
    }
}
