//! The words of prompts: those of the papers, and those of VLMEvalKit.

use schema::Part;
use serde::{Deserialize, Serialize};

use crate::image::Image;
use crate::item::{picture, text};

/// Whose words are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Style {
    /// Those of Skywork R1V, section 3; those of DeepSeek-R1 where there is no image.
    #[default]
    Paper,
    /// The default of VLMEvalKit, or of a benchmark's own code where VLMEvalKit has none.
    Vlmevalkit,
}

/// Skywork R1V, section 3, after a question with options.
pub const PAPER_CHOICE: &str = "Answer the multiple choice preceding question. The last line of your response should follow this format: 'Answer: \\boxed{$LETTER}' (without quotes), where LETTER is one of the options. If you are uncertain or the problem is too complex, make a reasoned guess based on the information provided. Avoid repeating steps indefinitely—provide your best guess even if unsure. Think step by step logically, considering all relevant information before answering.";

/// Skywork R1V, section 3, after any other question.
pub const PAPER_OPEN: &str = "Answer the preceding question. The last line of your response should follow this format: 'Answer: \\boxed{$FINAL_ANSWER}' (without quotes), where FINAL_ANSWER is your conclusion. If you are uncertain or the problem is too complex, make a reasoned guess based on the information provided. Avoid repeating steps indefinitely—provide your best guess even if unsure. Think step by step logically, considering all relevant information before answering.";

/// DeepSeek-R1's guideline for mathematics without images.
pub const R1_MATHEMATICS: &str =
    "Please reason step by step, and put your final answer within \\boxed{}.";

/// The letter of an option.
pub(crate) fn letter(place: usize) -> char {
    char::from(b'A' + u8::try_from(place).unwrap_or(25).min(25))
}

/// Options a line each.
pub(crate) fn listed(options: &[String]) -> String {
    let line = |(place, option): (usize, &String)| format!("{}. {option}\n", letter(place));
    options.iter().enumerate().map(line).collect()
}

/// A question with options.
pub(crate) fn choice(
    style: Style,
    hint: Option<&str>,
    question: &str,
    options: &[String],
) -> String {
    let options = listed(options);
    match style {
        Style::Paper => {
            let hint = hint.map(|hint| format!("{hint}\n")).unwrap_or_default();
            format!("{hint}{question}\n{options}{PAPER_CHOICE}")
        }
        Style::Vlmevalkit => {
            let hint = hint.map(|hint| format!("Hint: {hint}\n")).unwrap_or_default();
            format!(
                "{hint}Question: {question}\nOptions:\n{options}\
                 Please select the correct answer from the options above. \n"
            )
        }
    }
}

/// A question without options; VLMEvalKit adds nothing of its own, or a benchmark's `ending`.
pub(crate) fn open(style: Style, question: &str, ending: &str) -> String {
    match style {
        Style::Paper => format!("{question}\n{PAPER_OPEN}"),
        Style::Vlmevalkit => format!("{question}{ending}"),
    }
}

/// Images and then the text.
pub(crate) fn after(images: &[Image], words: &str) -> Vec<Part> {
    images.iter().map(picture).chain([text(words)]).collect()
}

/// The text with each image at its tag `<image n>`; where there is no tag at all, images come first.
///
/// # Errors
/// A tag without an image, or an image without a tag.
pub(crate) fn interleave(images: &[Image], words: &str) -> Result<Vec<Part>, String> {
    let (mut parts, mut used, mut rest) = (Vec::new(), vec![false; images.len()], words);
    while let Some((before, number, behind)) = next_tag(rest) {
        let image = number.checked_sub(1).and_then(|at| images.get(at));
        let image =
            image.ok_or_else(|| format!("tag <image {number}>, but {} images", images.len()))?;
        used[number - 1] = true;
        if !before.is_empty() {
            parts.push(text(before));
        }
        parts.push(picture(image));
        rest = behind;
    }
    if parts.is_empty() {
        return Ok(after(images, words));
    }
    if let Some(place) = used.iter().position(|used| !used) {
        return Err(format!("{} images, but no tag <image {}>", images.len(), place + 1));
    }
    if !rest.is_empty() {
        parts.push(text(rest));
    }
    Ok(parts)
}

/// What stands before the next `<image n>`, n, and what stands behind it.
fn next_tag(words: &str) -> Option<(&str, usize, &str)> {
    const START: &str = "<image ";
    let mut from = 0;
    loop {
        let start = from + words[from..].find(START)?;
        let inside = &words[start + START.len()..];
        let end = inside.find('>')?;
        if let Ok(number) = inside[..end].parse() {
            return Some((&words[..start], number, &inside[end + 1..]));
        }
        from = start + START.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(num: usize) -> Vec<Image> {
        let image = |i| Image { name: format!("{i}.png"), sha256: String::new() };
        (1..=num).map(image).collect()
    }

    fn shown(num: usize, words: &str) -> Result<String, String> {
        let part = |part: &Part| match part {
            Part::Text { text } => text.clone(),
            Part::Image { image } => format!("[{}]", image.as_deref().unwrap_or("")),
            Part::ImageUrl { .. } => String::new(),
        };
        Ok(interleave(&images(num), words)?.iter().map(part).collect())
    }

    #[test]
    fn images_stand_at_their_tags() {
        let cases = [
            (2, "a <image 1> b <image 2>", "a [1.png] b [2.png]"),
            (1, "<image 1> and <image 1>", "[1.png] and [1.png]"),
            (2, "no tag", "[1.png][2.png]no tag"),
            (1, "<image x> <image 1>", "<image x> [1.png]"),
        ];
        for (num, words, expected) in cases {
            assert_eq!(shown(num, words).unwrap(), expected);
        }
        assert_eq!(shown(1, "<image 2>").unwrap_err(), "tag <image 2>, but 1 images");
        assert_eq!(shown(2, "<image 1>").unwrap_err(), "2 images, but no tag <image 2>");
        assert!(shown(1, "<image 0>").is_err());
    }

    #[test]
    fn words_of_both_styles() {
        let options = ["red".to_owned(), "blue".to_owned()];
        assert_eq!(
            choice(Style::Vlmevalkit, Some("look"), "Which?", &options),
            "Hint: look\nQuestion: Which?\nOptions:\nA. red\nB. blue\n\
             Please select the correct answer from the options above. \n"
        );
        let paper = choice(Style::Paper, None, "Which?", &options);
        assert!(paper.starts_with("Which?\nA. red\nB. blue\nAnswer the multiple choice preceding"));
        assert_eq!(open(Style::Vlmevalkit, "Why?", "!"), "Why?!");
        assert!(
            open(Style::Paper, "Why?", "!").starts_with("Why?\nAnswer the preceding question.")
        );
    }
}
