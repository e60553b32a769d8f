//! Formulas between delimiters: `$…$`, `$$…$$`, `\(…\)`, `\[…\]`, ` [ … ] `, `\boxed{…}`.

use std::cell::Cell;

use super::Formula;
use crate::boxed::Boxes;

/// Formulas joined by "and", "or" and commas.
const MAX_JOINED: usize = 6;

/// Boxed formulas that are looked at, from the end of the text.
const MAX_BOXES: usize = 16;

/// Formulas that belong together.
pub(super) struct Group<'a> {
    pub(super) formulas: Vec<Formula<'a>>,
    /// Where the last ends in the text, space after it included.
    pub(super) end: usize,
}

/// The formulas of a text.
pub(super) struct Environments<'a> {
    text: &'a str,
    // where each closing delimiter was last found, so that none is looked for twice
    closings: [Cell<(usize, usize)>; 6],
}

/// Delimiters: opening, closing, whether the formula may go over lines.
const DELIMITERS: [(&str, &str, bool); 4] =
    [("$$", "$$", true), ("\\[", "\\]", true), ("$", "$", false), ("\\(", "\\)", false)];

/// Places of the other two things that are looked for, after those of the delimiters.
const NEW_LINE: usize = 4;
const BOX: usize = 5;

impl<'a> Environments<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, closings: Default::default() }
    }

    /// The next formulas that begin at or after a place, and where they do.
    pub(super) fn next_group(&self, from: usize) -> Option<(usize, Group<'a>)> {
        let bytes = self.text.as_bytes();
        let begins = |at: &usize| matches!(bytes[*at], b'$' | b'\\' | b'-' | b'[');
        (from..bytes.len()).filter(begins).find_map(|at| Some((at, self.group_at(at)?)))
    }

    /// The formulas that begin at a place.
    pub(super) fn group_at(&self, at: usize) -> Option<Group<'a>> {
        self.joined(at, |place| self.formula_at(place))
    }

    /// Formulas that hold a box, and boxes that stand free.
    pub(super) fn boxed(&self) -> Vec<(usize, Group<'a>)> {
        let mut found = Vec::new();
        let last = self.text.rfind('}').unwrap_or(0);
        let bare = self.text.find("\\boxed{").filter(|start| start + 7 < last);
        if let Some(start) = bare {
            let text = &self.text[start..=last];
            let formula = Formula { text, boxes: Boxes::Last, percent: false };
            found.push((start, Group { formulas: vec![formula], end: last + 1 }));
        }
        let Some(first) = self.starting_point() else { return found };
        let mut at = first;
        while let Some((start, group)) = self.next_boxed(at) {
            at = group.end;
            found.push((start, group));
        }
        found
    }

    /// Where the search for boxed formulas begins: some boxes before the end.
    fn starting_point(&self) -> Option<usize> {
        let boxes = self.text.rmatch_indices("\\boxed{").take(MAX_BOXES);
        let first = boxes.map(|(at, _)| at).last()?;
        let before = &self.text[..first];
        // the formula around it, over its line, or over as many as a display may take
        let line = before.rfind('\n').map_or(0, |at| at + 1);
        let display = before.rfind("$$").max(before.rfind("\\[")).unwrap_or(line);
        Some(line.min(display))
    }

    fn next_boxed(&self, from: usize) -> Option<(usize, Group<'a>)> {
        let bytes = self.text.as_bytes();
        let begins = |at: &usize| matches!(bytes[*at], b'$' | b'\\' | b'[');
        (from..bytes.len()).filter(begins).find_map(|at| {
            let boxed = |place| {
                let (formula, end) = self.formula_at(place)?;
                let boxed = self.next(BOX, "\\boxed{", place)?;
                let has_box = boxed < end && has_box(formula.text);
                has_box.then_some((formula, end))
            };
            Some((at, self.joined(at, boxed)?))
        })
    }

    /// A formula and those that "and", "or" or a comma join to it.
    fn joined(
        &self,
        at: usize,
        formula_at: impl Fn(usize) -> Option<(Formula<'a>, usize)>,
    ) -> Option<Group<'a>> {
        let (first, mut end) = formula_at(at)?;
        let mut formulas = vec![first];
        while formulas.len() < MAX_JOINED {
            let rest = &self.text[end..];
            let Some(next) = after_joint(rest).map(|after| self.text.len() - after.len()) else {
                break;
            };
            let Some((formula, next_end)) = formula_at(next) else { break };
            formulas.push(formula);
            end = next_end;
        }
        Some(Group { formulas, end })
    }

    /// One formula at a place, and where it ends with its percent sign.
    fn formula_at(&self, at: usize) -> Option<(Formula<'a>, usize)> {
        let (text, end) = self.delimited(at).or_else(|| self.free(at))?;
        let spaces = self.text[end..].len() - self.text[end..].trim_start().len();
        let rest = &self.text[end + spaces..];
        let signs = ["\\%", "%", "percentage", "Percentage", "percent", "Percent", "pct", "Pct"];
        let sign = signs.iter().find(|sign| rest.starts_with(**sign)).map_or(0, |sign| sign.len());
        let formula = Formula { text, boxes: Boxes::All, percent: sign > 0 };
        Some((formula, end + spaces + sign))
    }

    fn delimited(&self, at: usize) -> Option<(&'a str, usize)> {
        let rest = &self.text[at..];
        let before = self.text[..at].bytes().next_back();
        if before == Some(b'\\') {
            return None;
        }
        DELIMITERS.iter().enumerate().find_map(|(kind, (opening, closing, over_lines))| {
            rest.strip_prefix(opening)?;
            // `5$` is a price, not a formula
            if *opening == "$" && before.is_some_and(|byte| byte.is_ascii_digit()) {
                return None;
            }
            let start = at + opening.len();
            let end = self.closing(kind, closing, start)?;
            let line = self.next(NEW_LINE, "\n", start);
            let fits = *over_lines || line.is_none_or(|line| line > end);
            fits.then(|| (&self.text[start..end], end + closing.len()))
        })
    }

    /// Where the next closing delimiter stands that no backslash escapes.
    fn closing(&self, kind: usize, closing: &str, from: usize) -> Option<usize> {
        let (searched, known) = self.closings[kind].get();
        if known > 0 && searched <= from && from < known {
            return (known < self.text.len()).then_some(known);
        }
        let mut at = from;
        let found = loop {
            let Some(next) = self.text[at..].find(closing).map(|next| at + next) else {
                break self.text.len().max(1);
            };
            let escaped = next > from && self.text.as_bytes()[next - 1] == b'\\';
            if !escaped && next > from {
                break next;
            }
            at = next + 1;
        };
        self.closings[kind].set((from, found));
        (found < self.text.len()).then_some(found)
    }

    /// Where something next stands.
    fn next(&self, kind: usize, what: &str, from: usize) -> Option<usize> {
        let (searched, mut known) = self.closings[kind].get();
        if known == 0 || from < searched || known < from {
            known = self.text[from..].find(what).map_or(self.text.len().max(1), |at| from + at);
            self.closings[kind].set((from, known));
        }
        (known < self.text.len()).then_some(known)
    }

    /// ` [ 9 ] ` and `\frac{1}{2}` without delimiters.
    fn free(&self, at: usize) -> Option<(&'a str, usize)> {
        let rest = &self.text[at..];
        if rest.starts_with('[') && self.text[..at].ends_with(char::is_whitespace) {
            let end = rest[1..].find(['[', ']', '\n'])? + 1;
            let closed = rest[end..].starts_with(']') && end > 1;
            let after = rest[end..].chars().nth(1).is_some_and(char::is_whitespace);
            return (closed && after).then_some((&rest[1..end], at + end + 1));
        }
        let fraction = rest.strip_prefix('-').unwrap_or(rest).strip_prefix("\\frac")?;
        let after = numeric_group(numeric_group(fraction)?)?;
        let end = self.text.len() - after.len();
        Some((&self.text[at..end], end))
    }
}

/// What follows `{12.5}`.
fn numeric_group(text: &str) -> Option<&str> {
    const MAX_DIGITS: usize = 64;
    let content = text.strip_prefix('{')?;
    let sign = usize::from(content.starts_with('-'));
    let numeric = |byte: &u8| byte.is_ascii_digit() || *byte == b'.' || *byte == b',';
    let length = content.bytes().skip(sign).take(MAX_DIGITS).take_while(numeric).count();
    let number = &content[sign..sign + length];
    number.starts_with(|c: char| c.is_ascii_digit()).then_some(())?;
    content[sign + length..].strip_prefix('}')
}

/// What follows ", ", "and", "or" or ", and".
fn after_joint(text: &str) -> Option<&str> {
    let text = text.trim_start();
    let after_comma = text.strip_prefix(',');
    let word = after_comma.unwrap_or(text);
    let after_word = word.strip_prefix("and").or_else(|| word.strip_prefix("or"));
    let after_spaced = after_comma
        .map(str::trim_start)
        .and_then(|t| t.strip_prefix("and").or(t.strip_prefix("or")));
    after_word.or(after_spaced).or(after_comma).map(str::trim_start)
}

fn has_box(text: &str) -> bool {
    text.find("\\boxed{")
        .is_some_and(|at| text[at + 7..].find('}').is_some_and(|length| length > 0))
}
