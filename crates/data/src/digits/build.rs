//! Writes the task: two JSONL files and their pictures.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use image::ImageFormat;
use schema::{Content, Message, Role, Sample};
use serde_json::{Map, json};

use super::draw::draw;
use super::expression::Expression;
use super::{Bitmap, DigitTask};
use crate::jsonl::write_lines;
use crate::random::{below, shuffle, stream};
use crate::{Error, Result};

const QUESTION: &str = "Compute <image>";
/// Streams below this shuffle the bitmaps of a digit; each sample has one above.
const FIRST_SAMPLE_STREAM: u64 = 1 << 32;

/// What [`build`] wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigitFiles {
    /// The training samples.
    pub train: PathBuf,
    /// The held-out samples.
    pub held_out: PathBuf,
    /// Distinct bitmaps that training images draw from.
    pub num_train_bitmaps: usize,
    /// Distinct bitmaps that held-out images draw from.
    pub num_held_out_bitmaps: usize,
}

/// Builds the task in `output`: `train.jsonl`, `held_out.jsonl` and `images/*.png`.
///
/// A sample has a question, an assistant turn `<think>\n…\n</think>\n\n\boxed{…}`, the number as its answer, and columns
/// `digits`, `operators` and `bitmaps` (lines of the table, from 0).
///
/// # Errors
///
/// When an option makes no sense, a digit has fewer than two different bitmaps, or a file cannot be written.
pub fn build(task: &DigitTask, table: &[Bitmap], output: &Path) -> Result<DigitFiles> {
    task.check()?;
    let (train, held_out) = split(task, table)?;
    let images = output.join("images");
    std::fs::create_dir_all(&images).map_err(Error::io(&images))?;
    let count = |split: &Split| split.iter().map(Vec::len).sum();
    let files = DigitFiles {
        train: output.join("train.jsonl"),
        held_out: output.join("held_out.jsonl"),
        num_train_bitmaps: count(&train),
        num_held_out_bitmaps: count(&held_out),
    };
    let writer = Writer { task, table, output };
    writer.write(&files.train, &train, "train", 0..task.num_train as u64)?;
    // Held-out samples draw from streams of their own, so that their number and the training samples' do not meet.
    writer.write(
        &files.held_out,
        &held_out,
        "held-out",
        (1 << 40)..(1 << 40) + task.num_held_out as u64,
    )?;
    Ok(files)
}

/// The bitmaps of each digit, as lines of the table.
type Split = Vec<Vec<usize>>;

/// Divides the different bitmaps of each digit between training and held-out.
fn split(task: &DigitTask, table: &[Bitmap]) -> Result<(Split, Split)> {
    // Two lines with the same pixels would put one bitmap on both sides.
    let mut seen = HashSet::new();
    let distinct: Vec<_> = (0..table.len()).filter(|&i| seen.insert(&table[i].pixels)).collect();
    let of_digit = |digit: u8| {
        let mut lines: Vec<_> =
            distinct.iter().copied().filter(|&i| table[i].label == digit).collect();
        if lines.len() < 2 {
            let (option, value) = ("max_digit", task.max_digit.to_string());
            let expected = format!("digits with 2 bitmaps or more; {digit} has {}", lines.len());
            return Err(Error::Option { option, value, expected });
        }
        shuffle(&mut stream(task.seed, digit.into()), &mut lines);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a small count"
        )]
        let held_out = (lines.len() as f64 * task.held_out_share).round() as usize;
        let train = lines.split_off(held_out.clamp(1, lines.len() - 1));
        Ok((train, lines))
    };
    (0..=task.max_digit).map(of_digit).collect()
}

struct Writer<'a> {
    task: &'a DigitTask,
    table: &'a [Bitmap],
    output: &'a Path,
}

impl Writer<'_> {
    fn write(
        &self,
        path: &Path,
        split: &Split,
        name: &str,
        streams: std::ops::Range<u64>,
    ) -> Result<()> {
        let samples = streams
            .enumerate()
            .map(|(i, stream)| self.sample(split, format!("{name}-{i:05}"), stream));
        write_lines(path, samples.collect::<Result<Vec<_>>>()?)
    }

    fn sample(&self, split: &Split, id: String, number: u64) -> Result<Sample> {
        let task = self.task;
        let mut rng = stream(task.seed, FIRST_SAMPLE_STREAM + number);
        let digits: Vec<_> = (0..task.num_digits).map(|_| below(&mut rng, split.len())).collect();
        let lines: Vec<_> =
            digits.iter().map(|&d| split[d][below(&mut rng, split[d].len())]).collect();
        let operators = (1..digits.len())
            .map(|_| task.operators[below(&mut rng, task.operators.len())])
            .collect();
        let expression =
            Expression { numbers: digits.iter().map(|&d| d as i64).collect(), operators };

        let bitmaps: Vec<_> = lines.iter().map(|&line| &self.table[line]).collect();
        let image = format!("images/{id}.png");
        let path = self.output.join(&image);
        let picture = draw(task, &bitmaps, &expression.operators, &mut rng);
        picture
            .save_with_format(&path, ImageFormat::Png)
            .map_err(|source| Error::Encode { path, source })?;

        let (answer, thought) = (expression.value().to_string(), expression.thought(task.thought));
        let reply = format!("<think>\n{thought}\n</think>\n\n\\boxed{{{answer}}}");
        let turn = |role, text| Message { role, content: Content::Text(text) };
        let messages = vec![turn(Role::User, QUESTION.to_owned()), turn(Role::Assistant, reply)];
        let extra = Map::from_iter([
            ("digits".to_owned(), json!(digits)),
            ("operators".to_owned(), json!(expression.operators)),
            ("bitmaps".to_owned(), json!(lines)),
        ]);
        Ok(Sample {
            id: Some(id),
            messages,
            images: vec![image],
            answer: Some(answer),
            completion: None,
            extra,
        })
    }
}
