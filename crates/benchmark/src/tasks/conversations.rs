//! Handwritten digits, and any file of samples with `messages`, `images` and `answer`; asked as they stand.

use schema::{Content, Message, Part, Role, Sample};

use super::Draft;
use crate::item::{Comparing, Item, Scoring};
use crate::table::Row;
use crate::task::{Figures, Reading, Task};

pub(super) const TASK: Task = Task {
    name: "digits",
    title: "digits",
    hubs: &[],
    keep: &["held_out"],
    skip: &[],
    item,
    figures: Figures::Accuracy,
};

pub(super) fn item(row: &Row, reading: &mut Reading) -> Result<Option<Item>, String> {
    let sample: Sample =
        serde_json::from_value(row.object()).map_err(|error| format!("no sample: {error}"))?;
    let mut draft = Draft::new(row, &["messages"], &["id"], &["subject", "category"])?;
    if !sample.images.is_empty() {
        draft.images = reading.images.of(row, &["images"])?;
    }
    let (turns, said) = match sample.messages.split_last() {
        Some((last, turns)) if last.role == Role::Assistant => (turns, Some(text(last))),
        _ => (&sample.messages[..], None),
    };
    let gold = sample.answer.clone().or(said).ok_or("no `answer`, and no turn that holds one")?;
    let tags: usize = turns.iter().map(|turn| text(turn).matches("<image>").count()).sum();
    if tags != draft.images.len() && tags > 0 {
        return Err(format!("{tags} tags <image>, but {} images", draft.images.len()));
    }
    draft.question = turns.last().map(|turn| text(turn).replace("<image>", "")).unwrap_or_default();
    let images = draft.images.iter().map(|image| image.name.clone()).collect();
    let prompt = Sample { messages: turns.to_vec(), images, ..Sample::default() };
    let scoring = Scoring::Open { golds: vec![gold.clone()], how: Comparing::Mathematics };
    let item = draft.item(Vec::new(), gold, scoring)?;
    Ok(item.map(|item| Item { prompt, ..item }))
}

fn text(message: &Message) -> String {
    match &message.content {
        Content::Text(text) => text.clone(),
        Content::Parts(parts) => parts
            .iter()
            .filter_map(|part| match part {
                Part::Text { text } => Some(text.as_str()),
                Part::Image { .. } | Part::ImageUrl { .. } => None,
            })
            .collect(),
    }
}
