//! What a rollout leaves to be learned, and in which updates.

use std::collections::{BTreeMap, BTreeSet};

use advantage::{Entry, Mixed};
use serde::{Deserialize, Serialize};

use super::GrpoConfig;
use super::group::Sampled;

/// Completions of one prompt that an update sees together; the prompt's rows are computed once.
pub(super) struct Tree {
    pub question: usize,
    pub completions: Vec<Learned>,
}

impl Tree {
    /// The tokens of its completions.
    pub(super) fn branches(&self) -> Vec<&[u32]> {
        self.completions.iter().map(|learned| learned.token_ids.as_slice()).collect()
    }
}

/// A completion in an update.
pub(super) struct Learned {
    pub token_ids: Vec<u32>,
    pub advantage: f64,
    /// Log-probs under the policy that the ratio is taken to; `None` where that is the policy under training.
    pub old: Option<Vec<f32>>,
    /// Log-probs it was drawn with, where something else than that policy drew it.
    pub sampled: Option<Vec<f32>>,
    /// Whether it comes from the buffer.
    pub is_replayed: bool,
    /// Whether it was made to think again, and is learned as it stands.
    pub is_rethought: bool,
}

/// A response that was made to think again and then was right.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Rethought {
    pub question: usize,
    pub token_ids: Vec<u32>,
}

/// What a rollout leaves to be learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Lesson {
    /// Completions of mixed groups, refilled from the buffer.
    pub mixed: Mixed<Sampled>,
    /// Log-probs of the fresh ones under the policy before the first update, where a later update asks for them.
    pub before: Vec<Vec<f32>>,
    /// What is learned as it stands.
    pub rethought: Vec<Rethought>,
    /// Updates made.
    pub num_done: usize,
}

impl Lesson {
    pub(super) fn new(mixed: Mixed<Sampled>, rethought: Vec<Rethought>) -> Self {
        Self { mixed, before: vec![], rethought, num_done: 0 }
    }

    /// Whether all updates were made.
    pub(super) fn is_over(&self, config: &GrpoConfig) -> bool {
        let fresh = self.mixed.entries.iter().map(|entry| entry.payload.question);
        let rethought = self.rethought.iter().map(|rethought| rethought.question);
        let questions: BTreeSet<usize> = fresh.chain(rethought).collect();
        let num_parts = num_parts(config, questions.len());
        self.num_done >= config.rollout.num_iterations * num_parts
    }

    /// The next update's completions by prompt, in micro-batches that hold whole trees.
    pub(super) fn next_update(&self, config: &GrpoConfig) -> Vec<Vec<Tree>> {
        let mut trees = self.trees(config);
        let num_parts = num_parts(config, trees.len());
        let part = self.num_done % num_parts;
        let [start, end] = [part, part + 1].map(|part| part * trees.len() / num_parts);
        micro_batches(trees.drain(start..end), config.batch.per_device_train_batch_size)
    }

    fn trees(&self, config: &GrpoConfig) -> Vec<Tree> {
        let mut trees: BTreeMap<usize, Vec<Learned>> = BTreeMap::new();
        for (index, entry) in self.mixed.entries.iter().enumerate() {
            let learned = match index < self.mixed.num_fresh {
                true => self.fresh(index, entry, config),
                false => Learned {
                    old: Some(entry.log_probs.clone()),
                    is_replayed: true,
                    ..plain(&entry.payload.token_ids, f64::from(entry.advantage))
                },
            };
            trees.entry(entry.payload.question).or_default().push(learned);
        }
        let coefficient = config.rollout.rethinking.as_ref().map_or(0.0, |r| r.coefficient);
        for Rethought { question, token_ids } in &self.rethought {
            let learned = Learned { is_rethought: true, ..plain(token_ids, coefficient) };
            trees.entry(*question).or_default().push(learned);
        }
        trees.into_iter().map(|(question, completions)| Tree { question, completions }).collect()
    }

    /// A completion of this rollout: what its ratio is taken to depends on who drew it and on how many updates ago.
    fn fresh(&self, index: usize, entry: &Entry<Sampled>, config: &GrpoConfig) -> Learned {
        let learned = plain(&entry.payload.token_ids, f64::from(entry.advantage));
        let drawn_with = || Some(entry.log_probs.clone());
        match (config.corrects_importance(), self.num_done) {
            (true, 0) => Learned { sampled: drawn_with(), ..learned },
            (true, _) => {
                Learned { old: self.before.get(index).cloned(), sampled: drawn_with(), ..learned }
            }
            (false, 0) if !config.rollout.is_apart() => learned,
            (false, _) => Learned { old: drawn_with(), ..learned },
        }
    }
}

/// A completion whose ratio is 1.
fn plain(token_ids: &[u32], advantage: f64) -> Learned {
    let token_ids = token_ids.to_vec();
    Learned {
        token_ids,
        advantage,
        old: None,
        sampled: None,
        is_replayed: false,
        is_rethought: false,
    }
}

/// Updates in one pass over a rollout: no update is empty.
fn num_parts(config: &GrpoConfig, num_trees: usize) -> usize {
    config.num_parts().min(num_trees).max(1)
}

fn micro_batches(trees: impl Iterator<Item = Tree>, batch_size: usize) -> Vec<Vec<Tree>> {
    let (mut batches, mut size) = (vec![Vec::new()], 0);
    for tree in trees {
        size += tree.completions.len();
        if size > batch_size && batches.last().is_some_and(|batch| !batch.is_empty()) {
            batches.push(Vec::new());
            size = tree.completions.len();
        }
        batches.last_mut().expect("never empty").push(tree);
    }
    batches
}
