//! Scores of responses: of new ones, and of those that an earlier build has.

use std::collections::{BTreeMap, HashMap};

use data::{Dataset, prompt_of};
use reward::{Asked, Scorer};

use super::config::BuildConfig;
use super::entry::Entry;
use crate::Error;
use crate::journal::Journal;
use crate::mpo::BadPairs;
use crate::run::Notice;

/// What scores.
pub(super) struct Scoring<'a, 's> {
    pub build: &'a BuildConfig,
    pub dataset: &'a Dataset,
    /// `None` where only the rule decides.
    pub scorer: Option<&'s mut dyn Scorer>,
}

impl Scoring<'_, '_> {
    /// Asks again for scores that an earlier run did not get. They stand in a line after the first one, and it counts.
    pub(super) fn ask_again(
        &mut self,
        journal: &mut Journal<Entry>,
        notices: &mut dyn FnMut(&Notice),
    ) -> Result<(), Error> {
        let unscored = journal.entries.values().filter(|entry| entry.score_error.is_some());
        for mut entry in unscored.cloned().collect::<Vec<_>>() {
            self.score(&mut entry, notices)?;
            if entry.score_error.is_none() {
                journal.add(entry)?;
            }
        }
        Ok(())
    }

    /// Scores what an earlier build sampled, and adds it to a journal that lacks it.
    pub(super) fn take_over(
        &mut self,
        earlier: BTreeMap<usize, Entry>,
        journal: &mut Journal<Entry>,
        notices: &mut dyn FnMut(&Notice),
    ) -> Result<(), Error> {
        let total = self.dataset.samples.len();
        for (prompt, mut entry) in earlier {
            if prompt < total && !journal.entries.contains_key(&prompt) {
                entry.score_error = None;
                entry.responses.iter_mut().for_each(|response| response.score = None);
                self.score(&mut entry, notices)?;
                journal.add(entry)?;
                notices(&Notice::Sampled { done: journal.entries.len(), total });
            }
        }
        Ok(())
    }

    /// Scores what was said. What was said twice is shown to the scorer once, and nothing that is empty.
    pub(super) fn score(
        &mut self,
        entry: &mut Entry,
        notices: &mut dyn FnMut(&Notice),
    ) -> Result<(), Error> {
        let Some(scorer) = &mut self.scorer else { return Ok(()) };
        let prompt = prompt_of(&self.dataset.samples[entry.prompt]);
        let asked = Asked { prompt: &prompt, folder: self.dataset.folder() };
        let mut texts: Vec<&str> = Vec::new();
        for response in &entry.responses {
            let text = response.text.as_str();
            if !text.trim().is_empty() && !texts.contains(&text) {
                texts.push(text);
            }
        }
        match scorer.scores(&asked, &texts) {
            Ok(scores) => {
                let texts = texts.into_iter().map(str::to_owned);
                let scores: HashMap<String, f64> = texts.zip(scores).collect();
                for response in &mut entry.responses {
                    response.score = scores.get(&response.text).copied();
                }
                entry.score_error = None;
            }
            Err(source) => {
                let place = self.dataset.place(entry.prompt);
                if self.build.bad_scores == BadPairs::Stop {
                    return Err(Error::Score { place, source });
                }
                entry.score_error = Some(source.to_string());
                notices(&Notice::Unscored { place, reason: source.to_string() });
            }
        }
        Ok(())
    }
}
