//! What is left of an answer when its typesetting is taken away.

/// An answer without its typesetting: dollars, sizes, spacing, font commands, degree signs, exotic minus signs.
pub(crate) fn normalise(answer: &str) -> String {
    let mut out = String::with_capacity(answer.len());
    let mut rest = answer;
    // for each open brace, whether it belongs to a font command and is dropped
    let mut braces: Vec<bool> = vec![];
    while let Some(c) = rest.chars().next() {
        let mut length = c.len_utf8();
        match c {
            '\\' => length = command(rest, &mut out, &mut braces),
            '{' => {
                braces.push(false);
                out.push('{');
            }
            '}' if braces.pop() == Some(true) => {}
            '$' | '"' | '°' => {}
            '*' if rest.starts_with("**") => length = 2,
            '^' => length = degree(rest).unwrap_or_else(|| push(&mut out, c)),
            '−' | '–' | '—' | '‐' => out.push('-'),
            '~' | '\u{a0}' => out.push(' '),
            _ => out.push(c),
        }
        rest = &rest[length..];
    }
    out.replace("{,}", ",")
        .trim_matches([' ', '*', '\n'])
        .trim_end_matches('.')
        .trim_end()
        .to_owned()
}

/// Without spaces and case: what is left of a text to compare. Digits that a space parted stay parted.
pub(crate) fn letters(text: &str) -> String {
    let mut out = String::new();
    let mut parted = false;
    for c in text.trim_end_matches(['.', ',']).chars() {
        if c.is_whitespace() {
            parted = out.ends_with(|c: char| c.is_ascii_digit());
            continue;
        }
        if parted && c.is_ascii_digit() {
            out.push(' ');
        }
        parted = false;
        out.extend(c.to_lowercase());
    }
    out
}

fn push(out: &mut String, c: char) -> usize {
    out.push(c);
    c.len_utf8()
}

/// The length of a degree sign written as a power.
fn degree(rest: &str) -> Option<usize> {
    ["^{\\circ}", "^\\circ", "^°"]
        .iter()
        .find(|sign| rest.starts_with(**sign))
        .map(|sign| sign.len())
}

/// Writes what a command at the start of `rest` leaves behind, and returns its length.
fn command(rest: &str, out: &mut String, braces: &mut Vec<bool>) -> usize {
    let name_length = rest[1..].find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len() - 1);
    let name = &rest[1..1 + name_length];
    match name {
        "left" | "right" | "big" | "Big" | "bigl" | "bigr" | "displaystyle" => {}
        "frac" | "dfrac" | "tfrac" | "cfrac" => out.push_str("\\frac"),
        "quad" | "qquad" => out.push(' '),
        "text" | "textbf" | "textit" | "textnormal" | "mathrm" | "mathbf" | "mbox" | "boxed"
        | "operatorname" => {
            let spaces = rest[1 + name_length..].len() - rest[1 + name_length..].trim_start().len();
            if rest[1 + name_length + spaces..].starts_with('{') {
                braces.push(true);
                return 1 + name_length + spaces + 1;
            }
        }
        "" => return symbol(&rest[1..], out),
        _ => {
            out.push('\\');
            out.push_str(name);
        }
    }
    1 + name_length
}

/// A command of one character that is not a letter: spacing, delimiters, escapes.
fn symbol(rest: &str, out: &mut String) -> usize {
    let Some(c) = rest.chars().next() else { return 1 };
    match c {
        '(' | ')' | '[' | ']' | '!' | '$' => {}
        ',' | ';' | ':' | ' ' | '\\' => out.push(' '),
        '{' | '}' => {
            out.push('\\');
            out.push(c);
        }
        _ => out.push(c),
    }
    1 + c.len_utf8()
}
