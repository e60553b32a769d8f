//! What stands in `\boxed{…}`.

/// Which boxes of a text count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Boxes {
    /// All of them, as a list.
    All,
    /// The last, with those before it that belong to the same answer.
    Last,
}

/// Boxes so near each other are one answer.
const NEAR: usize = 10;

/// Boxes so far apart are one answer when a comma, "and" or "or" is between them.
const JOINED: usize = 70;

/// More boxes than this are no answer.
const MAX_BOXES: usize = 32;

/// The contents of the boxes that count, commas between them; the text itself when it has no box.
pub(crate) fn unboxed(text: &str, which: Boxes) -> String {
    // contents with where their boxes begin and end, from right to left
    let mut found: Vec<(&str, usize, usize)> = Vec::new();
    let mut limit = text.len();
    while let Some((start, open)) = last_box(&text[..limit]) {
        let Some(content) = text[open..limit].strip_prefix('{') else {
            // `\boxed 7`
            if found.is_empty() && open < limit {
                return text[open..].to_owned();
            }
            break;
        };
        let Some(length) = matching(content) else {
            if found.is_empty() {
                return content.to_owned();
            }
            break;
        };
        let (content, end) = (content[..length].trim(), open + 1 + length + 1);
        if let Some((next, next_start, _)) = found.last()
            && which == Boxes::Last
            && !belongs(content, next, &text[end..*next_start])
        {
            break;
        }
        if found.len() == MAX_BOXES {
            break;
        }
        found.push((content, start, end));
        limit = start;
    }
    if found.is_empty() {
        return text.to_owned();
    }
    let mut contents: Vec<&str> = found.into_iter().rev().map(|(content, ..)| content).collect();
    contents.dedup();
    contents.join(",")
}

/// Where the last `\boxed` or `\fbox` begins, and where its argument does.
fn last_box(text: &str) -> Option<(usize, usize)> {
    let boxed = text.rfind("\\boxed").map(|start| (start, start + "\\boxed".len()));
    let framed = text.rfind("\\fbox").map(|start| (start, start + "\\fbox".len()));
    let (start, end) = boxed.max(framed)?;
    let rest = &text[end..];
    Some((start, end + rest.len() - rest.trim_start().len()))
}

/// The length of a group's content, up to the brace that closes it.
fn matching(content: &str) -> Option<usize> {
    let mut depth = 1usize;
    for (at, byte) in content.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// Whether a box is part of the same answer as the next one: "and" or "or" between them, or nothing but
/// separators and names, as in `x = \boxed{1}, y = \boxed{2}`. Other words begin something new.
fn belongs(content: &str, next: &str, between: &str) -> bool {
    let length = between.chars().count();
    let is_joint = |word: &&str| matches!(*word, "and" | "or");
    let is_word =
        |word: &&str| word.len() > 1 && !matches!(*word, "and" | "or" | "text" | "quad" | "qquad");
    let words = || between.split(|c: char| !c.is_alphanumeric());
    let joined = content != next && length < JOINED && between.contains([',', ';']);
    let near = (length < NEAR || joined) && !words().any(|word| is_word(&word));
    near || (content != next && length < JOINED && words().any(|word| is_joint(&word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_and_what_belongs_to_them() {
        for (text, all, last) in [
            (r"\boxed{7}", "7", "7"),
            (r"so \boxed{\frac{1}{2}}.", r"\frac{1}{2}", r"\frac{1}{2}"),
            (r"\boxed{1}, \boxed{2}", "1,2", "1,2"),
            (r"\boxed{1} and then, quite far away, \boxed{2}", "1,2", "1,2"),
            (r"\boxed{1} is what I thought at first; now it is \boxed{1}", "1", "1"),
            (r"\boxed{3} was wrong so here it comes \boxed{4}", "3,4", "4"),
            (r"\boxed{8} Wait, \boxed{7}", "8,7", "7"),
            (r"\boxed{8} no, \boxed{7}", "8,7", "7"),
            (r"$x=\boxed{8}$, $y = \boxed{7}$", "8,7", "8,7"),
            (r"\boxed{8}\text{ or }\boxed{7}", "8,7", "8,7"),
            (r"\fbox{5}", "5", "5"),
            (r"\boxed 7", "7", "7"),
            (r"\boxed{7", "7", "7"),
            ("7", "7", "7"),
            (r"\boxed{", "", ""),
            (r"\boxed{é}", "é", "é"),
        ] {
            assert_eq!(unboxed(text, Boxes::All), all, "{text}");
            assert_eq!(unboxed(text, Boxes::Last), last, "{text}");
        }
    }
}
