//! The keys of `sightline iterative-sft`, under TRL's names where it has one.

use std::path::PathBuf;

use engine::{CheckpointConfig, OptimizerConfig};
use judge::TeacherConfig;
use rollout::Sampling;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::config::{
    BatchConfig, ModelConfig, Part, RateConfig, Recipe, RunConfig, Training, in_range, scorer,
};
use crate::mpo::BadPairs;
use crate::sft::SampleConfig;

/// The keys of `sightline iterative-sft`. Those of supervised fine-tuning hold for the first stage, and for the rounds
/// where these have none of their own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IterativeSftConfig {
    /// The model and what of it trains.
    #[serde(flatten)]
    pub model: ModelConfig,
    /// Where the run reads and writes.
    #[serde(flatten)]
    pub run: RunConfig,
    /// When checkpoints are written, and how many stay.
    #[serde(flatten)]
    pub checkpoint: CheckpointConfig,
    /// AdamW and clipping; the learning rate is that of the first stage.
    #[serde(flatten)]
    pub optimizer: OptimizerConfig,
    /// The learning rate over each stage.
    #[serde(flatten)]
    pub rate: RateConfig,
    /// How much goes into a step; steps and epochs are those of the first stage.
    #[serde(flatten)]
    pub batch: BatchConfig,
    /// What is learned from the samples.
    #[serde(flatten)]
    pub samples: SampleConfig,
    /// What each round learns from, and how fast.
    #[serde(flatten)]
    pub rounds: RoundConfig,
    /// Where scores from 0 to 5 come from.
    #[serde(flatten)]
    pub scores: ScoreConfig,
    /// How the policy answers, what is held out, and which checkpoint is kept.
    #[serde(flatten)]
    pub answers: AnswerConfig,
}

/// What each round learns from, and how fast: R1V (arXiv:2504.05599), section 2.2.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RoundConfig {
    /// T: rounds after the first stage.
    #[serde(default = "num_rounds")]
    pub num_rounds: usize,
    /// τ of each round: the least score of a sample that the round learns from. The last one holds for all further
    /// rounds.
    #[serde(default = "score_thresholds")]
    pub score_thresholds: Vec<f64>,
    /// The learning rate of each round; the last one holds for all further rounds.
    #[serde(default = "round_learning_rates")]
    pub round_learning_rates: Vec<f64>,
    /// Passes of a round over its samples; not used when `round_max_steps` is given.
    #[serde(default = "one_epoch")]
    pub round_num_train_epochs: f64,
    /// Steps of a round; 0 derives them from `round_num_train_epochs`.
    #[serde(default)]
    pub round_max_steps: u64,
    /// Keys of `sightline distill`, where the data set is distilled anew before each stage with the policy as it then
    /// is: all but the data set, the folder, the seed and the generator's model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distill: Option<toml::Table>,
    /// The least score of the samples in `top_scored.jsonl`, which reinforcement learns from.
    #[serde(default = "top_score")]
    pub top_score: f64,
}

/// Where scores from 0 to 5 come from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ScoreConfig {
    /// A column of the data set that holds them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score_column: Option<String>,
    /// What scores samples: an address that ends in `/score`, `/classify` or `/pooling`, or the folder of a reward
    /// model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reward_model: Option<String>,
    /// The reward model's name on its server.
    #[serde(default = "scorer::reward_model_name")]
    pub reward_model_name: String,
    /// Longest wait for a reply of the server, in seconds.
    #[serde(default = "scorer::timeout")]
    pub scorer_timeout: f64,
    /// How often a request is sent before the server counts as unreachable.
    #[serde(default = "scorer::tries")]
    pub scorer_tries: usize,
    /// Who scores by a rubric from 0 to 5. When neither this nor a reward model nor a column is given, rules do:
    /// answer, form and repetition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<TeacherConfig>,
    /// What happens where a score cannot be had: `skip` lets such a sample in only where the policy answers it wrongly,
    /// and takes the mean over the other completions; `stop` ends the run, which can be taken up again.
    #[serde(default)]
    pub bad_scores: BadPairs,
    /// Raw scores from which a sample has 1, 2, 3, 4 and 5. Without levels and shares, scores are from 0 to 5 already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score_levels: Option<[f64; 5]>,
    /// The same as shares of the data set: quantiles of the raw scores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score_quantiles: Option<[f64; 5]>,
}

/// How the policy answers, what is held out, and which checkpoint is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AnswerConfig {
    /// The most tokens of an answer.
    #[serde(default = "max_completion_length")]
    pub max_completion_length: usize,
    /// Softmax temperature of the answers that show what the policy gets wrong; 0 is greedy.
    #[serde(default)]
    pub temperature: f32,
    /// Questions that nothing is learned from; every stage is measured on them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eval_dataset: Option<PathBuf>,
    /// The first so many of them; all by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eval_limit: Option<usize>,
    /// Softmax temperature of their answers; 0 is greedy.
    #[serde(default)]
    pub eval_temperature: f32,
    /// What reasoning quality is, from 0 to 1.
    #[serde(default)]
    pub quality: Quality,
    /// Share of token triples that may occur before in a completion that does not repeat itself.
    #[serde(default = "max_repetition")]
    pub max_repetition: f64,
    /// Accuracies count as equal to the best that are lower by this at most; its standard error by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy_tolerance: Option<f64>,
}

/// What reasoning quality is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quality {
    /// The share of completions that are complete and do not repeat themselves.
    #[default]
    Rules,
    /// The mean score of the completions, as samples are scored, over 5.
    Scores,
}

fn num_rounds() -> usize {
    4
}

fn score_thresholds() -> Vec<f64> {
    vec![2.0, 3.0, 4.0, 5.0]
}

fn round_learning_rates() -> Vec<f64> {
    vec![1e-4, 2e-5]
}

fn one_epoch() -> f64 {
    1.0
}

/// The highest score; R1V's third stage learns from these.
fn top_score() -> f64 {
    5.0
}

/// R1V's third stage.
fn max_completion_length() -> usize {
    8192
}

fn max_repetition() -> f64 {
    0.2
}

impl RoundConfig {
    /// τ of a round, from 1.
    pub fn threshold(&self, round: usize) -> f64 {
        of_round(&self.score_thresholds, round)
    }

    /// The learning rate of a round, from 1.
    pub fn learning_rate(&self, round: usize) -> f64 {
        of_round(&self.round_learning_rates, round)
    }

    fn validate(&self) -> Result<(), Error> {
        let scores = self.score_thresholds.iter().chain([&self.top_score]);
        for (key, value) in scores.map(|score| ("score_thresholds or top_score", score)) {
            in_range((0.0..=5.0).contains(value), key, value, "a number from 0 to 5")?;
        }
        let list = |key, is_empty: bool| in_range(!is_empty, key, &"[]", "one value or more");
        list("score_thresholds", self.score_thresholds.is_empty())?;
        list("round_learning_rates", self.round_learning_rates.is_empty())?;
        for rate in &self.round_learning_rates {
            let holds = *rate >= 0.0 && rate.is_finite();
            in_range(holds, "round_learning_rates", rate, "finite numbers from 0")?;
        }
        let epochs = self.round_num_train_epochs;
        let holds = epochs > 0.0 && epochs.is_finite();
        in_range(holds, "round_num_train_epochs", &epochs, "a finite number above 0")
    }
}

/// The value of a round, or the last one.
fn of_round(values: &[f64], round: usize) -> f64 {
    let at = round.saturating_sub(1).min(values.len().saturating_sub(1));
    values.get(at).copied().unwrap_or_default()
}

/// Two settings that cannot both hold.
fn contradiction(first: &str, second: &str, why: &'static str) -> Error {
    Error::Contradiction { first: first.to_owned(), second: second.to_owned(), why }
}

impl ScoreConfig {
    fn validate(&self) -> Result<(), Error> {
        let places = [
            ("score_column", self.score_column.is_some()),
            ("reward_model", self.reward_model.is_some()),
            ("judge", self.judge.is_some()),
        ];
        let mut given = places.iter().filter(|(_, is_given)| *is_given);
        if let (Some((first, _)), Some((second, _))) = (given.next(), given.next()) {
            return Err(contradiction(first, second, "scores come from one place"));
        }
        self.judge.as_ref().map(TeacherConfig::kind).transpose()?;
        scorer::check(self.scorer_timeout, self.scorer_tries)?;
        let rising = |levels: &[f64; 5]| levels.is_sorted() && levels.iter().all(|l| l.is_finite());
        match (&self.score_levels, &self.score_quantiles) {
            (Some(_), Some(_)) => {
                let why = "raw scores are mapped one way";
                Err(contradiction("score_levels", "score_quantiles", why))
            }
            (Some(levels), None) => {
                in_range(rising(levels), "score_levels", &format!("{levels:?}"), "rising numbers")
            }
            (None, Some(shares)) => {
                let holds = rising(shares) && shares.iter().all(|s| (0.0..=1.0).contains(s));
                let expected = "rising numbers from 0 to 1";
                in_range(holds, "score_quantiles", &format!("{shares:?}"), expected)
            }
            (None, None) => Ok(()),
        }
    }
}

impl AnswerConfig {
    fn validate(&self) -> Result<(), Error> {
        in_range(self.max_completion_length > 0, "max_completion_length", &0, "at least 1")?;
        in_range(self.eval_limit != Some(0), "eval_limit", &0, "at least 1, or no key for all")?;
        let expected = "a number from 0 to 1";
        let share = self.max_repetition;
        in_range((0.0..=1.0).contains(&share), "max_repetition", &share, expected)?;
        let tolerance = self.accuracy_tolerance.unwrap_or_default();
        in_range((0.0..=1.0).contains(&tolerance), "accuracy_tolerance", &tolerance, expected)?;
        Sampling::at_temperature(self.temperature, 0).validate()?;
        Sampling::at_temperature(self.eval_temperature, 0).validate().map_err(Into::into)
    }
}

impl IterativeSftConfig {
    /// Checks that there is something to score, and someone who can.
    fn check_scored(&self) -> Result<(), Error> {
        let has_column = self.scores.score_column.is_some();
        if has_column && self.rounds.distill.is_some() {
            let why = "a column has no scores of responses that are made anew";
            return Err(contradiction("score_column", "distill", why));
        }
        let asked = "quality = \"scores\"";
        match self.answers.quality {
            Quality::Rules => Ok(()),
            Quality::Scores if self.scores.score_quantiles.is_some() => Err(Error::NoScale),
            Quality::Scores if has_column => {
                let why = "a column has no scores of what the policy answers";
                Err(contradiction(asked, "score_column", why))
            }
            Quality::Scores if self.answers.eval_dataset.is_none() => {
                Err(contradiction(asked, "no eval_dataset", "there is no answer to score"))
            }
            Quality::Scores => Ok(()),
        }
    }
}

impl Training for IterativeSftConfig {
    fn output(&self) -> (&RunConfig, &CheckpointConfig) {
        (&self.run, &self.checkpoint)
    }
}

impl Recipe for IterativeSftConfig {
    const PARTS: &'static [Part] = &[
        Part::of::<ModelConfig>(),
        Part::of::<RunConfig>(),
        Part::of::<CheckpointConfig>(),
        Part::of::<OptimizerConfig>(),
        Part::of::<RateConfig>(),
        Part::of::<BatchConfig>(),
        Part::of::<SampleConfig>(),
        Part::of::<RoundConfig>(),
        Part::of::<ScoreConfig>(),
        Part::of::<AnswerConfig>(),
    ];

    fn validate(&self) -> Result<(), Error> {
        self.first_stage().validate()?;
        self.rounds.validate()?;
        self.scores.validate()?;
        self.answers.validate()?;
        self.check_scored()
    }
}
