//! Reward and advantage of a group, and what is logged about the groups of a step.

use std::collections::BTreeMap;

use advantage::{Mixed, Scale, group_relative, is_effective};
use reward::{Component, Opening, combine, format_reward, verify};
use schema::{Completion, FinishReason};
use serde::{Deserialize, Serialize};

use super::{GrpoConfig, Questions, RewardWeights};

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
        Self { weights: config.reward_weights, scale: config.scale() }
    }

    /// Scores the completions of question number `question`.
    pub(super) fn score(
        &self,
        questions: &Questions,
        question: usize,
        completions: Vec<Completion>,
    ) -> Group {
        let gold = &questions.answers[question];
        let opening = match questions.rendered[question].opens_thought() {
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
        let RewardWeights { rule: rule_weight, format: format_weight } = self.weights;
        let combined = combine(&[
            Component { name: "rule", weight: rule_weight, rewards: &rule },
            Component { name: "format", weight: format_weight, rewards: &format },
        ]);
        let advantages = group_relative(&combined.rewards, self.scale);
        Group { question, completions, rule, format, rewards: combined.rewards, advantages }
    }
}

/// What a step logs about its groups, under TRL's names where it has one.
pub(super) fn metrics(
    groups: &[Group],
    mixed: &Mixed<Sampled>,
    metrics: &mut BTreeMap<String, f64>,
) {
    let all = |values: fn(&Group) -> &Vec<f64>| mean(groups.iter().flat_map(values).copied());
    let completions = || groups.iter().flat_map(|group| &group.completions);
    let lengths = || completions().map(|completion| completion.token_ids.len() as f64);
    let clipped = completions()
        .map(|completion| f64::from(u8::from(completion.finish_reason == FinishReason::Length)));
    let share = |holds: fn(&Group) -> bool| {
        mean(groups.iter().map(|group| f64::from(u8::from(holds(group)))))
    };
    let values = [
        ("reward", all(|group| &group.rewards)),
        ("reward_std", mean(groups.iter().map(|group| std(&group.rewards)))),
        ("frac_reward_zero_std", share(|group| std(&group.rewards) == 0.0)),
        ("rewards/rule/mean", all(|group| &group.rule)),
        ("rewards/format/mean", all(|group| &group.format)),
        ("completions/mean_length", mean(lengths())),
        ("completions/max_length", lengths().fold(0.0, f64::max)),
        ("completions/clipped_ratio", mean(clipped)),
        ("effective_groups", share(Group::is_effective)),
        ("effective_fraction/before", mixed.effective_before),
        ("effective_fraction/after", mixed.effective_after),
        ("num_sampled_tokens", lengths().sum()),
    ];
    metrics.extend(values.map(|(name, value)| (name.to_owned(), value)));
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0_u64), |(sum, count), value| (sum + value, count + 1));
    sum / count.max(1) as f64
}

fn std(values: &[f64]) -> f64 {
    let average = mean(values.iter().copied());
    let squares = values.iter().map(|value| (value - average).powi(2)).sum::<f64>();
    (squares / values.len().saturating_sub(1).max(1) as f64).sqrt()
}
