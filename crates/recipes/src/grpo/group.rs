//! Reward and advantage of a group, and what is logged about the groups of a step.

use std::collections::BTreeMap;

use advantage::{Scale, group_relative, is_effective};
use reward::{Component, Opening, combine, format_reward, repetition_rate, verify};
use schema::{Completion, FinishReason};
use serde::{Deserialize, Serialize};

use super::questions::Questions;
use super::{GrpoConfig, RewardWeights};

/// Tokens of what counts as a repetition: the usual three.
const REPETITION_LENGTH: usize = 3;

/// The completions of one prompt, scored.
pub(super) struct Group {
    /// Which question.
    pub question: usize,
    /// The completions.
    pub completions: Vec<Completion>,
    /// 1 where the answer is right.
    pub rule: Vec<f64>,
    /// 1 where thought and answer have their form.
    pub format: Vec<f64>,
    /// Weighted sum of the components.
    pub rewards: Vec<f64>,
    /// Group-relative advantages.
    pub advantages: Vec<f64>,
}

impl Group {
    /// Whether the group teaches anything: rule outcomes are mixed.
    pub(super) fn is_effective(&self) -> bool {
        is_effective(&self.rule.iter().map(|&rule| rule > 0.0).collect::<Vec<_>>())
    }

    /// Whether all rewards are the same. Their standard deviation may be off zero by rounding.
    fn is_uniform(&self) -> bool {
        self.rewards.iter().all(|reward| reward == &self.rewards[0])
    }

    /// Sample standard deviation of the rewards.
    fn std(&self) -> f64 {
        Component { name: "reward", weight: 1.0, rewards: &self.rewards }.statistics().std
    }
}

/// A completion as the buffer keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Sampled {
    /// Which question.
    pub question: usize,
    /// Its tokens.
    pub token_ids: Vec<u32>,
}

/// From completions to rewards and advantages.
pub(super) struct Scorer {
    weights: RewardWeights,
    scale: Scale,
}

impl Scorer {
    pub(super) fn new(config: &GrpoConfig) -> Self {
        Self { weights: config.reward.reward_weights, scale: config.scale() }
    }

    /// Scores the completions of question number `question`.
    pub(super) fn score(
        &self,
        questions: &Questions,
        question: usize,
        completions: Vec<Completion>,
    ) -> Group {
        let gold = &questions.answers[question];
        let opening = match questions.prompts[question].opens_thought() {
            true => Opening::InPrompt,
            false => Opening::InCompletion,
        };
        let texts = || completions.iter().map(|completion| completion.text.as_str());
        let correct = |text: &str| {
            let response = opening.response(text);
            f64::from(u8::from(verify(gold, &response).equivalent))
        };
        let rule: Vec<f64> = texts().map(correct).collect();
        let format: Vec<f64> = texts().map(|text| format_reward(text, opening)).collect();
        let rewards = combine(&[
            Component { name: "rule", weight: self.weights.rule, rewards: &rule },
            Component { name: "format", weight: self.weights.format, rewards: &format },
        ]);
        let advantages = group_relative(&rewards, self.scale);
        Group { question, completions, rule, format, rewards, advantages }
    }
}

/// What a step logs about all groups it drew, under TRL's names where it has one.
pub(super) fn metrics(groups: &[Group], metrics: &mut BTreeMap<String, f64>) {
    let all = |values: fn(&Group) -> &Vec<f64>| -> Vec<f64> {
        groups.iter().flat_map(values).copied().collect()
    };
    for (name, rewards) in [("rule", all(|group| &group.rule)), ("format", all(|g| &g.format))] {
        let statistics = Component { name, weight: 1.0, rewards: &rewards }.statistics();
        metrics.insert(format!("rewards/{name}/mean"), statistics.mean);
        metrics.insert(format!("rewards/{name}/std"), statistics.std);
    }
    let share = |holds: fn(&Group) -> bool| {
        mean(groups.iter().map(|group| f64::from(u8::from(holds(group)))))
    };
    let sizes = groups.iter().map(|group| group.completions.len() as f64);
    let effective =
        groups.iter().filter(|g| g.is_effective()).map(|group| group.completions.len() as f64);
    let values = [
        ("reward", mean(all(|group| &group.rewards))),
        ("reward_std", mean(groups.iter().map(Group::std))),
        ("frac_reward_zero_std", share(Group::is_uniform)),
        ("effective_fraction/before", effective.sum::<f64>() / sizes.sum::<f64>()),
    ];
    metrics.extend(values.map(|(name, value)| (name.to_owned(), value)));
    completion_metrics(groups.iter().flat_map(|group| &group.completions), metrics);
}

/// What is logged about the completions as texts.
fn completion_metrics<'a>(
    completions: impl Iterator<Item = &'a Completion> + Clone,
    metrics: &mut BTreeMap<String, f64>,
) {
    let length = |completion: &Completion| completion.token_ids.len() as f64;
    let ended = completions.clone().filter(|c| c.finish_reason == FinishReason::Stop);
    let clipped = completions
        .clone()
        .map(|completion| f64::from(u8::from(completion.finish_reason == FinishReason::Length)));
    let repetition = completions.clone().map(|c| repetition_rate(&c.token_ids, REPETITION_LENGTH));
    let lengths = completions.map(length);
    let values = [
        ("mean_length", mean(lengths.clone())),
        ("min_length", lengths.clone().fold(f64::INFINITY, f64::min)),
        ("max_length", lengths.clone().fold(0.0, f64::max)),
        ("mean_terminated_length", mean(ended.map(length))),
        ("clipped_ratio", mean(clipped)),
        ("repetition_rate", mean(repetition)),
    ];
    metrics.extend(values.map(|(name, value)| (format!("completions/{name}"), value)));
    metrics.insert("num_sampled_tokens".to_owned(), lengths.sum());
}

fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let (sum, count) =
        values.into_iter().fold((0.0, 0_u64), |(sum, count), value| (sum + value, count + 1));
    sum / count.max(1) as f64
}
