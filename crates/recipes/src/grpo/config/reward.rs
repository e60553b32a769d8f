//! From completions to advantages.

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::config::{in_range, scorer};

/// From completions to advantages.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RewardConfig {
    /// Weights of the reward's components.
    #[serde(default)]
    pub reward_weights: RewardWeights,
    /// How the components become one advantage; by default `normalize_then_sum` where `reward_model` or `custom_reward`
    /// is set, and `sum_then_normalize` without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multi_objective_aggregation: Option<Aggregation>,
    /// What advantages are divided by.
    #[serde(default)]
    pub scale_rewards: ScaleRewards,
    /// T of the reward model's bounded scores; 1 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preference_temperature: Option<f64>,
    /// Tokens before `max_completion_length` over which the component `overlong` falls to −1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soft_punish_cache: Option<usize>,
    /// What gives the component `model`: an address that ends in `/score`, `/classify` or `/pooling`, or the folder of a
    /// reward model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reward_model: Option<String>,
    /// The reward model's name on its server; `reward-model` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reward_model_name: Option<String>,
    /// Longest wait for a reply of a server, in seconds; 60 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scorer_timeout: Option<f64>,
    /// How often a request is sent before a server counts as unreachable; 5 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scorer_tries: Option<usize>,
    /// What gives the component `custom`: a server or a program of one's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_reward: Option<CustomReward>,
}

/// A reward of one's own: `{url = "http://…"}`, or `{command = ["python3", "reward.py"]}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomReward {
    /// Where a question with its completions is posted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The program that reads them, a line each, and its arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// Longest wait for the rewards of a group, in seconds.
    #[serde(default = "scorer::timeout")]
    pub timeout: f64,
}

/// How a reward's components become one advantage: `multi_objective_aggregation` of TRL, and one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregation {
    /// Equation 7 of R1V2 (arXiv:2504.16656) to the letter: the weighted sum, then its group's mean and spread.
    SumThenNormalize,
    /// Each component by its group's mean and spread, then the weighted sum, then the spread of the batch: GDPO
    /// (arXiv:2601.05242).
    NormalizeThenSum,
    /// As the first, with the reward model's score bounded by what it has over its group: PAR (arXiv:2502.18770). A
    /// weight below the rule's then never outvotes it.
    BoundedSum,
}

/// Weights of the reward's components; R1V3 (arXiv:2507.06167), equation 3, has 0.8 and 0.2.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RewardWeights {
    /// The answer is right.
    #[serde(default = "rule_weight")]
    pub rule: f64,
    /// Thought, then one boxed answer.
    #[serde(default = "small_weight")]
    pub format: f64,
    /// The reward model's score; 0.2 by default: low, because it orders the members of groups that are all right or all
    /// wrong too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<f64>,
    /// The reward of one's own; 1 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom: Option<f64>,
    /// Minus the share of token triples that occurred before; 0 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repetition: Option<f64>,
    /// DAPO's soft punishment near `max_completion_length`, from 0 to −1; 0 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlong: Option<f64>,
}

impl Default for RewardWeights {
    fn default() -> Self {
        let (rule, format) = (rule_weight(), small_weight());
        Self { rule, format, model: None, custom: None, repetition: None, overlong: None }
    }
}

impl RewardWeights {
    /// Of the reward model.
    pub fn model(&self) -> f64 {
        self.model.unwrap_or(small_weight())
    }

    /// Of the reward of one's own.
    pub fn custom(&self) -> f64 {
        self.custom.unwrap_or(1.0)
    }

    /// Of repetition.
    pub fn repetition(&self) -> f64 {
        self.repetition.unwrap_or(0.0)
    }

    /// Of the punishment near the limit.
    pub fn overlong(&self) -> f64 {
        self.overlong.unwrap_or(0.0)
    }
}

/// What advantages are divided by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScaleRewards {
    /// The standard deviation: of the group's rewards, or of the batch where components are normalised first.
    #[default]
    Group,
    /// Nothing.
    None,
}

fn rule_weight() -> f64 {
    0.8
}

fn small_weight() -> f64 {
    0.2
}

impl RewardConfig {
    /// How the components become one advantage.
    pub fn aggregation(&self) -> Aggregation {
        let is_literal = self.reward_model.is_none() && self.custom_reward.is_none();
        self.multi_objective_aggregation.unwrap_or(match is_literal {
            true => Aggregation::SumThenNormalize,
            false => Aggregation::NormalizeThenSum,
        })
    }

    /// The reward model's name on its server.
    pub fn reward_model_name(&self) -> &str {
        self.reward_model_name.as_deref().unwrap_or("reward-model")
    }

    /// Longest wait for a reply of a server, in seconds.
    pub fn scorer_timeout(&self) -> f64 {
        self.scorer_timeout.unwrap_or_else(scorer::timeout)
    }

    /// How often a request is sent before a server counts as unreachable.
    pub fn scorer_tries(&self) -> usize {
        self.scorer_tries.unwrap_or_else(scorer::tries)
    }

    /// T of the reward model's bounded scores.
    pub fn preference_temperature(&self) -> f64 {
        self.preference_temperature.unwrap_or(1.0)
    }

    pub(super) fn validate(&self) -> Result<(), Error> {
        let weights = &self.reward_weights;
        for (key, weight) in [
            ("reward_weights.rule", weights.rule),
            ("reward_weights.format", weights.format),
            ("reward_weights.model", weights.model()),
            ("reward_weights.custom", weights.custom()),
            ("reward_weights.repetition", weights.repetition()),
            ("reward_weights.overlong", weights.overlong()),
        ] {
            in_range(weight >= 0.0 && weight.is_finite(), key, &weight, "a finite number from 0")?;
        }
        let temperature = self.preference_temperature();
        let holds = temperature > 0.0 && temperature.is_finite();
        in_range(holds, "preference_temperature", &temperature, "a finite number above 0")?;
        scorer::check(self.scorer_timeout(), self.scorer_tries())?;
        if let Some(custom) = &self.custom_reward {
            custom.validate()?;
        }
        match weights.overlong() > 0.0 && self.soft_punish_cache.is_none() {
            true => Err(Error::Contradiction {
                first: format!("reward_weights.overlong = {}", weights.overlong()),
                second: "soft_punish_cache is not set".to_owned(),
                why: "nothing says where the punishment begins",
            }),
            false => Ok(()),
        }
    }
}

impl CustomReward {
    fn validate(&self) -> Result<(), Error> {
        scorer::check_timeout("custom_reward.timeout", self.timeout)?;
        match (&self.url, &self.command) {
            (Some(_), None) | (None, Some(_)) => Ok(()),
            _ => Err(Error::Value {
                key: "custom_reward",
                value: format!("{self:?}"),
                expected: "either a url or a command",
            }),
        }
    }
}
