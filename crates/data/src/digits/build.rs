//! Writes the task: two JSONL files and their pictures.

use std::collections::HashSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

use image::ImageFormat;
use rand_chacha::ChaCha8Rng;
use schema::{Content, Message, Role, Sample};
use serde_json::{Map, json};

use super::draw::draw;
use super::expression::{Expression, reply};
use super::{Bitmap, DigitTask};
use crate::jsonl::write_lines;
use crate::random::{below, shuffle, stream};
use crate::{Error, Result};

const QUESTION: &str = "Compute <image>";
const FIRST_HELD_OUT_STREAM: u64 = 1 << 40;
/// Streams of presence questions lie as far above those of the other samples, training and held-out alike.
const FIRST_PRESENCE_STREAM: u64 = 1 << 48;
/// Streams below this shuffle the bitmaps of a digit; each sample has one above.
const FIRST_SAMPLE_STREAM: u64 = 1 << 32;

/// What [`build`] wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigitFiles {
    /// The training samples.
    pub train: PathBuf,
    /// The held-out samples.
    pub held_out: PathBuf,
    /// Held-out questions whether a digit is in the picture, where the task has such questions.
    pub probe: Option<PathBuf>,
    /// Training samples, questions whether a digit is in the picture included.
    pub num_train: usize,
    /// Distinct bitmaps that training images draw from.
    pub num_train_bitmaps: usize,
    /// Distinct bitmaps that held-out images draw from.
    pub num_held_out_bitmaps: usize,
}

/// Builds the task in `output`: `train.jsonl`, `held_out.jsonl` and `images/*.png`.
///
/// With presence questions, training samples are followed by them, and the held-out ones are `probe.jsonl`: every other
/// one asks for a digit that is not in the picture, and `no` is its answer.
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
        probe: (task.presence > 0.0).then(|| output.join("probe.jsonl")),
        num_train: task.num_train + task.num_presence(),
        num_train_bitmaps: count(&train),
        num_held_out_bitmaps: count(&held_out),
    };
    let writer = Writer { task, table, output };
    let after_skipped = |count: usize| task.skip as u64..(task.skip + count) as u64;
    let mut samples = writer.samples(&train, "train", after_skipped(task.num_train))?;
    samples.extend(writer.presence(&train, "presence", after_skipped(task.num_presence()))?);
    write_lines(&files.train, samples)?;
    // Held-out samples draw from streams of their own, so that their number and the training samples' do not meet.
    let Range { start, end } = after_skipped(task.num_held_out);
    let streams = FIRST_HELD_OUT_STREAM + start..FIRST_HELD_OUT_STREAM + end;
    write_lines(&files.held_out, writer.samples(&held_out, "held-out", streams.clone())?)?;
    if let Some(probe) = &files.probe {
        write_lines(probe, writer.presence(&held_out, "probe", streams)?)?;
    }
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

/// A picture that was written, and what it shows.
struct Pictured {
    expression: Expression,
    digits: Vec<usize>,
    lines: Vec<usize>,
    image: String,
}

impl Writer<'_> {
    /// Arithmetic on pictures, one for each stream.
    fn samples(&self, split: &Split, name: &str, streams: Range<u64>) -> Result<Vec<Sample>> {
        let of = |(i, number): (usize, u64)| {
            let id = format!("{name}-{i:05}");
            let mut rng = stream(self.task.seed, FIRST_SAMPLE_STREAM + number);
            let pictured = self.picture(split, &id, &mut rng)?;
            let expression = &pictured.expression;
            let (answer, thought) =
                (expression.value().to_string(), expression.thought(self.task.thought));
            Ok(pictured.asked(id, QUESTION.to_owned(), &thought, answer))
        };
        (self.task.skip..).zip(streams).map(of).collect()
    }

    /// Questions whether a digit is in a picture, one for each stream, absent ones and present ones in turn.
    fn presence(&self, split: &Split, name: &str, streams: Range<u64>) -> Result<Vec<Sample>> {
        let of = |(i, number): (usize, u64)| {
            let id = format!("{name}-{i:05}");
            let number = FIRST_PRESENCE_STREAM + number;
            let mut rng = stream(self.task.seed, FIRST_SAMPLE_STREAM + number);
            let pictured = self.picture(split, &id, &mut rng)?;
            let absent: Vec<usize> =
                (0..split.len()).filter(|digit| !pictured.digits.contains(digit)).collect();
            let is_present = i % 2 == 1 || absent.is_empty();
            let from = if is_present { &pictured.digits } else { &absent };
            let digit = from[below(&mut rng, from.len())];
            let thought = pictured.expression.seen();
            let answer = if is_present { "yes" } else { "no" };
            let question = format!("Is there a {digit}? <image>");
            let mut sample = pictured.asked(id, question, &thought, answer.to_owned());
            sample.extra.insert("asked".to_owned(), json!(digit));
            Ok(sample)
        };
        (self.task.skip..).zip(streams).map(of).collect()
    }

    /// Draws and writes a picture.
    fn picture(&self, split: &Split, id: &str, rng: &mut ChaCha8Rng) -> Result<Pictured> {
        let task = self.task;
        let digits: Vec<_> = (0..task.num_digits).map(|_| below(rng, split.len())).collect();
        let lines: Vec<_> = digits.iter().map(|&d| split[d][below(rng, split[d].len())]).collect();
        let operators =
            (1..digits.len()).map(|_| task.operators[below(rng, task.operators.len())]).collect();
        let expression =
            Expression { numbers: digits.iter().map(|&d| d as i64).collect(), operators };
        let bitmaps: Vec<_> = lines.iter().map(|&line| &self.table[line]).collect();
        let image = format!("images/{id}.png");
        let path = self.output.join(&image);
        let picture = draw(task, &bitmaps, &expression.operators, rng);
        picture
            .save_with_format(&path, ImageFormat::Png)
            .map_err(|source| Error::Encode { path, source })?;
        Ok(Pictured { expression, digits, lines, image })
    }
}

impl Pictured {
    /// The sample that asks this about the picture.
    fn asked(&self, id: String, question: String, thought: &str, answer: String) -> Sample {
        let reply = reply(thought, &answer);
        let turn = |role, text| Message { role, content: Content::Text(text) };
        let messages = vec![turn(Role::User, question), turn(Role::Assistant, reply)];
        let extra = Map::from_iter([
            ("digits".to_owned(), json!(self.digits)),
            ("operators".to_owned(), json!(self.expression.operators)),
            ("bitmaps".to_owned(), json!(self.lines)),
        ]);
        let images = vec![self.image.clone()];
        Sample { id: Some(id), messages, images, answer: Some(answer), completion: None, extra }
    }
}
