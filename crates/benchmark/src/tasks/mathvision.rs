//! MATH-Vision (arXiv:2402.14804): `MathLLMs/MathVision`, or VLMEvalKit's `MathVision.tsv` and `MathVision_MINI.tsv`.
//!
//! Prompt and score: open-compass/VLMEvalKit, `vlmeval/dataset/image_vqa.py` (`MathVision`) and
//! `dataset/utils/mathv.py`. The kit's tables hold the whole prompt, in the form of its few-shot examples; for the
//! parquet files, which hold question and options alone, it is put together in that form.

use super::{Draft, place_of};
use crate::item::{Comparing, Item};
use crate::prompt::{PAPER_CHOICE, Style, after, choice, letter, open};
use crate::table::Row;
use crate::task::{Figures, Hub, Reading, Task};
use crate::vlmevalkit::{Compared, Kit};

pub(super) const TASK: Task = Task {
    name: "mathvision",
    title: "MATH-Vision",
    hubs: &[Hub { repo: "MathLLMs/MathVision", files: &["test-"] }],
    keep: &["test-"],
    skip: &["testmini"],
    item,
    figures: Figures::Accuracy,
};

const CHOICE: &str = "Hint: Please answer the question and provide the correct option letter, e.g., A, B, C, D, at the end.\nQuestion: ";

const OPEN: &str =
    "Hint: Please answer the question and provide the final answer at the end.\nQuestion: ";

fn item(row: &Row, reading: &mut Reading) -> Result<Option<Item>, String> {
    let mut draft = Draft::new(row, &["question"], &["id", "index"], &["subject", "category"])?
        .with_images(row, reading, &["decoded_image", "image", "image_path"])?;
    // There is one image, whatever its tags say.
    for number in 1..=9 {
        draft.question = draft.question.replace(&format!("<image{number}>"), "").trim().to_owned();
    }
    let answer = row.text("answer")?;
    let column = ["options", "choices"].into_iter().find(|column| row.cell(column).is_some());
    let options = column.map(|column| row.list(column)).transpose()?.unwrap_or_default();
    let asked = asked(&draft.question, &options);
    if options.is_empty() {
        let compared = Compared::Expression(answer.clone());
        draft.kit = Some(Kit::Extracted { asked: asked.clone(), compared });
        let words = match reading.style {
            Style::Paper => open(Style::Paper, bare(&draft.question), ""),
            Style::Vlmevalkit => asked,
        };
        return draft.open(&words, vec![answer], Comparing::Mathematics);
    }
    let right = place_of(&answer, &options)?;
    let compared = Compared::VisionOption { options: options.clone(), answer: right };
    draft.kit = Some(Kit::Extracted { asked: asked.clone(), compared });
    // Options that are letters stand in the image, and a table's question lists them already.
    let is_letter = |option: &String| matches!(option.trim().as_bytes(), [b'A'..=b'Z']);
    let are_letters = options.iter().all(is_letter);
    let question = bare(&draft.question);
    let words = match (reading.style, are_letters || question.contains("Choices:")) {
        (Style::Paper, false) => choice(Style::Paper, None, question, &options),
        (Style::Paper, true) => format!("{question}\n{PAPER_CHOICE}"),
        (Style::Vlmevalkit, _) => asked,
    };
    let parts = after(&draft.images, &words);
    draft.chosen(parts, options, &answer)
}

/// The question as VLMEvalKit's table words it.
fn asked(question: &str, options: &[String]) -> String {
    let line = |(at, option): (usize, &String)| format!("\n({}) {option}", letter(at));
    let listed: String = options.iter().enumerate().map(line).collect();
    match (question.starts_with("Hint:"), options.is_empty()) {
        (true, _) => question.to_owned(),
        (false, true) => format!("{OPEN}{question}"),
        (false, false) => format!("{CHOICE}{question}\nChoices:{listed}"),
    }
}

/// The question without a table's hint.
fn bare(question: &str) -> &str {
    let has_hint = question.starts_with("Hint:");
    let behind = question.split_once("Question:").filter(|_| has_hint);
    behind.map_or(question, |(_, question)| question.trim_start())
}
