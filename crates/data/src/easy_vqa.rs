//! easy-VQA: questions about one coloured shape, with the data set's own split.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use schema::{Content, Message, Role, Sample};
use serde::{Deserialize, Serialize};
use serde_json::Map;

use crate::jsonl::write_lines;
use crate::{Error, Result};

/// Which questions to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Questions {
    /// All of them; three quarters are answered with yes or no.
    All,
    /// Those about the shape and its colour, which yes and no do not answer.
    Open,
}

/// What [`build`] wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EasyVqaFiles {
    /// The training samples.
    pub train: PathBuf,
    /// The held-out samples: the data set's test split.
    pub held_out: PathBuf,
    /// Training samples written.
    pub num_train: usize,
    /// Held-out samples written.
    pub num_held_out: usize,
}

/// Converts the data set in `source` (folders `train` and `test`, each with `questions.json` and `images/N.png`) into
/// `output`: `train.jsonl`, `held_out.jsonl` and copies of the pictures in `images/`.
///
/// The assistant turn thinks aloud what the picture shows, as far as the other questions about it tell, and boxes the
/// answer.
///
/// # Errors
///
/// When a file is missing, is not of that form, or cannot be written.
pub fn build(source: &Path, questions: Questions, output: &Path) -> Result<EasyVqaFiles> {
    let images = output.join("images");
    fs::create_dir_all(&images).map_err(Error::io(&images))?;
    let (train, held_out) = (output.join("train.jsonl"), output.join("held_out.jsonl"));
    let convert = |split: &str, name: &str, path: &Path| {
        let samples = samples(&source.join(split), questions, output, name)?;
        write_lines(path, &samples)?;
        Ok::<_, Error>(samples.len())
    };
    let num_train = convert("train", "train", &train)?;
    let num_held_out = convert("test", "held-out", &held_out)?;
    Ok(EasyVqaFiles { train, held_out, num_train, num_held_out })
}

/// One entry of `questions.json`: question, answer, number of the image.
type Entry = (String, String, u32);

fn samples(source: &Path, questions: Questions, output: &Path, name: &str) -> Result<Vec<Sample>> {
    let path = source.join("questions.json");
    let bytes = fs::read(&path).map_err(Error::io(&path))?;
    let entries: Vec<Entry> = serde_json::from_slice(&bytes)
        .map_err(|e| Error::Source { path, reason: e.to_string() })?;
    let shown = shown(&entries);
    let mut samples = Vec::new();
    for (i, (question, answer, image)) in entries.iter().enumerate() {
        if questions == Questions::Open && is_closed(answer) {
            continue;
        }
        let file = format!("images/{name}-{image:04}.png");
        let reply = match shown.get(image).and_then(Shown::sentence) {
            Some(thought) => format!("<think>\n{thought}\n</think>\n\n\\boxed{{{answer}}}"),
            None => format!("\\boxed{{{answer}}}"),
        };
        let turn = |role, text| Message { role, content: Content::Text(text) };
        samples.push(Sample {
            id: Some(format!("{name}-{i:05}")),
            messages: vec![
                turn(Role::User, format!("<image>\n{question}")),
                turn(Role::Assistant, reply),
            ],
            images: vec![file],
            answer: Some(answer.clone()),
            completion: None,
            extra: Map::new(),
        });
    }
    for image in shown.keys() {
        let from = source.join(format!("images/{image}.png"));
        let to = output.join(format!("images/{name}-{image:04}.png"));
        fs::copy(&from, &to).map_err(Error::io(&from))?;
    }
    Ok(samples)
}

/// What the questions about one image tell of it.
#[derive(Default)]
struct Shown<'a> {
    shape: Option<&'a str>,
    colour: Option<&'a str>,
}

impl Shown<'_> {
    fn sentence(&self) -> Option<String> {
        match (self.shape, self.colour) {
            (Some(shape), Some(colour)) => Some(format!("The image shows a {colour} {shape}.")),
            (Some(shape), None) => Some(format!("The image shows a {shape}.")),
            (None, Some(colour)) => Some(format!("The image shows a {colour} shape.")),
            (None, None) => None,
        }
    }
}

const SHAPES: [&str; 3] = ["circle", "rectangle", "triangle"];

fn shown(entries: &[Entry]) -> BTreeMap<u32, Shown<'_>> {
    let mut images: BTreeMap<u32, Shown<'_>> = BTreeMap::new();
    for (_, answer, image) in entries {
        let shown = images.entry(*image).or_default();
        if SHAPES.contains(&answer.as_str()) {
            shown.shape = Some(answer);
        } else if !is_closed(answer) {
            shown.colour = Some(answer);
        }
    }
    images
}

fn is_closed(answer: &str) -> bool {
    matches!(answer, "yes" | "no")
}
