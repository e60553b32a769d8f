//! Which of several texts is nearest to one, as Python's `difflib.get_close_matches` has it.

use std::collections::HashMap;

/// A text of so many characters has popular ones, which do not begin a match.
const LONG: usize = 200;

/// The place of the text nearest to another: by the share of characters in common runs, then the greater text.
pub(super) fn closest(text: &str, texts: &[String]) -> Option<usize> {
    let known: Vec<char> = text.chars().collect();
    let index = index(&known);
    let ratio = |text: &String| {
        let said: Vec<char> = text.chars().collect();
        let num_same = num_same(&said, &known, &index);
        let length = said.len() + known.len();
        if length == 0 { 1.0 } else { 2.0 * num_same as f64 / length as f64 }
    };
    let rated = texts.iter().map(|text| (ratio(text), text));
    let best = rated.max_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(b.1)))?;
    texts.iter().position(|text| text == best.1)
}

/// Places of each character, popular ones aside.
fn index(text: &[char]) -> HashMap<char, Vec<usize>> {
    let mut places: HashMap<char, Vec<usize>> = HashMap::new();
    for (place, c) in text.iter().enumerate() {
        places.entry(*c).or_default().push(place);
    }
    if text.len() >= LONG {
        places.retain(|_, places| places.len() <= text.len() / 100 + 1);
    }
    places
}

/// The characters in common runs: the longest run, and those on both sides of it, one after the other.
fn num_same(said: &[char], known: &[char], index: &HashMap<char, Vec<usize>>) -> usize {
    let mut spans = vec![(0, said.len(), 0, known.len())];
    let mut num = 0;
    while let Some((a_start, a_end, b_start, b_end)) = spans.pop() {
        let (a, b, length) = longest((said, known), index, (a_start, a_end, b_start, b_end));
        if length > 0 {
            num += length;
            spans.push((a_start, a, b_start, b));
            spans.push((a + length, a_end, b + length, b_end));
        }
    }
    num
}

/// The first of the longest common runs within two spans: its places and its length.
fn longest(
    (said, known): (&[char], &[char]),
    index: &HashMap<char, Vec<usize>>,
    (a_start, a_end, b_start, b_end): (usize, usize, usize, usize),
) -> (usize, usize, usize) {
    let (mut a, mut b, mut length) = (a_start, b_start, 0);
    let mut ends: HashMap<usize, usize> = HashMap::new();
    for (i, c) in said.iter().enumerate().take(a_end).skip(a_start) {
        let mut here = HashMap::new();
        let places = index.get(c).map_or(&[][..], Vec::as_slice);
        for &j in places.iter().filter(|j| (b_start..b_end).contains(*j)) {
            let run =
                j.checked_sub(1).and_then(|before| ends.get(&before)).copied().unwrap_or(0) + 1;
            here.insert(j, run);
            if run > length {
                (a, b, length) = (i + 1 - run, j + 1 - run, run);
            }
        }
        ends = here;
    }
    // Popular characters lengthen a run that others began.
    while a > a_start && b > b_start && said[a - 1] == known[b - 1] {
        (a, b, length) = (a - 1, b - 1, length + 1);
    }
    while a + length < a_end && b + length < b_end && said[a + length] == known[b + length] {
        length += 1;
    }
    (a, b, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_by_hand() {
        let texts = ["the dog ran home", "a cat sat there", ""].map(str::to_owned);
        assert_eq!(closest("the dog runs home", &texts), Some(0));
        assert_eq!(closest("the cat sits there", &texts), Some(1));
        assert_eq!(closest("x", &[]), None);
    }
}
