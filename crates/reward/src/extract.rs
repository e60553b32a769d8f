//! Where in a response the answer stands.

/// Phrases that announce an answer, in lower case.
const ANNOUNCEMENTS: [&str; 3] = ["answer is", "answer:", "answer"];

/// Only the end of a response is searched for an announced answer.
const ANNOUNCEMENT_WINDOW: usize = 4096;

/// What follows the last `</think>`; the whole response when it holds no thought, and `None` when
/// a thought was opened and never closed.
pub fn after_thought(response: &str) -> Option<&str> {
    match response.rfind("</think>") {
        Some(end) => Some(&response[end + "</think>".len()..]),
        None if response.contains("<think>") => None,
        None => Some(response),
    }
}

/// The content of the last `\boxed{…}`, braces matched; `None` when it is not closed or there is none.
///
/// Escaped braces (`\{`) are text and do not count.
pub fn last_boxed(text: &str) -> Option<&str> {
    let command = text.rfind("\\boxed")? + "\\boxed".len();
    let content = text[command..].trim_start().strip_prefix('{')?;
    let mut depth = 1usize;
    let mut escaped = false;
    for (at, byte) in content.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(&content[..at]);
        }
    }
    None
}

/// The answer in a text without thoughts: the last `\boxed{…}`, else what follows the last "answer is" or
/// "Answer:", else the whole text. `None` when nothing is left.
pub fn extract_answer(text: &str) -> Option<&str> {
    let answer = last_boxed(text).or_else(|| announced(text)).unwrap_or(text).trim();
    (!answer.is_empty()).then_some(answer)
}

/// What follows the last announcement, up to the end of its line or sentence.
fn announced(text: &str) -> Option<&str> {
    let window = &text[text.ceil_char_boundary(text.len().saturating_sub(ANNOUNCEMENT_WINDOW))..];
    // ASCII only, so that positions stay those of the original
    let lower = window.to_ascii_lowercase();
    ANNOUNCEMENTS.iter().find_map(|announcement| {
        let start = lower.rfind(announcement)? + announcement.len();
        let line = window[start..].lines().find(|line| line.contains(char::is_alphanumeric))?;
        let sentence = line.split_once(". ").map_or(line, |(sentence, _)| sentence);
        // "Final answer: the area is 12"
        let answer = sentence.rsplit_once(" is ").map_or(sentence, |(_, answer)| answer);
        Some(
            answer
                .trim_start_matches([':', '*', ' ', '\t'])
                .trim_end_matches(['.', '*', ' ', '\t', '\r']),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thoughts_are_cut_off() {
        for (response, want) in [
            ("<think>\n3+4\n</think>\n\n7", Some("\n\n7")),
            ("3+4\n</think>7", Some("7")),
            ("<think>a</think>b<think>c</think>d", Some("d")),
            ("<think>\n3+4 = \\boxed{7}", None),
            ("7", Some("7")),
            ("", Some("")),
        ] {
            assert_eq!(after_thought(response), want, "{response:?}");
        }
    }

    #[test]
    fn the_last_box_counts_and_braces_match() {
        for (text, want) in [
            (r"\boxed{7}", Some("7")),
            (r"\boxed{3} no, \boxed{4}.", Some("4")),
            (r"\boxed{\frac{1}{2}} and {", Some(r"\frac{1}{2}")),
            (r"\boxed{\{1, 2\}}", Some(r"\{1, 2\}")),
            (r"\boxed{\left\{ 1 \right.}", Some(r"\left\{ 1 \right.")),
            (r"\boxed{a \\}", Some(r"a \\")),
            (r"\boxed {7}", Some("7")),
            (r"\boxed{}", Some("")),
            (r"\boxed{3} then \boxed{4", None),
            (r"\boxed", None),
            (r"\boxed 7", None),
            ("boxed{7}", None),
            (r"\boxed{käse}", Some("käse")),
        ] {
            assert_eq!(last_boxed(text), want, "{text:?}");
        }
    }

    #[test]
    fn announced_answers_are_found() {
        for (text, want) in [
            ("So the answer is 7.", Some("7")),
            (
                "The answer is 3. Wait. The final answer is 12 cm. I hope it is right.",
                Some("12 cm"),
            ),
            ("**Answer:** B", Some("B")),
            ("Answer: $\\frac{1}{2}$", Some("$\\frac{1}{2}$")),
            ("ANSWER\n 9\nbecause", Some("9")),
            ("the answer is **7**.", Some("7")),
            ("The answer is 3.5", Some("3.5")),
            ("answer is \\boxed{4}", Some("4")),
            ("İ answer: 7", Some("7")),
            ("  42 \n", Some("42")),
            ("Answer $$\n 9 \n$$", Some("9")),
            ("Final answer: The area is 12.", Some("12")),
            ("answer:", Some("answer:")),
            ("  ", None),
        ] {
            assert_eq!(extract_answer(text), want, "{text:?}");
        }
    }
}
