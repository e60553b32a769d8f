//! MVBench (arXiv:2311.17005) over sampled frames: `OpenGVLab/MVBench`'s lists a task, or VLMEvalKit's `MVBench*.tsv`.
//!
//! Prompt and score: open-compass/VLMEvalKit, `vlmeval/dataset/mvbench.py` and `dataset/utils/mvbench.py`, after
//! OpenGVLab/Ask-Anything, `video_chat2/mvbench.ipynb`. The beginning of the answer ends the user's turn, as the kit
//! has it for models behind a server. Frames are those between the start and the end that an item gives.

use super::{Draft, place_of};
use crate::frames::Span;
use crate::item::{Item, picture, text};
use crate::prompt::{PAPER_CHOICE, Style, after, letter};
use crate::table::Row;
use crate::task::{Figures, Hub, Reading, Task};
use crate::vlmevalkit::Kit;

pub(super) const TASK: Task = Task {
    name: "mvbench",
    title: "MVBench",
    hubs: &[Hub { repo: "OpenGVLab/MVBench", files: &["json/"] }],
    keep: &["json/"],
    skip: &[],
    item,
    figures: Figures::Macro,
};

/// The benchmark's words before the frames.
const BEFORE: &str = "Carefully watch the video and pay attention to the cause and sequence of events, the detail and movement of objects, and the action and pose of persons. Based on your observations, select the best option that accurately addresses the question.\n";

/// The benchmark's words behind the question, and how it begins the answer.
const BEHIND: [&str; 2] = ["\nOnly give the best option.", "Best option:("];

fn item(row: &Row, reading: &mut Reading) -> Result<Option<Item>, String> {
    let mut draft = Draft::new(row, &["question"], &["index"], &["task_type", "data_type"])?;
    let stem = row.path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    if row.cell("index").is_none() {
        // Each file is one task.
        draft.subject = stem.unwrap_or_default();
        draft.id = format!("{}_{}", draft.subject, draft.id);
    }
    let video = row.text("video")?;
    let place = row.optional("prefix").map_or(video.clone(), |prefix| format!("{prefix}/{video}"));
    draft.images = reading.part(&row.path, &place, span(row))?;
    draft.cluster = Some(video);
    let options = row.list("candidates")?;
    let line = |(at, option): (usize, &String)| format!("({}) {option}\n", letter(at));
    let listed: String = options.iter().enumerate().map(line).collect();
    let asked = format!("Question: {}\nOptions:\n{listed}", draft.question);
    let asked = asked.trim_end();
    // The known answer is a text here, also where it looks like a letter or a number.
    let answer = row.text("answer")?;
    let place = options.iter().position(|option| *option == answer);
    let place = place.map_or_else(|| place_of(&answer, &options), Ok)?;
    draft.kit = Some(Kit::FirstWord { options: options.clone(), answer: place });
    let parts = match reading.style {
        Style::Paper => after(&draft.images, &format!("{asked}\n{PAPER_CHOICE}")),
        Style::Vlmevalkit => {
            let words = [text(asked), text(BEHIND[0]), text(BEHIND[1])];
            [text(BEFORE)]
                .into_iter()
                .chain(draft.images.iter().map(picture))
                .chain(words)
                .collect()
        }
    };
    draft.chosen(parts, options, &letter(place).to_string())
}

/// Frames of a second in the folders of the task on episodes, the only ones that are published.
const RATE: f64 = 3.0;

/// The part of the video that an item is about, if it gives one.
fn span(row: &Row) -> Option<Span> {
    if row.optional("bound").is_some_and(|bound| ["False", "false", "0"].contains(&bound.as_str()))
    {
        return None;
    }
    let seconds = |column: &str| row.optional(column)?.parse::<f64>().ok();
    let (start, end) = (seconds("start")?, seconds("end")?);
    let is_of_frames = row.optional("data_type").is_some_and(|kind| kind == "frame")
        || row.path.file_stem().is_some_and(|stem| stem == "episodic_reasoning");
    Some(Span { start, end, rate: is_of_frames.then_some(RATE) })
}
