//! Just enough of Rust's grammar to tell where a function begins and ends.

/// A function in a source text.
#[derive(Debug, PartialEq)]
pub(super) struct Function<'a> {
    /// Its name.
    pub(super) name: &'a str,
    /// The line of its `fn`, from one.
    pub(super) line: usize,
    /// From there to the closing brace.
    pub(super) num_lines: usize,
}

/// The text before its tests.
pub(super) fn production(text: &str) -> &str {
    text.find("#[cfg(test)]\nmod ").map_or(text, |at| &text[..at])
}

/// All functions with a body.
pub(super) fn functions(text: &str) -> Vec<Function<'_>> {
    let blank = blanked(text);
    let line_of = |at: usize| blank[..at].iter().filter(|&&byte| byte == b'\n').count() + 1;
    let mut found = vec![];
    for (at, _) in text.match_indices("fn ") {
        let preceded = at > 0 && (blank[at - 1].is_ascii_alphanumeric() || blank[at - 1] == b'_');
        let name =
            text[at + 3..].split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or("");
        if preceded || name.is_empty() || !blank[at..].starts_with(b"fn ") {
            continue;
        }
        if let Some(end) = body_end(&blank, at) {
            let (first, last) = (line_of(at), line_of(end));
            found.push(Function { name, line: first, num_lines: last - first + 1 });
        }
    }
    found
}

/// Where the body closes that the function at `at` opens; `None` when it has none.
fn body_end(blank: &[u8], at: usize) -> Option<usize> {
    let (mut parentheses, mut braces) = (0usize, 0usize);
    for (offset, byte) in blank[at..].iter().enumerate() {
        match byte {
            b'(' | b'[' => parentheses += 1,
            b')' | b']' => parentheses = parentheses.saturating_sub(1),
            b';' if parentheses == 0 && braces == 0 => return None,
            b'{' => braces += 1,
            b'}' if braces == 1 => return Some(at + offset),
            b'}' => braces = braces.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// The text with comments, strings and characters blanked out, byte for byte; line ends stay.
fn blanked(text: &str) -> Vec<u8> {
    let mut out = text.as_bytes().to_vec();
    let mut at = 0;
    while at < out.len() {
        let length = opaque(&text.as_bytes()[at..], at > 0 && is_word(out[at - 1]));
        for byte in &mut out[at..at + length] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at += length.max(1);
    }
    out
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The length of the comment, string or character that begins here, or zero.
fn opaque(rest: &[u8], after_word: bool) -> usize {
    let until = |start: usize, end: &[u8]| {
        let found = rest[start..].windows(end.len()).position(|window| window == end);
        found.map_or(rest.len(), |at| start + at + end.len())
    };
    match rest {
        [b'/', b'/', ..] => until(2, b"\n") - usize::from(rest.contains(&b'\n')),
        [b'/', b'*', ..] => until(2, b"*/"),
        [b'r', b'"' | b'#', ..] if !after_word => raw_string(rest, until),
        [b'"', ..] => quoted(rest),
        // a character, not a lifetime: it closes after one character or an escape
        [b'\'', b'\\', ..] => until(3, b"'"),
        [b'\'', _, b'\'', ..] => 3,
        [b'\'', first, ..] if *first >= 0x80 => until(1, b"'"),
        _ => 0,
    }
}

fn raw_string(rest: &[u8], until: impl Fn(usize, &[u8]) -> usize) -> usize {
    let hashes = rest[1..].iter().take_while(|&&byte| byte == b'#').count();
    match rest.get(1 + hashes) {
        Some(b'"') => until(2 + hashes, &[&b"\""[..], &b"#".repeat(hashes)].concat()),
        _ => 0,
    }
}

fn quoted(rest: &[u8]) -> usize {
    let mut escaped = false;
    for (at, byte) in rest.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(text: &str) -> Vec<(&str, usize, usize)> {
        functions(text).iter().map(|f| (f.name, f.line, f.num_lines)).collect()
    }

    #[test]
    fn functions_are_measured() {
        let text = "trait T {\n    fn no_body(&self) -> [u8; 2];\n}\n\nfn one() {}\npub fn two(\n    x: u8,\n) {\n    f(|| { x })\n}\n";
        assert_eq!(lengths(text), [("one", 5, 1), ("two", 6, 5)]);
    }

    #[test]
    fn braces_in_texts_do_not_count() {
        for body in [
            "\"}\\\"}\"",
            "r#\"}\"}\"#",
            "'}'",
            "'\\''",
            "b'{'",
            "// }",
            "/* } */",
            "'{', 'é', x::<'a>(\"{\")",
        ] {
            let text = format!("fn f<'a>() {{\n{body}\n}}\nfn g() {{}}\n");
            assert_eq!(lengths(&text), [("f", 1, 3), ("g", 4, 1)], "{body}");
        }
    }

    #[test]
    fn words_that_end_in_fn_are_not_functions() {
        assert_eq!(lengths("// fn a() {}\nlet x = \"fn b() {}\";\nlet my_fn = 1;\n"), []);
    }

    #[test]
    fn tests_are_cut_off() {
        assert_eq!(production("fn a() {}\n#[cfg(test)]\nmod tests {}\n"), "fn a() {}\n");
    }
}
