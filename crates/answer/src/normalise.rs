//! A formula in one spelling: typesetting, separators and words made plain.

/// Takes typesetting away; units stay.
pub(crate) fn plain(formula: &str) -> String {
    rewritten(formula).trim().trim_end_matches(['.', ',']).trim_end().to_owned()
}

/// Words that become something else, where no letter touches them.
const WORDS: [(&str, &str); 11] = [
    ("and", ","),
    ("or", ","),
    ("infinity", "\\infty "),
    ("inf", "\\infty "),
    ("percentage", "\\%"),
    ("percent", "\\%"),
    ("pct", "\\%"),
    ("sqrt", "\\sqrt "),
    ("pi", "\\pi "),
    ("sin", "\\sin "),
    ("cos", "\\cos "),
];

/// Commands that say how text looks.
const FONTS: [&str; 8] =
    ["mathrm", "mathit", "mathbf", "textnormal", "textbf", "textit", "textrm", "text"];

fn rewritten(formula: &str) -> String {
    let mut out = String::with_capacity(formula.len());
    let has_rows = formula.contains("\\begin");
    let mut at = 0;
    while let Some(c) = formula[at..].chars().next() {
        let rest = &formula[at..];
        at += match c {
            '\\' => command(rest, has_rows, &mut out),
            '$' | '"' | '\'' => 1,
            '*' if rest.starts_with("**") && out.is_empty() => 2,
            '{' => separator(rest, &mut out),
            'a'..='z' | 'A'..='Z' => word(rest, &mut out),
            '\n' | '\t' | '\r' | '\0' => push(&mut out, ' ', 1),
            _ => push(&mut out, c, c.len_utf8()),
        };
    }
    out
}

fn push(out: &mut String, c: char, length: usize) -> usize {
    out.push(c);
    length
}

/// Writes what a command leaves, and returns its length.
fn command(rest: &str, has_rows: bool, out: &mut String) -> usize {
    let letters = letters(&rest[1..]);
    let name = &rest[1..1 + letters];
    if letters == 0 {
        return escaped(rest, has_rows, out);
    }
    let end = 1 + letters;
    if let "left" | "right" = name {
        // `\left.` is nothing, `\left(` a parenthesis
        return if rest[end..].starts_with('.') { end + 1 } else { end };
    }
    if let "ldots" | "dots" | "cdots" = name {
        if out.ends_with(',') {
            out.pop();
        }
        out.push(' ');
        return end;
    }
    if name == "displaystyle" {
        return end;
    }
    if !FONTS.contains(&name) {
        out.push_str(&rest[..end]);
        return end;
    }
    let Some((content, length)) = argument(&rest[end..]) else {
        out.push_str("\\text");
        return end;
    };
    match content.trim().trim_start_matches(',').trim() {
        "" | "th" => {}
        "and" | "or" => comma(out),
        "percent" | "percentage" | "pct" | "%" | "\\%" => out.push_str("\\%"),
        _ => {
            out.push_str("\\text{");
            out.push_str(content);
            out.push('}');
        }
    }
    end + length
}

/// A backslash before something that is not a letter.
fn escaped(rest: &str, has_rows: bool, out: &mut String) -> usize {
    let mut following = rest[1..].chars();
    match following.next() {
        Some('!' | '$') => 2,
        // a doubled backslash before a command is a slip, unless it ends a row
        Some('\\') if !has_rows && following.next().is_some_and(|c| c.is_ascii_alphabetic()) => 1,
        Some('\\') => {
            out.push_str("\\\\");
            2
        }
        Some(c @ (' ' | '\n')) => push(out, ' ', 1 + c.len_utf8()),
        Some(c) => {
            out.push('\\');
            push(out, c, 1 + c.len_utf8())
        }
        None => 1,
    }
}

/// `{,}` parts thousands; other braces stay.
fn separator(rest: &str, out: &mut String) -> usize {
    let inner = rest[1..].trim_start();
    let after = inner.strip_prefix(',').map(str::trim_start).and_then(|r| r.strip_prefix('}'));
    let Some(after) = after else { return push(out, '{', 1) };
    let length = rest.len() - after.len();
    let thousands = out.ends_with(|c: char| c.is_ascii_digit())
        && after.bytes().take_while(u8::is_ascii_digit).count() == 3;
    if !thousands {
        out.push(',');
    }
    length
}

/// A run of letters: one of [`WORDS`], or itself.
fn word(rest: &str, out: &mut String) -> usize {
    let length = letters(rest);
    let word = &rest[..length];
    let is_free = !out.ends_with(['_', '\\', '{']) || out.ends_with("\\{");
    let replacement = WORDS.iter().find(|(known, _)| *known == word).filter(|_| is_free);
    match replacement {
        Some((_, ",")) => comma(out),
        Some((_, text)) => {
            if *text == "\\%" {
                out.truncate(out.trim_end().len());
            }
            out.push_str(text);
        }
        None => out.push_str(word),
    }
    length
}

/// One comma, whatever stood there before.
fn comma(out: &mut String) {
    out.truncate(out.trim_end().trim_end_matches(',').len());
    out.push(',');
}

fn letters(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len())
}

/// The content of a group without groups in it, and the length up to its end.
fn argument(text: &str) -> Option<(&str, usize)> {
    let open = text.len() - text.trim_start().len();
    let content = text[open..].strip_prefix('{')?;
    let end = content.find('}')?;
    Some((&content[..end], open + 1 + end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::without_units;

    #[test]
    fn one_spelling() {
        for (formula, want) in [
            (r"\left( \frac{1}{3} \right)", r"( \frac{1}{3} )"),
            (r"14{,}916", "14916"),
            (r"1{,}2", "1,2"),
            (r"1 \text{ and } 2", "1, 2"),
            ("1, 2, and 3", "1, 2, 3"),
            ("28 percent", r"28\%"),
            (r"28 \text{ percent}", r"28 \%"),
            (r"\$16386.17", "16386.17"),
            (r"\\frac{1}{2}", r"\frac{1}{2}"),
            (r"\frac{1}{3} \textbf{meters}", r"\frac{1}{3}"),
            (r"125\textnormal{ miles}", "125"),
            (r"0.06 \text{ yuan}", "0.06"),
            (r"5 \text{cm}^2", "5"),
            (r"\text{13}", r"\text{13}"),
            (r"\text{Even}", r"\text{Even}"),
            ("35 cm", "35"),
            ("5 m", "5"),
            ("3 sqrt(2)", r"3 \sqrt (2)"),
            ("7.", "7"),
            ("a_{inf}", "a_{inf}"),
            ("(1, +inf)", r"(1, +\infty )"),
            ("é", "é"),
        ] {
            assert_eq!(without_units(&plain(formula)), want, "{formula}");
        }
    }
}
