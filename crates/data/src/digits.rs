//! The demonstration's task: reading a sum, a difference or a product of handwritten digits.
//!
//! ```text
//! mnist_5k.csv.gz ── table ──► bitmaps ── split by bitmap ──► draw ──► images/train-00000.png
//!                                                       └──► expression ──► question, thought, \boxed{answer}
//! ```
//!
//! A digit's bitmap is in the training images or in the held-out images, never in both, so that the held-out score
//! cannot come from remembered bitmaps.

mod table;
mod draw;
mod expression;
mod build;

pub use build::{DigitFiles, build};
pub use expression::Operator;
pub(crate) use expression::{Expression, reply};
pub use table::{Bitmap, read_table};

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// What the task looks like. Everything here, the seed included, determines every byte that is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DigitTask {
    /// Seed of the split and of every draw.
    pub seed: u64,
    /// The operators to draw from.
    pub operators: Vec<Operator>,
    /// Digits in an expression: 2, 3, or 1 for reading alone.
    pub num_digits: usize,
    /// The largest digit, at most 9.
    pub max_digit: u8,
    /// Side of a square of the picture in pixels; the picture is one square high and a whole number of squares wide.
    pub tile: u32,
    /// Where operators are drawn.
    pub operator_place: OperatorPlace,
    /// The colour of the paper.
    pub paper: Paper,
    /// The words of the chain of thought.
    pub thought: Thought,
    /// Training samples.
    pub num_train: usize,
    /// Held-out samples.
    pub num_held_out: usize,
    /// Share of the bitmaps of each digit that only held-out images show.
    pub held_out_share: f64,
    /// Samples of this seed that are passed over. Where another data set of the same seed and split has as many, no
    /// picture of it comes again.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub skip: usize,
    /// Questions whether a digit is in the picture, for each training sample; with any, as many as held-out samples
    /// become a probe.
    #[serde(default, skip_serializing_if = "is_none")]
    pub presence: f64,
}

/// More would reach the draws of held-out samples.
const MOST_SKIPPED: usize = 1 << 32;

fn is_zero(skip: &usize) -> bool {
    *skip == 0
}

fn is_none(presence: &f64) -> bool {
    *presence == 0.0
}

/// Where an operator is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperatorPlace {
    /// In a square of its own between the digits: the picture is `2 · num_digits − 1` squares wide.
    OwnTile,
    /// In the left margin of the square of the digit that follows: the picture is `num_digits` squares wide, and digits
    /// are drawn at three quarters of a square.
    Margin,
}

/// The colour of the paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Paper {
    /// Dark ink on white.
    White,
    /// White ink on black, as in MNIST itself.
    Black,
}

/// The words of the chain of thought, for the picture of 3 + 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Thought {
    /// `The digits are 3 and 4, the operator is +. 3 + 4 = 7`
    Named,
    /// `3 + 4 = 7`
    Equation,
    /// `3+4=7`
    Compact,
}

impl DigitTask {
    /// Training questions whether a digit is in the picture.
    fn num_presence(&self) -> usize {
        (self.num_train as f64 * self.presence).round() as usize
    }

    /// Squares side by side in a picture.
    pub fn num_tiles(&self) -> u32 {
        let digits = u32::try_from(self.num_digits).expect("1 to 3");
        match self.operator_place {
            OperatorPlace::OwnTile => 2 * digits - 1,
            OperatorPlace::Margin => digits,
        }
    }

    fn check(&self) -> Result<()> {
        let wrong = |option, value: String, expected: &str| {
            Err(Error::Option { option, value, expected: expected.to_owned() })
        };
        match self {
            Self { operators, .. } if operators.is_empty() => {
                wrong("operators", "empty".into(), "at least one")
            }
            Self { num_digits: n, .. } if !(1..=3).contains(n) => {
                wrong("num_digits", n.to_string(), "1 to 3")
            }
            Self { max_digit: n, .. } if *n > 9 => wrong("max_digit", n.to_string(), "0 to 9"),
            Self { tile: n, .. } if !(14..=1024).contains(n) => {
                wrong("tile", n.to_string(), "14 to 1024 pixels")
            }
            Self { skip: n, .. } if *n > MOST_SKIPPED => {
                wrong("skip", n.to_string(), "at most 4294967296")
            }
            Self { presence: p, .. } if !(0.0..=1.0).contains(p) => {
                wrong("presence", p.to_string(), "0 to 1")
            }
            Self { presence: p, max_digit: 0, .. } if *p > 0.0 => {
                wrong("max_digit", "0".into(), "1 to 9: a single digit is in every picture")
            }
            Self { held_out_share: s, .. } if !(*s > 0.0 && *s < 1.0) => {
                wrong("held_out_share", s.to_string(), "above 0 and below 1")
            }
            _ => Ok(()),
        }
    }
}
