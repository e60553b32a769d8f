//! AI2D (arXiv:1603.07396): `lmms-lab/ai2d`, or VLMEvalKit's `AI2D_TEST.tsv`.
//!
//! Prompt and score: open-compass/VLMEvalKit, `vlmeval/dataset/image_mcq.py` and `dataset/utils/multiple_choice.py`.

use super::Draft;
use crate::item::Item;
use crate::table::Row;
use crate::task::{Figures, Hub, Reading, Task};

pub(super) const TASK: Task = Task {
    name: "ai2d",
    title: "AI2D",
    hubs: &[Hub { repo: "lmms-lab/ai2d", files: &["test-"] }],
    keep: &[],
    skip: &["no_mask"],
    item,
    figures: Figures::Accuracy,
};

fn item(row: &Row, reading: &mut Reading) -> Result<Option<Item>, String> {
    let draft = Draft::new(row, &["question"], &["index", "question_id"], &["category"])?
        .with_images(row, reading, &["image", "image_path"])?;
    let options = match row.cell("options") {
        Some(_) => row.list("options")?,
        None => row.lettered(),
    };
    // `lmms-lab/ai2d` counts options from 0, whose texts may be digits too.
    let answer = row.text("answer")?;
    let answer = match (row.cell("options"), answer.parse::<usize>()) {
        (Some(_), Ok(place)) if place < options.len() => crate::prompt::letter(place).to_string(),
        _ => answer,
    };
    draft.choice(reading.style, options, &answer)
}
