//! Arguments of the commands that build data sets.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use data::digits::{Operator, OperatorPlace, Paper, Thought};
use data::easy_vqa::Questions;
use serde::Deserialize;

use super::{CacheArgs, named};

/// `sightline data`.
#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// Sums and differences of handwritten digits, from real MNIST images.
    Digits(DigitsArgs),
    /// The same sums and differences in words, for a language model.
    Arithmetic(ArithmeticArgs),
    /// easy-VQA with its own split.
    EasyVqa(EasyVqaArgs),
}

/// `sightline data digits`. What is not given is as in the demo.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    sightline data digits --output digits\n  \
    sightline data digits --output digits --num-digits 3 --operators +-x \\\n    \
    --train 2000\n\n\
What is not given is as in the demo. Training and held-out images share no digit image.")]
pub(crate) struct DigitsArgs {
    /// Folder to write: train.jsonl, held_out.jsonl and images/.
    #[arg(long)]
    pub output: PathBuf,
    /// Training items.
    #[arg(long)]
    pub train: Option<usize>,
    /// Held-out items.
    #[arg(long)]
    pub held_out: Option<usize>,
    /// Digits in an image: 2, 3, or 1 for reading alone.
    #[arg(long)]
    pub num_digits: Option<usize>,
    /// The largest digit.
    #[arg(long)]
    pub max_digit: Option<u8>,
    /// Operators to draw from: any of `+`, `-` and `x`.
    #[arg(long, allow_hyphen_values = true, value_parser = operators)]
    pub operators: Option<Operators>,
    /// Where operators are drawn: `own-tile` or `margin`.
    #[arg(long, value_parser = named::<OperatorPlace>)]
    pub operator_place: Option<OperatorPlace>,
    /// Side of a square of the picture in pixels.
    #[arg(long)]
    pub tile: Option<u32>,
    /// The colour behind the digits: `black` or `white`.
    #[arg(long, value_parser = named::<Paper>)]
    pub paper: Option<Paper>,
    /// The words of the thought: `named`, `equation` or `compact`.
    #[arg(long, value_parser = named::<Thought>)]
    pub thought: Option<Thought>,
    /// Share of the digit images kept for held-out items.
    #[arg(long)]
    pub held_out_share: Option<f64>,
    /// Items of this seed to pass over, as many as another data set of the seed has: no picture of it comes again.
    #[arg(long, default_value_t = 0)]
    pub skip: usize,
    /// The asset whose handwritten digits are drawn: `mnist` has 5,000, `mnist-60k` 60,000.
    #[arg(long, default_value = "mnist", value_parser = named::<DigitSource>)]
    pub bitmaps: DigitSource,
    /// Questions whether a digit is in the picture, for each training item; half ask for one that is not. Held-out ones
    /// go to probe.jsonl.
    #[arg(long)]
    pub presence: Option<f64>,
    /// Seed of the split and of the items.
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// Where the digit images are.
    #[command(flatten)]
    pub cache: CacheArgs,
}

/// An asset of handwritten digits.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DigitSource {
    /// 5,000.
    Mnist,
    /// 60,000.
    #[serde(rename = "mnist_60k")]
    Mnist60k,
}

/// `sightline data arithmetic`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    sightline data arithmetic --output arithmetic\n  \
    sightline data arithmetic --output arithmetic --max-number 99 \\\n    \
    --operators +-x --train 10000\n\n\
No held-out expression is in the training file.")]
pub(crate) struct ArithmeticArgs {
    /// Folder to write: train.jsonl and held_out.jsonl.
    #[arg(long)]
    pub output: PathBuf,
    /// Training items.
    #[arg(long, default_value_t = 4000)]
    pub train: usize,
    /// Held-out items.
    #[arg(long, default_value_t = 300)]
    pub held_out: usize,
    /// Numbers in an expression: 2 or 3.
    #[arg(long, default_value_t = 2)]
    pub num_numbers: usize,
    /// The largest number.
    #[arg(long, default_value_t = 20)]
    pub max_number: u32,
    /// Operators to draw from: any of `+`, `-` and `x`.
    #[arg(long, default_value = "+-", allow_hyphen_values = true, value_parser = operators)]
    pub operators: Operators,
    /// The words of the thought: `named`, `equation` or `compact`.
    #[arg(long, default_value = "equation", value_parser = named::<Thought>)]
    pub thought: Thought,
    /// Share of the expressions kept for held-out items.
    #[arg(long, default_value_t = 0.2)]
    pub held_out_share: f64,
    /// Seed of the split and of the items.
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
}

/// A set of operators, as one argument.
#[derive(Clone, Debug)]
pub(crate) struct Operators(pub Vec<Operator>);

/// `sightline data easy-vqa`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  sightline data easy-vqa --output easy-vqa --questions open")]
pub(crate) struct EasyVqaArgs {
    /// Folder to write: train.jsonl, held_out.jsonl and images/.
    #[arg(long)]
    pub output: PathBuf,
    /// Which questions: `all`, or `open` for those that yes and no do not answer.
    #[arg(long, default_value = "all", value_parser = named::<Questions>)]
    pub questions: Questions,
    /// Where the data set is.
    #[command(flatten)]
    pub cache: CacheArgs,
}

fn operators(text: &str) -> Result<Operators, String> {
    let operator = |character| match character {
        '+' => Ok(Operator::Plus),
        '-' => Ok(Operator::Minus),
        'x' | '*' => Ok(Operator::Times),
        other => Err(format!("unknown operator {other}, expected +, - or x")),
    };
    text.chars().map(operator).collect::<Result<_, _>>().map(Operators)
}
