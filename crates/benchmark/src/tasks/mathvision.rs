//! MATH-Vision (arXiv:2402.14804): `MathLLMs/MathVision`, or VLMEvalKit's `MathVision.tsv` and `MathVision_MINI.tsv`.

use super::Draft;
use crate::item::{Comparing, Item};
use crate::prompt::{Style, after, choice, open};
use crate::table::Row;
use crate::task::{Figures, Hub, Reading, Task};

pub(super) const TASK: Task = Task {
    name: "mathvision",
    title: "MATH-Vision",
    hubs: &[Hub { repo: "MathLLMs/MathVision", files: &["test-"] }],
    keep: &["test-"],
    skip: &["testmini"],
    item,
    figures: Figures::Accuracy,
};

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
    if options.is_empty() {
        let words = open(reading.style, &draft.question, "");
        return draft.open(&words, vec![answer], Comparing::Mathematics);
    }
    // Options that are letters stand in the image.
    let are_letters = options.iter().all(|option| option.trim().len() == 1);
    let words = match (reading.style, are_letters) {
        (Style::Paper, false) => choice(Style::Paper, None, &draft.question, &options),
        (Style::Paper, true) => format!("{}\n{}", draft.question, crate::prompt::PAPER_CHOICE),
        (Style::Vlmevalkit, _) => draft.question.clone(),
    };
    let parts = after(&draft.images, &words);
    draft.chosen(parts, options, &answer)
}
