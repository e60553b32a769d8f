//! The Selective Sample Buffer: completions of earlier steps refill an update in which too few teach.

use std::collections::VecDeque;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// How a [`ReplayBuffer`] keeps and draws.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReplayConfig {
    /// `N`: completions in one update, prompts × group size.
    pub num_responses: usize,
    /// Entries kept at most; the oldest leave first.
    pub capacity: usize,
    /// `S`: an entry is drawn at most this many steps after its own.
    pub staleness: u64,
    /// `α`: an entry is drawn in proportion to `|Â|^α`.
    pub exponent: f64,
    /// What is drawn at once.
    pub unit: ReplayUnit,
    /// Where the draws come from; each step has its own stream.
    pub seed: u64,
}

/// What a [`ReplayBuffer`] draws at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplayUnit {
    /// One completion, by its own `|Â|^α`: VL-Rethinker's SSR.
    #[default]
    Response,
    /// All kept completions of a group, by the sum of theirs: TRL's replay buffer. A group that is larger than what
    /// is missing is passed over.
    Group,
}

impl ReplayConfig {
    /// Capacity `8 N`, four steps, `α = 1`; the paper gives no values, VL-Rethinker
    /// (arXiv:2504.08837) gives `α`.
    pub fn new(num_responses: usize, seed: u64) -> Self {
        let unit = ReplayUnit::Response;
        Self { num_responses, capacity: 8 * num_responses, staleness: 4, exponent: 1.0, unit, seed }
    }
}

/// One completion with what an update needs of it. `T` is the rest: prompt, image, tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry<T> {
    /// What the caller needs to train on it.
    pub payload: T,
    /// `Â` at the step it was drawn by the policy; kept, not computed again. `f32`, so that it
    /// survives a text file to the bit.
    pub advantage: f32,
    /// The log-probs of its tokens under the policy that drew it.
    pub log_probs: Vec<f32>,
    /// The step at which the policy drew it.
    pub step: u64,
    /// Names its group: completions of one prompt drawn together have the same number.
    pub group: u64,
}

/// The completions of one update.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mixed<T> {
    /// The step's own completions in their order, then those of earlier steps in the order drawn.
    pub entries: Vec<Entry<T>>,
    /// How many of them are the step's own.
    pub num_fresh: usize,
    /// The share of `N` that teaches without the buffer.
    pub effective_before: f64,
    /// The share of `N` that teaches with it; the paper aims above 0.6.
    pub effective_after: f64,
}

/// The Selective Sample Buffer of R1V2 (arXiv:2504.16656), section 3.3.2: completions of mixed
/// groups, kept for some steps.
///
/// The paper describes it in prose; the rest follows SSR of VL-Rethinker (arXiv:2504.08837). The
/// unit is one completion, and its ratio uses the stored log-probs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplayBuffer<T> {
    /// Of the form in which it is saved.
    #[serde(deserialize_with = "known_version")]
    version: u32,
    /// Oldest first.
    entries: VecDeque<Entry<T>>,
}

/// The form in which a buffer is saved; another number means that older or newer programs cannot read it.
const VERSION: u32 = 1;

fn known_version<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    match u32::deserialize(from)? {
        VERSION => Ok(VERSION),
        other => Err(serde::de::Error::custom(format!("version {other}, expected {VERSION}"))),
    }
}

impl<T> Default for ReplayBuffer<T> {
    fn default() -> Self {
        Self { version: VERSION, entries: VecDeque::new() }
    }
}

impl<T: Clone> ReplayBuffer<T> {
    /// Refills the completions `fresh` of this step's effective groups up to `N` from earlier steps,
    /// then keeps them.
    ///
    /// ```text
    /// R = max(0, N − |E|) draws from B \ E with P(j) = |Â_j|^α / Σ |Â|^α
    /// B ← B + E, less what is too old or too much;    update on E + R
    /// ```
    ///
    /// Drawn without replacement, so an update repeats nothing: when the buffer is exhausted the
    /// update stays smaller than `N`. A zero advantage is never drawn (it would not move anything).
    pub fn mix(&mut self, fresh: Vec<Entry<T>>, step: u64, config: &ReplayConfig) -> Mixed<T> {
        self.entries.retain(|entry| step.saturating_sub(entry.step) <= config.staleness);
        let num_fresh = fresh.len();
        let num_missing = config.num_responses.saturating_sub(num_fresh);
        let drawn = self.draw(num_missing, step, config);
        let share = |count: usize| count as f64 / config.num_responses.max(1) as f64;
        let (effective_before, effective_after) =
            (share(num_fresh), share(num_fresh + drawn.len()));

        self.entries.extend(fresh.iter().cloned());
        self.entries.drain(..self.excess(config));
        let entries = fresh.into_iter().chain(drawn).collect();
        Mixed { entries, num_fresh, effective_before, effective_after }
    }

    /// How many entries, the oldest ones, are too many; where groups are drawn, none is left in part.
    fn excess(&self, config: &ReplayConfig) -> usize {
        let mut excess = self.entries.len().saturating_sub(config.capacity);
        let is_split = |excess: usize| {
            let group = |index: usize| self.entries.get(index).map(|entry| entry.group);
            excess > 0 && group(excess).is_some() && group(excess) == group(excess - 1)
        };
        while config.unit == ReplayUnit::Group && is_split(excess) {
            excess += 1;
        }
        excess
    }

    /// Whether there is anything to draw at `step`.
    pub fn is_drawable(&self, step: u64, config: &ReplayConfig) -> bool {
        let is_drawable = |entry: &Entry<T>| {
            step.saturating_sub(entry.step) <= config.staleness && entry.advantage.abs() > 0.0
        };
        self.entries.iter().any(is_drawable)
    }

    /// Forgets everything: SSR does so whenever the rollout policy is synchronised.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// How many completions are kept.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Weighted draws without replacement: the smallest of exponential waiting times with rates `|Â|^α`
    /// (Efraimidis and Spirakis, 2006), which is the same as drawing one after another.
    fn draw(&self, count: usize, step: u64, config: &ReplayConfig) -> Vec<Entry<T>> {
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
        rng.set_stream(step);
        let mut waiting = vec![];
        for members in self.units(config.unit) {
            let priorities = members.iter().map(|&i| f64::from(self.entries[i].advantage.abs()));
            let weight: f64 = priorities
                .filter(|&p| p > 0.0)
                .map(|priority| priority.powf(config.exponent))
                .sum();
            // every unit uses one number, drawn or not, so that its luck is its own
            let luck = -(1.0 - rng.random::<f64>()).ln();
            if weight > 0.0 {
                waiting.push((luck / weight, members));
            }
        }
        waiting.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let mut drawn = Vec::with_capacity(count);
        for (_, members) in waiting {
            if drawn.len() + members.len() <= count {
                drawn.extend(members.into_iter().map(|index| self.entries[index].clone()));
            }
        }
        drawn
    }

    /// Indices of the entries that are drawn together, oldest first.
    fn units(&self, unit: ReplayUnit) -> Vec<Vec<usize>> {
        if unit == ReplayUnit::Response {
            return (0..self.entries.len()).map(|index| vec![index]).collect();
        }
        // Entries of one group came together and leave oldest first, so they stand side by side.
        let mut units: Vec<Vec<usize>> = vec![];
        for (index, entry) in self.entries.iter().enumerate() {
            match units.last_mut().filter(|unit| self.entries[unit[0]].group == entry.group) {
                Some(unit) => unit.push(index),
                None => units.push(vec![index]),
            }
        }
        units
    }
}
