//! RealWorldQA (xAI): `xai-org/RealworldQA`, or VLMEvalKit's `RealWorldQA.tsv`.
//!
//! Prompt and score: open-compass/VLMEvalKit, `vlmeval/dataset/image_mcq.py` and `dataset/utils/multiple_choice.py`,
//! for its table, in which every question has options; the parquet files' own prompt, and no score of the kit, for
//! those, as EvolvingLMMs-Lab/lmms-eval asks them (`lmms_eval/tasks/realworldqa`).

use super::Draft;
use crate::item::{Comparing, Item};
use crate::prompt::{PAPER_CHOICE, PAPER_OPEN, Style};
use crate::table::Row;
use crate::task::{Figures, Hub, Reading, Task};

pub(super) const TASK: Task = Task {
    name: "realworldqa",
    title: "RealWorldQA",
    hubs: &[Hub { repo: "xai-org/RealworldQA", files: &["test-"] }],
    keep: &[],
    skip: &[],
    item,
    figures: Figures::Accuracy,
};

/// How questions of the parquet files end.
const ENDINGS: [&str; 2] = [
    "Please answer directly with a single word or number.",
    "Please answer directly with only the letter of the correct option and nothing else.",
];

fn item(row: &Row, reading: &mut Reading) -> Result<Option<Item>, String> {
    let mut draft = Draft::new(row, &["question"], &["index", "id"], &["category"])?.with_images(
        row,
        reading,
        &["image", "image_path"],
    )?;
    let (answer, options) = (row.text("answer")?, row.lettered());
    if !options.is_empty() {
        return draft.choice(reading.style, options, &answer);
    }
    let asked = draft.question.clone();
    let bare = ENDINGS.iter().fold(asked.clone(), |text, ending| text.replace(ending, ""));
    bare.trim().clone_into(&mut draft.question);
    let is_letter =
        answer.trim().len() == 1 && answer.trim().chars().all(|c| c.is_ascii_uppercase());
    let words = match (reading.style, is_letter) {
        (Style::Vlmevalkit, _) => asked,
        (Style::Paper, true) => format!("{}\n{PAPER_CHOICE}", draft.question),
        (Style::Paper, false) => format!("{}\n{PAPER_OPEN}", draft.question),
    };
    match is_letter {
        true => {
            let options = listed(&draft.question);
            let parts = crate::prompt::after(&draft.images, &words);
            let item = draft.chosen(parts, options, &answer)?;
            Ok(item.map(|item| Item { kit: None, ..item }))
        }
        false => draft.open(&words, vec![answer], Comparing::Words),
    }
}

/// The options in a question: lines that begin with `A.`, `B.`, …
fn listed(question: &str) -> Vec<String> {
    let mut options = Vec::new();
    for line in question.lines() {
        let start = format!("{}.", crate::prompt::letter(options.len()));
        if let Some(option) = line.trim().strip_prefix(&start) {
            options.push(option.trim().to_owned());
        }
    }
    options
}
