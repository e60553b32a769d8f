//! How completions are drawn, and how often a rollout is learned from.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::config::{Storage, in_range};

/// How completions are drawn.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RolloutConfig {
    /// Completions of each prompt: the size G of a group.
    #[serde(default = "eight")]
    pub num_generations: usize,
    /// The most tokens of a completion.
    #[serde(default = "max_completion_length")]
    pub max_completion_length: usize,
    /// Softmax temperature of the rollouts, and of the log-probs under training.
    #[serde(default = "unit")]
    pub temperature: f32,
    /// Sample among the `top_k` most probable tokens; 0 for all.
    #[serde(default)]
    pub top_k: usize,
    /// Sample among the smallest set of tokens with this probability.
    #[serde(default = "unit")]
    pub top_p: f32,
    /// CTRL repetition penalty of the rollouts.
    #[serde(default = "unit")]
    pub repetition_penalty: f32,
    /// Micro-batches of one rollout, a multiple of `gradient_accumulation_steps` and by default as many: each part of
    /// that size is an update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps_per_generation: Option<usize>,
    /// How often the updates of a rollout are gone through: μ of the GRPO paper.
    #[serde(default = "one")]
    pub num_iterations: usize,
    /// Draw further prompts until the update is full of completions from mixed groups.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dynamic_sampling: bool,
    /// The most rollouts of one step, whether the first taught nothing or too little; 20 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_num_gen_batches: Option<usize>,
    /// Rollouts that may be drawn ahead of the policy: while one is learned from, the next are drawn by the policy of
    /// up to so many rollouts before. 0, the default, draws and learns in turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_staleness: Option<usize>,
    /// Storage of the weights that draw, where it is not that of the weights under training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout_dtype: Option<Storage>,
    /// Draw once from every prompt before training, and train on those that the policy answers both right and wrong.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub warm_start: bool,
    /// The pool that an earlier warm start left, in place of drawing one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_pool: Option<PathBuf>,
    /// Forced rethinking of some responses; none when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rethinking: Option<RethinkingConfig>,
}

/// Forced rethinking: a response is cut, told to doubt, and goes on; what then ends right is learned as it stands.
///
/// VL-Rethinker (arXiv:2504.08837), section 4.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RethinkingConfig {
    /// Share q of the responses that are made to think again.
    #[serde(default = "rethink_share")]
    pub share: f64,
    /// Weight of what is learned so, where a response of the group has its advantage.
    #[serde(default = "rethink_coefficient")]
    pub coefficient: f64,
    /// The most rethought responses of a prompt that are kept.
    #[serde(default = "two")]
    pub max_per_prompt: usize,
    /// What a response is made to go on with; one of them is drawn for each.
    #[serde(default = "triggers")]
    pub triggers: Vec<String>,
}

/// R1V (arXiv:2504.05599), section 2.2, as are temperature and length.
fn eight() -> usize {
    8
}

fn max_completion_length() -> usize {
    8192
}

fn unit() -> f32 {
    1.0
}

fn one() -> usize {
    1
}

fn two() -> usize {
    2
}

/// VL-Rethinker's code skips 35 % of the responses at random.
fn rethink_share() -> f64 {
    0.65
}

/// VL-Rethinker's code.
fn rethink_coefficient() -> f64 {
    0.05
}

/// VL-Rethinker's three kinds: self-questioning, self-correction, self-verification.
fn triggers() -> Vec<String> {
    ["does it seem right?", "there might be a mistake.", "let's double check."]
        .map(|doubt| format!("\n\nWait, {doubt}"))
        .into()
}

impl RolloutConfig {
    /// Whether something else than the policy under training draws: an earlier policy, or one in fewer bits.
    pub fn is_apart(&self) -> bool {
        self.max_staleness() > 0 || self.rollout_dtype.is_some()
    }

    /// Rollouts that may be drawn ahead.
    pub fn max_staleness(&self) -> usize {
        self.max_staleness.unwrap_or(0)
    }

    /// The most rollouts of one step.
    pub fn max_num_gen_batches(&self) -> usize {
        self.max_num_gen_batches.unwrap_or(20)
    }

    pub(super) fn validate(&self) -> Result<(), Error> {
        let expected = "at least 2: a completion is compared with the others of its group";
        in_range(self.num_generations >= 2, "num_generations", &self.num_generations, expected)?;
        in_range(self.max_completion_length > 0, "max_completion_length", &0, "at least 1")?;
        let expected = "more than 0: greedy completions of a group are all the same";
        in_range(self.temperature > 0.0, "temperature", &self.temperature, expected)?;
        in_range(self.num_iterations > 0, "num_iterations", &0, "at least 1")?;
        in_range(self.max_num_gen_batches != Some(0), "max_num_gen_batches", &0, "at least 1")?;
        self.validate_apart()?;
        self.validate_pool()?;
        self.rethinking.as_ref().map_or(Ok(()), RethinkingConfig::validate)
    }

    /// The log-probs of tokens drawn elsewhere are the sampler's, which are those at temperature 1.
    fn validate_apart(&self) -> Result<(), Error> {
        let (Self { temperature, top_k, top_p, .. }, max_staleness) = (self, self.max_staleness());
        let penalty = self.repetition_penalty;
        let is_plain = *temperature == 1.0 && *top_k == 0 && *top_p == 1.0 && penalty == 1.0;
        match self.is_apart() && !is_plain {
            true => Err(Error::Contradiction {
                first: format!("max_staleness = {max_staleness} or rollout_dtype"),
                second: format!(
                    "temperature = {temperature}, top_k = {top_k}, top_p = {top_p}, repetition_penalty = {penalty}"
                ),
                why: "the weights of what another policy drew are known at temperature 1 without filters only",
            }),
            false => Ok(()),
        }
    }

    fn validate_pool(&self) -> Result<(), Error> {
        match &self.prompt_pool {
            Some(pool) if self.warm_start => Err(Error::Contradiction {
                first: "warm_start = true".to_owned(),
                second: format!("prompt_pool = {:?}", pool.display()),
                why: "the pool is either drawn or given",
            }),
            _ => Ok(()),
        }
    }
}

impl RethinkingConfig {
    fn validate(&self) -> Result<(), Error> {
        let Self { share, coefficient, max_per_prompt, triggers } = self;
        let holds = *share > 0.0 && *share < 1.0;
        in_range(holds, "rethinking.share", share, "above 0 and below 1")?;
        let holds = *coefficient > 0.0 && coefficient.is_finite();
        in_range(holds, "rethinking.coefficient", coefficient, "a finite number above 0")?;
        in_range(*max_per_prompt > 0, "rethinking.max_per_prompt", &0, "at least 1")?;
        let holds = !triggers.is_empty() && triggers.iter().all(|trigger| !trigger.is_empty());
        let shown = format!("{triggers:?}");
        in_range(holds, "rethinking.triggers", &shown, "one or more texts, none of them empty")
    }
}
