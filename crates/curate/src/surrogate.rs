//! Scores of a surrogate reward model, and chosen responses written anew where they are weak.

use std::path::Path;

use judge::{Failure, Judge};
use reward::{Asked, Scorer};
use stages::{Entry, Keyed, Stage, Store, key};

use crate::config::CurateConfig;
use crate::pair::Pair;
use crate::questions::Regenerate;
use crate::statistics::{Dropped, Statistics};
use crate::{Error, Progress};

/// What filters by score.
pub(crate) struct Surrogate<'a, 's> {
    pub(crate) config: &'a CurateConfig,
    pub(crate) store: &'a Store,
    pub(crate) scorer: &'s mut dyn Scorer,
    /// Names what the reward model's folder holds; `None` behind an address.
    pub(crate) content: Option<String>,
    pub(crate) watch: &'a mut dyn FnMut(Progress),
}

impl Surrogate<'_, '_> {
    /// Scores every pair; a weak one is mended by the judge and scored again, or dropped.
    pub(crate) fn filter(
        &mut self,
        pairs: &mut [Pair],
        judge: &mut Judge<'_>,
        statistics: &mut Statistics,
    ) -> Result<(), Error> {
        let all: Vec<usize> = (0..pairs.len()).collect();
        self.score(pairs, &all)?;
        let weak: Vec<usize> = (0..pairs.len()).filter(|&i| self.is_weak(&pairs[i])).collect();
        self.rewrite(pairs, &weak, judge, statistics)?;
        self.score(pairs, &weak)?;
        for index in weak {
            let pair = &mut pairs[index];
            if self.is_weak(pair) {
                let [chosen, rejected] =
                    [pair.preference.score_chosen, pair.preference.score_rejected]
                        .map(|score| score.unwrap_or(f64::NAN));
                let reason = format!("chosen {chosen:.3}, rejected {rejected:.3}");
                pair.drop(Dropped::Weak, reason);
            } else if pair.is_open() {
                statistics.num_rewritten += 1;
            }
        }
        Ok(())
    }

    fn score(&mut self, pairs: &mut [Pair], indices: &[usize]) -> Result<(), Error> {
        for (done, &index) in (1..).zip(indices) {
            let pair = &mut pairs[index];
            if pair.is_open() && self.config.reward_model.is_some() {
                match self.scores(pair) {
                    Ok([chosen, rejected]) => {
                        pair.preference.score_chosen = Some(chosen);
                        pair.preference.score_rejected = Some(rejected);
                    }
                    Err(Error::Score { source, .. }) if self.config.skip_unscored => {
                        pair.drop(Dropped::Failed, source.to_string());
                    }
                    Err(error) => return Err(error),
                }
            }
            (self.watch)(Progress { step: "scores", done, total: indices.len() });
        }
        Ok(())
    }

    /// From the store, or else from the scorer.
    fn scores(&mut self, pair: &Pair) -> Result<[f64; 2], Error> {
        let model = self.config.reward_model.as_deref().unwrap_or("");
        let key = self.key(model, pair);
        if let Some(scores) = self.store.get(&key)? {
            return Ok(scores);
        }
        let preference = &pair.preference;
        let asked = Asked { prompt: &preference.prompt, folder: Path::new("") };
        let responses = [preference.chosen.as_str(), preference.rejected.as_str()];
        let scores = self.scorer.scores(&asked, &responses);
        let scores = scores.map_err(|source| Error::Score { place: pair.place.clone(), source })?;
        let scores = [scores[0], scores[1]];
        let entry = Entry {
            key: &key,
            stage: "score",
            item: &pair.hash,
            prompt_version: "score/1",
            model,
            seed: 0,
            prompt_tokens: 0,
            completion_tokens: 0,
            cost: 0.0,
        };
        self.store.put(&entry, &scores)?;
        Ok(scores)
    }

    /// Names a pair's scores by all that shapes them.
    fn key(&self, model: &str, pair: &Pair) -> String {
        let mut parts = vec!["score", model, &self.config.reward_model_name, &pair.hash];
        parts.extend(self.content.as_deref());
        key(&parts)
    }

    fn is_weak(&self, pair: &Pair) -> bool {
        let (low, near) = (self.config.min_chosen_score, self.config.min_margin);
        let chosen = pair.preference.score_chosen;
        let is_low = low.zip(chosen).is_some_and(|(low, chosen)| chosen < low);
        let is_near = near.zip(pair.preference.margin()).is_some_and(|(near, gap)| gap < near);
        pair.is_open() && (is_low || is_near)
    }

    /// Puts the judge's response in place of each weak one; those without a judge stay as they are.
    fn rewrite(
        &mut self,
        pairs: &mut [Pair],
        weak: &[usize],
        judge: &mut Judge<'_>,
        statistics: &mut Statistics,
    ) -> Result<(), Error> {
        let Judge::Model(judging) = judge else { return Ok(()) };
        judging.decoding.max_new_tokens = self.config.max_new_tokens;
        let questions = weak.iter().map(|&index| {
            let pair = &pairs[index];
            Keyed { content: pair.hash.as_str(), value: Regenerate(&pair.preference) }
        });
        let stage = Stage { name: "regenerate", seed: self.config.seed };
        let (mut ends, total) = (Vec::new(), weak.len());
        let watch = &mut *self.watch;
        self.store.ask(stage, judge, questions.collect(), &mut |number, found| {
            ends.push((weak[number], found));
            watch(Progress { step: "regeneration", done: ends.len(), total });
        })?;
        for (index, found) in ends {
            let pair = &mut pairs[index];
            match found {
                Ok(text) => {
                    pair.preference.chosen = text;
                    pair.name();
                }
                Err(Failure::Stopped { reason }) => {
                    statistics.stopped.get_or_insert(reason.clone());
                    pair.drop(Dropped::Stopped, reason);
                }
                Err(Failure::Failed { reason }) => pair.drop(Dropped::Failed, reason),
                Err(other) => pair.drop(Dropped::Weak, other.to_string()),
            }
        }
        Ok(())
    }
}
