//! A group with its rewards, and what is logged about the groups of a step.

use std::collections::BTreeMap;

use advantage::is_effective;
use reward::{Component, correlation, repetition_rate};
use schema::{Completion, FinishReason};
use serde::{Deserialize, Serialize};

use super::flight::Origin;

/// Tokens of what counts as a repetition: the usual three.
pub(super) const REPETITION_LENGTH: usize = 3;

/// The completions of one prompt, scored.
pub(super) struct Group {
    /// Which question.
    pub question: usize,
    /// Where they come from.
    pub origin: Origin,
    /// The completions.
    pub completions: Vec<Completion>,
    /// The rewards by component, the rule's first.
    pub components: Vec<Scored>,
    /// Weighted sum of the components.
    pub rewards: Vec<f64>,
    /// Group-relative advantages.
    pub advantages: Vec<f64>,
}

/// One component's rewards in a group.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scored {
    pub name: &'static str,
    pub weight: f64,
    /// As they were given: not bounded, not normalised.
    pub rewards: Vec<f64>,
}

impl Scored {
    pub(super) fn as_component(&self) -> Component<'_> {
        Component { name: self.name, weight: self.weight, rewards: &self.rewards }
    }
}

impl Group {
    /// 1 where the answer is right.
    pub(super) fn rule(&self) -> &[f64] {
        &self.components[0].rewards
    }

    /// Whether the group teaches anything: rule outcomes are mixed.
    pub(super) fn is_effective(&self) -> bool {
        is_effective(&self.rule().iter().map(|&rule| rule > 0.0).collect::<Vec<_>>())
    }

    /// Whether all rewards are the same. Their standard deviation may be off zero by rounding.
    fn is_uniform(&self) -> bool {
        self.rewards.iter().all(|reward| reward == &self.rewards[0])
    }

    /// Whether no completion came to its end.
    fn is_truncated(&self) -> bool {
        self.completions.iter().all(is_truncated)
    }

    /// Sample standard deviation of the rewards.
    fn std(&self) -> f64 {
        Component { name: "reward", weight: 1.0, rewards: &self.rewards }.statistics().std
    }
}

/// Whether a completion was cut off.
pub(super) fn is_truncated(completion: &Completion) -> bool {
    completion.finish_reason == FinishReason::Length
}

/// A completion as the buffer keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Sampled {
    /// Which question.
    pub question: usize,
    /// Its tokens.
    pub token_ids: Vec<u32>,
}

/// What a step logs about all groups it drew, under TRL's names where it has one.
pub(super) fn metrics(groups: &[Group], metrics: &mut BTreeMap<String, f64>) {
    component_metrics(groups, metrics);
    let share = |holds: fn(&Group) -> bool| {
        mean(groups.iter().map(|group| f64::from(u8::from(holds(group)))))
    };
    let sizes = groups.iter().map(|group| group.completions.len() as f64);
    let effective =
        groups.iter().filter(|g| g.is_effective()).map(|group| group.completions.len() as f64);
    let values = [
        ("reward", mean(groups.iter().flat_map(|group| &group.rewards).copied())),
        ("reward_std", mean(groups.iter().map(Group::std))),
        ("frac_reward_zero_std", share(Group::is_uniform)),
        ("frac_groups_truncated", share(Group::is_truncated)),
        ("effective_fraction/before", effective.sum::<f64>() / sizes.sum::<f64>()),
    ];
    metrics.extend(values.map(|(name, value)| (name.to_owned(), value)));
    completion_metrics(groups.iter().flat_map(|group| &group.completions), metrics);
}

/// Mean and spread of every component, and how any two go together.
fn component_metrics(groups: &[Group], metrics: &mut BTreeMap<String, f64>) {
    let Some(first) = groups.first() else { return };
    let of = |index: usize| -> Vec<f64> {
        groups.iter().flat_map(|group| &group.components[index].rewards).copied().collect()
    };
    let names = first.components.iter().map(|component| component.name);
    let all: Vec<(&str, Vec<f64>)> =
        names.enumerate().map(|(index, name)| (name, of(index))).collect();
    for (index, (name, rewards)) in all.iter().enumerate() {
        let statistics = Component { name, weight: 1.0, rewards }.statistics();
        metrics.insert(format!("rewards/{name}/mean"), statistics.mean);
        metrics.insert(format!("rewards/{name}/std"), statistics.std);
        for (other, others) in &all[..index] {
            if let Some(value) = correlation(others, rewards) {
                metrics.insert(format!("rewards/correlation/{other}_{name}"), value);
            }
        }
    }
}

/// What is logged about the completions as texts.
fn completion_metrics<'a>(
    completions: impl Iterator<Item = &'a Completion> + Clone,
    metrics: &mut BTreeMap<String, f64>,
) {
    let length = |completion: &Completion| completion.token_ids.len() as f64;
    let ended = completions.clone().filter(|c| c.finish_reason == FinishReason::Stop);
    let clipped =
        completions.clone().map(|completion| f64::from(u8::from(is_truncated(completion))));
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

/// The mean, 0 of nothing.
pub(super) fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let (sum, count) =
        values.into_iter().fold((0.0, 0_u64), |(sum, count), value| (sum + value, count + 1));
    sum / count.max(1) as f64
}
