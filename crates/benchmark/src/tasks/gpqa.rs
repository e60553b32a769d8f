//! GPQA Diamond (arXiv:2311.12022): `Idavidrein/gpqa`, CSV; options in an order that the seed and the item decide.
//!
//! Prompt and score: openai/simple-evals, `common.py` (`QUERY_TEMPLATE_MULTICHOICE`, `ANSWER_PATTERN_MULTICHOICE`) and
//! `gpqa_eval.py`, which takes the first "Answer: X" where the strict rule here takes the last.

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
    let draft = Draft::new(row, &["Question"], &["Record ID"], &["High-level domain"])?;
    let right = row.text("Correct Answer")?;
    let mut options = vec![right.clone()];
    for column in WRONG {
        options.push(row.text(column)?);
    }
    let options = shuffled(options, &draft.id, reading.seed);
    let place = options.iter().position(|option| *option == right).unwrap_or_default();
    let line = |(at, option): (usize, &String)| format!("{}) {option}\n", letter(at));
    let listed: String = options.iter().enumerate().map(line).collect();
    let listed = listed.strip_suffix('\n').unwrap_or_default();
    let words = format!("{INSTRUCTION}\n\n{}\n\n{listed}", draft.question);
    let parts = after(&[], &words);
    draft.chosen(parts, options, &letter(place).to_string())
}
