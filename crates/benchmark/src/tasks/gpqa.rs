//! GPQA Diamond (arXiv:2311.12022): `Idavidrein/gpqa`, CSV; options in an order that the seed and the item decide.

use super::{Draft, shuffled};
use crate::item::Item;
use crate::prompt::{after, letter};
use crate::table::Row;
use crate::task::{Figures, Hub, Reading, Task};

pub(super) const TASK: Task = Task {
    name: "gpqa",
    title: "GPQA Diamond",
    hubs: &[Hub { repo: "Idavidrein/gpqa", files: &["gpqa_diamond.csv"] }],
    keep: &["diamond"],
    skip: &[],
    item,
    figures: Figures::Accuracy,
};

/// The words of simple-evals, which DeepSeek-R1's report takes over; both styles.
const INSTRUCTION: &str = "Answer the following multiple choice question. The last line of your response should be of the following format: 'Answer: $LETTER' (without quotes) where LETTER is one of ABCD. Think step by step before answering.";

const WRONG: [&str; 3] = ["Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3"];

fn item(row: &Row, reading: &mut Reading) -> Result<Option<Item>, String> {
    let mut draft = Draft::new(row, &["Question"], &["Record ID"], &["High-level domain"])?;
    draft.question = draft.question.trim().to_owned();
    let right = row.text("Correct Answer")?.trim().to_owned();
    let mut options = vec![right.clone()];
    for column in WRONG {
        options.push(row.text(column)?.trim().to_owned());
    }
    let options = shuffled(options, &draft.id, reading.seed);
    let place = options.iter().position(|option| *option == right).unwrap_or_default();
    let line = |(at, option): (usize, &String)| format!("{}) {option}\n", letter(at));
    let listed: String = options.iter().enumerate().map(line).collect();
    let words = format!("{INSTRUCTION}\n\n{}\n\n{}", draft.question, listed.trim_end());
    let parts = after(&[], &words);
    draft.chosen(parts, options, &letter(place).to_string())
}
