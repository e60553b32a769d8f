//! The benchmarks, and what their rows have in common.

mod ai2d;
mod aime;
mod bfcl;
mod chartqa;
mod conversations;
mod easy_vqa;
mod gpqa;
mod hallusionbench;
mod ifeval;
mod livebench;
mod livecodebench;
mod math_500;
mod mathverse;
mod mathvision;
mod mathvista;
mod mmbench_video;
mod mmmu;
mod mmmu_pro;
mod mvbench;
mod olympiadbench;
mod pope;
mod realworldqa;
mod rewardbench;
mod textvqa;
mod video_mme;
mod vl_rewardbench;

pub use vl_rewardbench::category as vl_rewardbench_category;

use std::collections::BTreeMap;

use schema::Part;

use crate::Error;
use crate::image::{Image, sha256};
use crate::item::{Comparing, Item, Scoring, user};
use crate::prompt::{self, Style, letter};
use crate::table::Row;
use crate::task::{Reading, Task};
use crate::vlmevalkit::Kit;

/// All benchmarks.
pub const TASKS: [&Task; 27] = [
    &mmmu::TASK,
    &mmmu_pro::TASK,
    &mathvista::TASK,
    &mathvision::TASK,
    &olympiadbench::TASK,
    &mathverse::TASK,
    &aime::TASK,
    &math_500::TASK,
    &gpqa::TASK,
    &ifeval::TASK,
    &livebench::TASK,
    &bfcl::TASK,
    &livecodebench::TASK,
    &ai2d::TASK,
    &chartqa::TASK,
    &textvqa::TASK,
    &realworldqa::TASK,
    &hallusionbench::TASK,
    &pope::TASK,
    &vl_rewardbench::TASK,
    &rewardbench::TASK,
    &easy_vqa::TASK,
    &conversations::TASK,
    &video_mme::TASK,
    &mvbench::TASK,
    &mmbench_video::TASK,
    &aime::TASK_2025,
];

/// The benchmarks of a list of names.
///
/// # Errors
/// Names the first that there is not.
pub fn find_tasks(names: &str) -> Result<Vec<&'static Task>, Error> {
    let one = |name: &str| {
        let name = name.to_lowercase().replace('-', "_");
        TASKS.into_iter().find(|task| task.name == name).ok_or_else(|| Error::UnknownTask {
            name,
            known: TASKS.map(|task| task.name).join(", "),
        })
    };
    names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(one).collect()
}

/// An item in the making.
struct Draft {
    id: String,
    subject: String,
    question: String,
    images: Vec<Image>,
    cluster: Option<String>,
    kit: Option<Kit>,
    labels: BTreeMap<&'static str, String>,
}

impl Draft {
    /// From the columns that hold the question, its name and its group.
    fn new(row: &Row, question: &[&str], id: &[&str], subject: &[&str]) -> Result<Self, String> {
        Ok(Self {
            id: row.any(id).unwrap_or_else(|_| number_of(row)),
            subject: row.any(subject).unwrap_or_default(),
            question: row.any(question)?,
            images: Vec::new(),
            cluster: None,
            kit: None,
            labels: BTreeMap::new(),
        })
    }

    /// With the images of the first of these columns that has any; there must be one.
    fn with_images(
        mut self,
        row: &Row,
        reading: &mut Reading,
        columns: &[&str],
    ) -> Result<Self, String> {
        self.images = reading.images.of(row, columns)?;
        match self.images.is_empty() {
            true => Err(format!("no image in the columns `{}`", columns.join("`, `"))),
            false => Ok(self),
        }
    }

    /// A choice under the usual words.
    fn choice(
        self,
        style: Style,
        options: Vec<String>,
        answer: &str,
    ) -> Result<Option<Item>, String> {
        let words = prompt::choice(style, None, &self.question, &options);
        let parts = prompt::after(&self.images, &words);
        self.chosen(parts, options, answer)
    }

    /// A choice under words of its own; VLMEvalKit's way with it is the usual one if none is set.
    fn chosen(
        mut self,
        parts: Vec<Part>,
        options: Vec<String>,
        answer: &str,
    ) -> Result<Option<Item>, String> {
        let right = place_of(answer, &options)?;
        let gold = format!("{}. {}", letter(right), options[right]);
        self.kit.get_or_insert_with(|| Kit::Choice { options: options.clone(), answer: right });
        self.item(parts, gold, Scoring::Choice { options, answer: right })
    }

    /// An open question under words of its own.
    fn open(self, words: &str, golds: Vec<String>, how: Comparing) -> Result<Option<Item>, String> {
        let parts = prompt::after(&self.images, words);
        self.item(parts, golds.join(" or "), Scoring::Open { golds, how })
    }

    /// The item.
    fn item(
        self,
        parts: Vec<Part>,
        gold: String,
        scoring: Scoring,
    ) -> Result<Option<Item>, String> {
        let shared = self.images.iter().map(|image| image.sha256.as_str()).collect::<Vec<_>>();
        let shared = if shared.is_empty() { self.id.clone() } else { shared.join("+") };
        Ok(Some(Item {
            cluster: self.cluster.unwrap_or(shared),
            id: self.id,
            place: String::new(),
            subject: self.subject,
            prompt: user(parts),
            images: self.images,
            question: self.question,
            gold,
            scoring,
            kit: self.kit,
            labels: self.labels,
        }))
    }
}

/// The number of a row in its file, for benchmarks that name nothing.
fn number_of(row: &Row) -> String {
    row.place.rsplit(':').next().unwrap_or_default().to_owned()
}

/// The place of the right option, given by its letter, its text or its number.
fn place_of(answer: &str, options: &[String]) -> Result<usize, String> {
    let answer = answer.trim();
    let by_letter = match answer.trim_matches(['(', ')', '.']).as_bytes() {
        [letter @ b'A'..=b'Z'] => Some(usize::from(letter - b'A')),
        _ => None,
    };
    let by_text = || options.iter().position(|option| option.trim() == answer);
    let place = by_letter.or_else(by_text).or_else(|| answer.parse().ok());
    place
        .filter(|place| *place < options.len())
        .ok_or_else(|| format!("answer {answer:?} is none of {} options", options.len()))
}

/// Puts options in an order that depends on the seed and the item alone.
fn shuffled(options: Vec<String>, id: &str, seed: u64) -> Vec<String> {
    let key = |place: usize| sha256(format!("{seed} {id} {place}").as_bytes());
    let mut keyed: Vec<(String, String)> =
        options.into_iter().enumerate().map(|(place, option)| (key(place), option)).collect();
    keyed.sort();
    keyed.into_iter().map(|(_, option)| option).collect()
}
