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
    /// Where the draws come from; each step has its own stream.
    pub seed: u64,
}

impl ReplayConfig {
    /// Capacity `8 N`, four steps, `α = 1`; the paper gives no values, VL-Rethinker
    /// (arXiv:2504.08837) gives `α`.
    pub fn new(num_responses: usize, seed: u64) -> Self {
        Self { num_responses, capacity: 8 * num_responses, staleness: 4, exponent: 1.0, seed }
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
}

/// The completions of one update.
#[derive(Clone, Debug, PartialEq)]
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
    /// Oldest first.
    entries: VecDeque<Entry<T>>,
}

impl<T> Default for ReplayBuffer<T> {
    fn default() -> Self {
        Self { entries: VecDeque::new() }
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
        let excess = self.entries.len().saturating_sub(config.capacity);
        self.entries.drain(..excess);
        let entries = fresh.into_iter().chain(drawn).collect();
        Mixed { entries, num_fresh, effective_before, effective_after }
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
        for (index, entry) in self.entries.iter().enumerate() {
            let priority = f64::from(entry.advantage.abs());
            // every entry uses one number, drawn or not, so that its luck is its own
            let luck = -(1.0 - rng.random::<f64>()).ln();
            if priority > 0.0 {
                waiting.push((luck / priority.powf(config.exponent), index));
            }
        }
        waiting.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        waiting.iter().take(count).map(|&(_, index)| self.entries[index].clone()).collect()
    }
}
