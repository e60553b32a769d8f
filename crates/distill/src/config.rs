//! The settings of a distillation.

use std::path::PathBuf;

use judge::{Decoding, TeacherConfig};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::penalty::Drlc;

/// The keys of `sightline distill`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DistillConfig {
    /// Samples with images and known answers, in the `messages` JSONL format.
    pub dataset: PathBuf,
    /// Folder for the store, the report and the distilled data.
    pub output_dir: PathBuf,
    /// The first so many lines; all by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// The model that thinks: the one that will be trained, as the paper has it.
    pub generator: TeacherConfig,
    /// The model that judges and rewrites; without it rules judge, and wrong chains are dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<TeacherConfig>,
    /// Most tokens of a chain of thought and its answer.
    pub max_new_tokens: u32,
    /// Softmax temperature of the chain; 0 is greedy.
    #[serde(default = "temperature")]
    pub temperature: f64,
    /// Sample the chain among the smallest set of tokens with this probability.
    #[serde(default = "top_p")]
    pub top_p: f64,
    /// Seed of all draws.
    #[serde(default = "seed")]
    pub seed: u64,
    /// Appended to the question when the chain is generated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instruction: Option<String>,
    /// Most tokens of an answer with and without the image; as `max_new_tokens` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ablation_max_new_tokens: Option<u32>,
    /// Most tokens of a verdict, the judge's thought included.
    #[serde(default = "verdict_tokens")]
    pub judge_max_new_tokens: u32,
    /// Steepness of the repetition penalty in the scores; the paper gives none.
    #[serde(default = "alpha")]
    pub alpha: f64,
    /// Weight of the text score.
    #[serde(default = "one")]
    pub beta: f64,
    /// Weight of the integration score.
    #[serde(default = "one")]
    pub gamma: f64,
    /// One penalty for all items in place of equation 1: what an adaptive length is compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repetition_penalty: Option<f64>,
    /// The penalty is rounded to multiples of this, so that small shifts of the scores regenerate nothing.
    #[serde(default = "penalty_step")]
    pub penalty_step: f64,
    /// What finds an answer right: `rule`, or `rule_or_judge`.
    #[serde(default)]
    pub answer_check: AnswerCheck,
    /// Variances of the Laplacian from which clarity is 2, 3, 4 and 5.
    #[serde(default = "blur_levels")]
    pub blur_levels: [f64; 4],
    /// Short sides in pixels from which clarity is 2, 3, 4 and 5.
    #[serde(default = "side_levels")]
    pub side_levels: [f64; 4],
}

/// What finds an answer right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerCheck {
    /// The verifier of rewards.
    Rule,
    /// The verifier, or else the judge.
    #[default]
    RuleOrJudge,
}

fn temperature() -> f64 {
    0.6
}

fn top_p() -> f64 {
    0.95
}

fn seed() -> u64 {
    42
}

fn verdict_tokens() -> u32 {
    1024
}

fn alpha() -> f64 {
    0.2
}

fn one() -> f64 {
    1.0
}

fn penalty_step() -> f64 {
    0.01
}

fn blur_levels() -> [f64; 4] {
    [10.0, 50.0, 100.0, 300.0]
}

fn side_levels() -> [f64; 4] {
    [112.0, 224.0, 336.0, 448.0]
}

impl DistillConfig {
    /// Checks values against their ranges and against each other.
    ///
    /// # Errors
    /// Names the key that is at fault.
    pub fn validate(&self) -> Result<(), Error> {
        let teacher = |key, teacher: &TeacherConfig| match teacher.kind() {
            Ok(_) => Ok(()),
            Err(source) => Err(Error::Teacher { key, source }),
        };
        teacher("generator", &self.generator)?;
        self.judge.as_ref().map_or(Ok(()), |judge| teacher("judge", judge))?;
        let is_at_least_one = [
            ("max_new_tokens", Some(self.max_new_tokens)),
            ("ablation_max_new_tokens", self.ablation_max_new_tokens),
            ("judge_max_new_tokens", Some(self.judge_max_new_tokens)),
        ];
        if let Some((key, _)) = is_at_least_one.into_iter().find(|(_, value)| *value == Some(0)) {
            return Err(Error::value(key, &0, "at least 1"));
        }
        if self.limit == Some(0) {
            return Err(Error::value("limit", &0, "at least 1, or no key for all"));
        }
        self.check_numbers()
    }

    fn check_numbers(&self) -> Result<(), Error> {
        let not_negative = [
            ("temperature", self.temperature),
            ("alpha", self.alpha),
            ("beta", self.beta),
            ("gamma", self.gamma),
        ];
        for (key, value) in not_negative {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(Error::value(key, &value, "a number from 0 on"));
            }
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return Err(Error::value("top_p", &self.top_p, "above 0, up to 1"));
        }
        if let Some(penalty) =
            self.repetition_penalty.filter(|penalty| !(1.0..=2.0).contains(penalty))
        {
            return Err(Error::value("repetition_penalty", &penalty, "from 1 to 2"));
        }
        if !(self.penalty_step > 0.0 && self.penalty_step <= 1.0) {
            return Err(Error::value("penalty_step", &self.penalty_step, "above 0, up to 1"));
        }
        for (key, levels) in [("blur_levels", self.blur_levels), ("side_levels", self.side_levels)]
        {
            if !levels.is_sorted() || levels.iter().any(|level| !level.is_finite()) {
                return Err(Error::value(key, &format!("{levels:?}"), "four rising numbers"));
            }
        }
        Ok(())
    }

    /// How verdicts are drawn.
    pub(crate) fn verdict_decoding(&self) -> Decoding {
        Decoding::greedy(self.judge_max_new_tokens, self.seed)
    }

    /// The settings of equation 1.
    pub fn drlc(&self) -> Drlc {
        let Self { alpha, beta, gamma, .. } = *self;
        Drlc { alpha, beta, gamma }
    }
}
