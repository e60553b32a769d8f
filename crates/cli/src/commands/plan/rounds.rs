//! What iterative fine-tuning would do: its first stage and every round, as far as either is known before the first
//! sample is scored.

use std::fmt;

use ::data::Dataset;
use ::distill::Plan as Distillation;
use anyhow::Result;
use recipes::iterative_sft::{IterativeSftConfig, ScoreConfig};
use serde::Serialize;

use super::{Measured, Plan, Work};
use crate::output::duration;

/// What only the run itself can tell.
const KNOWN_LATER: [&str; 2] = [
    "how many samples a round learns from, and so its steps: those that score high enough, with those that the last policy gets wrong",
    "how long answers become: times and tokens are for the longest that are allowed",
];

/// The same where chains of thought are made anew.
const KNOWN_LATER_DISTILLED: &str =
    "what is distilled: which samples are kept, and how long their new chains of thought are";

/// The plan of all stages. That of the first stands on top.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Rounds {
    /// Of the first stage, where its inputs are there.
    #[serde(flatten)]
    first: Option<Plan>,
    /// The learning rate of the first stage.
    learning_rate: f64,
    rounds: Vec<Round>,
    /// Who scores samples.
    scored_by: String,
    /// Whether the data set is distilled anew before each stage.
    is_distilled: bool,
    /// What that asks before the first stage, and before each round at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    distillation: Option<Distillation>,
    /// What each stage is measured on.
    #[serde(skip_serializing_if = "Option::is_none")]
    evaluation: Option<Evaluation>,
    known_later: Vec<&'static str>,
}

/// A round as far as it is known.
#[derive(Clone, Debug, Serialize)]
struct Round {
    round: usize,
    learning_rate: f64,
    /// The least score of a sample that it learns from.
    score_threshold: f64,
    /// Samples that the policy before it answers, to show which it gets wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    num_answers: Option<usize>,
    /// Samples that it learns from, at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_samples: Option<usize>,
    /// Steps, at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_steps: Option<u64>,
    /// Of answers, training and evaluation, at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    work: Option<Work>,
}

/// The questions that a stage is measured on.
#[derive(Clone, Debug, Serialize)]
struct Evaluation {
    dataset: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    num_questions: Option<usize>,
    temperature: f32,
    max_completion_length: usize,
}

impl Rounds {
    /// What the settings alone say.
    pub(crate) fn of_settings(config: &IterativeSftConfig) -> Self {
        let (answers, is_distilled) = (&config.answers, config.rounds.distill.is_some());
        let round = |round| Round {
            round,
            learning_rate: config.rounds.learning_rate(round),
            score_threshold: config.rounds.threshold(round),
            num_answers: None,
            max_samples: None,
            max_steps: None,
            work: None,
        };
        let evaluation = answers.eval_dataset.as_ref().map(|path| Evaluation {
            dataset: path.display().to_string(),
            num_questions: None,
            temperature: answers.eval_temperature,
            max_completion_length: answers.max_completion_length,
        });
        let distilled = is_distilled.then_some(KNOWN_LATER_DISTILLED);
        Self {
            first: None,
            learning_rate: config.optimizer.learning_rate,
            rounds: (1..=config.rounds.num_rounds).map(round).collect(),
            scored_by: scored_by(&config.scores),
            is_distilled,
            distillation: None,
            evaluation,
            known_later: KNOWN_LATER.into_iter().chain(distilled).collect(),
        }
    }

    /// With counts and estimates, from the data sets and the model's configuration.
    pub(crate) fn new(
        config: &IterativeSftConfig,
        distillation: Option<Distillation>,
    ) -> Result<Self> {
        let mut plan = Self { distillation, ..Self::of_settings(config) };
        let limit = config.answers.eval_limit.unwrap_or(usize::MAX);
        let held_out = config.answers.eval_dataset.as_ref();
        let num_questions =
            held_out.map(|path| anyhow::Ok(num_answered(&Dataset::read(path)?, limit)));
        let num_questions = num_questions.transpose()?;
        if let Some(evaluation) = &mut plan.evaluation {
            evaluation.num_questions = num_questions;
        }
        let num_answers = num_answered(&Dataset::read(&config.run.dataset)?, usize::MAX);
        let drawn = |num: usize| (num * config.answers.max_completion_length) as f64;
        let num_questions = num_questions.unwrap_or(0);
        let first = config.first_stage();
        let measured = Measured::samples(&first)?;
        plan.first = Some(Plan::of_sft(&first, &measured, drawn(num_questions))?);
        for round in &mut plan.rounds {
            let stage = config.stage(round.round, &config.model, &config.run.dataset);
            let of_round = Plan::of_sft(&stage, &measured, drawn(num_questions + num_answers))?;
            round.num_answers = Some(num_answers);
            round.max_samples = Some(of_round.num_samples);
            round.max_steps = Some(of_round.steps);
            round.work = Some(of_round.work);
        }
        Ok(plan)
    }

    /// Seconds of all stages here, without what distils and scores.
    fn seconds(&self) -> Option<f64> {
        let rounds = self.rounds.iter().filter_map(|round| round.work);
        Some(self.first.as_ref()?.work.seconds + rounds.map(|work| work.seconds).sum::<f64>())
    }
}

/// Samples whose answer is known, of the first so many.
fn num_answered(dataset: &Dataset, limit: usize) -> usize {
    dataset.samples.iter().take(limit).filter(|sample| sample.answer.is_some()).count()
}

fn scored_by(scores: &ScoreConfig) -> String {
    match (&scores.score_column, &scores.reward_model, &scores.judge) {
        (Some(column), ..) => format!("column `{column}`"),
        (_, Some(model), _) => format!("reward model {model}"),
        (.., Some(_)) => "the judge".to_owned(),
        _ => "rules: answer, form and repetition".to_owned(),
    }
}

impl fmt::Display for Rounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "stage-1   all samples at learning rate {:e}", self.learning_rate)?;
        if let Some(first) = &self.first {
            writeln!(f, "{first}")?;
        }
        self.rounds.iter().try_for_each(|round| writeln!(f, "{round}"))?;
        let how_often = if self.is_distilled { "before each round" } else { "once" };
        writeln!(f, "scores    by {}, {how_often}", self.scored_by)?;
        if let Some(distillation) = &self.distillation {
            writeln!(f, "distils   before stage-1 as follows, before each round as much at most")?;
            for line in distillation.to_string().lines() {
                writeln!(f, "          {line}")?;
            }
        }
        if let Some(evaluation) = &self.evaluation {
            let Evaluation { dataset, num_questions, temperature, max_completion_length } =
                evaluation;
            let num = num_questions.map_or_else(String::new, |num| format!("{num} questions of "));
            writeln!(
                f,
                "measures  every stage on {num}{dataset}, at temperature {temperature}, up to {max_completion_length} tokens each"
            )?;
        }
        if let Some(seconds) = self.seconds() {
            writeln!(
                f,
                "in all    up to {} here, scores and distillation aside",
                duration(seconds)
            )?;
        }
        let known_later: Vec<String> =
            self.known_later.iter().map(|what| format!("later     {what}")).collect();
        write!(f, "{}", known_later.join("\n"))
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { round, learning_rate, score_threshold, .. } = self;
        write!(
            f,
            "round-{round}   samples scored {score_threshold} and more, and mistakes, at learning rate {learning_rate:e}"
        )?;
        if let (Some(samples), Some(steps)) = (self.max_samples, self.max_steps) {
            write!(f, "\n          at most {samples} samples and {steps} steps")?;
        }
        if let Some(work) = self.work {
            let num = self.num_answers.unwrap_or(0);
            write!(f, ", up to {} here with {num} answers", duration(work.seconds))?;
        }
        Ok(())
    }
}
