//! Sums, differences and products in words: the text twin of [`digits`](crate::digits), for a language model that has
//! to reason before it sees.
//!
//! ```text
//! 3 + 4 ─► "Compute 3 + 4" ─► <think>\n3 + 4 = 7\n</think>\n\n\boxed{7}
//! ```
//!
//! An expression is in the training file or in the held-out file, never in both.

use std::path::{Path, PathBuf};

use rand_chacha::ChaCha8Rng;
use schema::{Content, Message, Role, Sample};

use crate::digits::{Expression, Operator, Thought, reply};
use crate::jsonl::write_lines;
use crate::random::{below, stream};
use crate::{Error, Result};

/// Streams below this decide on which side an expression is.
const FIRST_SAMPLE_STREAM: u64 = 1 << 62;

/// Draws after which a side counts as empty.
const MOST_DRAWS: usize = 10_000;

/// What the task looks like; it determines every byte that is written.
#[derive(Clone, Debug, PartialEq)]
pub struct ArithmeticTask {
    /// Seed of the split and of every draw.
    pub seed: u64,
    /// The operators to draw from.
    pub operators: Vec<Operator>,
    /// Numbers in an expression: 2 or 3.
    pub num_numbers: usize,
    /// The largest number, at most 9999.
    pub max_number: u32,
    /// The words of the chain of thought.
    pub thought: Thought,
    /// Training samples.
    pub num_train: usize,
    /// Held-out samples.
    pub num_held_out: usize,
    /// Share of the expressions that only held-out samples ask for.
    pub held_out_share: f64,
}

/// Builds the task in `output`: `train.jsonl` and `held_out.jsonl`, which are returned.
///
/// # Errors
///
/// When an option makes no sense, a side has no expression, or a file cannot be written.
pub fn build(task: &ArithmeticTask, output: &Path) -> Result<(PathBuf, PathBuf)> {
    task.check()?;
    std::fs::create_dir_all(output).map_err(Error::io(output))?;
    let files = (output.join("train.jsonl"), output.join("held_out.jsonl"));
    write_lines(&files.0, task.samples("train", false, task.num_train)?)?;
    write_lines(&files.1, task.samples("held-out", true, task.num_held_out)?)?;
    Ok(files)
}

impl ArithmeticTask {
    fn check(&self) -> Result<()> {
        let wrong = |option, value: String, expected: &str| {
            Err(Error::Option { option, value, expected: expected.to_owned() })
        };
        match self {
            Self { operators, .. } if operators.is_empty() => {
                wrong("operators", "empty".into(), "at least one")
            }
            Self { num_numbers: n, .. } if !(2..=3).contains(n) => {
                wrong("num_numbers", n.to_string(), "2 or 3")
            }
            Self { max_number: n, .. } if *n > 9999 => {
                wrong("max_number", n.to_string(), "at most 9999")
            }
            Self { held_out_share: s, .. } if !(*s > 0.0 && *s < 1.0) => {
                wrong("held_out_share", s.to_string(), "above 0 and below 1")
            }
            _ => Ok(()),
        }
    }

    fn samples(&self, name: &str, is_held_out: bool, count: usize) -> Result<Vec<Sample>> {
        let first = FIRST_SAMPLE_STREAM + u64::from(is_held_out) * (FIRST_SAMPLE_STREAM >> 1);
        let mut samples = Vec::with_capacity(count);
        for (index, number) in (0..count).zip(first..) {
            let mut rng = stream(self.seed, number);
            let mut drawn = (0..MOST_DRAWS).map(|_| self.draw(&mut rng));
            let found = drawn.find(|expression| self.is_held_out(expression) == is_held_out);
            let expression = found.ok_or_else(|| Error::Option {
                option: "held_out_share",
                value: self.held_out_share.to_string(),
                expected: format!("a share that leaves expressions for {name}"),
            })?;
            samples.push(self.sample(format!("{name}-{index:05}"), &expression));
        }
        Ok(samples)
    }

    fn draw(&self, rng: &mut ChaCha8Rng) -> Expression {
        let bound = self.max_number as usize + 1;
        let numbers = (0..self.num_numbers).map(|_| below(rng, bound) as i64).collect();
        let operators = (1..self.num_numbers)
            .map(|_| self.operators[below(rng, self.operators.len())])
            .collect();
        Expression { numbers, operators }
    }

    /// On which side an expression is depends on nothing but itself and the seed.
    fn is_held_out(&self, expression: &Expression) -> bool {
        let name = expression
            .to_string()
            .bytes()
            .fold(0u64, |name, byte| name.wrapping_mul(0x0100_0000_01b3) ^ u64::from(byte));
        let draw = below(&mut stream(self.seed, name % FIRST_SAMPLE_STREAM), 1 << 30);
        (draw as f64) < self.held_out_share * f64::from(1 << 30)
    }

    fn sample(&self, id: String, expression: &Expression) -> Sample {
        let answer = expression.value().to_string();
        let turn = |role, text| Message { role, content: Content::Text(text) };
        let said = reply(&expression.thought(self.thought), &answer);
        Sample {
            id: Some(id),
            messages: vec![
                turn(Role::User, format!("Compute {expression}")),
                turn(Role::Assistant, said),
            ],
            answer: Some(answer),
            ..Sample::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// The expressions that a file asks for.
    fn questions(path: &Path) -> HashSet<String> {
        let samples: Vec<(usize, Sample)> = crate::read_lines(path).expect("a file just written");
        let text = |sample: &Sample| match &sample.messages[0].content {
            Content::Text(text) => text.clone(),
            Content::Parts(_) => String::new(),
        };
        samples.iter().map(|(_, sample)| text(sample)).collect()
    }

    fn task() -> ArithmeticTask {
        ArithmeticTask {
            seed: 1,
            operators: vec![Operator::Plus, Operator::Minus],
            num_numbers: 2,
            max_number: 5,
            thought: Thought::Equation,
            num_train: 500,
            num_held_out: 200,
            held_out_share: 0.2,
        }
    }

    #[test]
    fn no_expression_is_on_both_sides_and_every_byte_is_given_by_the_task() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| folder.path().join(name));
        let (train, held_out) = build(&task(), &one).unwrap();
        let (asked, kept) = (questions(&train), questions(&held_out));
        // 72 expressions in all.
        assert!(asked.is_disjoint(&kept) && asked.len() + kept.len() > 65, "{asked:?} {kept:?}");
        let (again, _) = build(&task(), &other).unwrap();
        assert_eq!(std::fs::read(&train).unwrap(), std::fs::read(again).unwrap());
        let first: Vec<(usize, Sample)> = crate::read_lines(&train).unwrap();
        let (_, sample) = &first[0];
        let answer = sample.answer.as_deref().unwrap();
        let Content::Text(said) = &sample.messages[1].content else { panic!("text") };
        assert!(
            said.starts_with("<think>\n")
                && said.ends_with(&format!(" = {answer}\n</think>\n\n\\boxed{{{answer}}}")),
            "{said}"
        );
    }

    #[test]
    fn options_that_make_no_sense_are_named() {
        let folder = tempfile::tempdir().unwrap();
        for (task, want) in [
            (ArithmeticTask { operators: vec![], ..task() }, "operators"),
            (ArithmeticTask { num_numbers: 4, ..task() }, "num_numbers"),
            (ArithmeticTask { max_number: 10_000, ..task() }, "max_number"),
            (ArithmeticTask { held_out_share: 1.0, ..task() }, "held_out_share"),
            (ArithmeticTask { max_number: 0, held_out_share: 0.01, ..task() }, "held_out_share"),
        ] {
            let error = build(&task, folder.path()).unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        }
    }
}
