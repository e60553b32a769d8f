//! Preference files to the pairs that train and those that are held out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use data::{Order, Preference, Preferences};
use preprocess::{Judged, Processor};

use super::{PairConfig, RewardConfig};
use crate::Error;
use crate::config::in_range;
use crate::identity::{self, Identity};
use crate::mpo::report_left_out;
use crate::run::Notice;

/// One pair as the model reads it.
pub(super) struct JudgedPair {
    /// The prompt, with the chosen response as the first branch and the rejected one as the second.
    pub(super) judged: Judged,
    /// File and line.
    pub(super) place: String,
}

impl JudgedPair {
    fn key(&self) -> String {
        let Judged { prefix, branches, images, .. } = &self.judged;
        identity::key([prefix, &branches[0], &branches[1]], images)
    }
}

/// The pairs of a stage.
pub(super) struct Pairs {
    pub(super) train: Vec<JudgedPair>,
    pub(super) held_out: Vec<JudgedPair>,
}

/// Names the pairs that train.
pub(super) fn identity(train: &[JudgedPair]) -> Identity {
    Identity::of("pairs", train.iter().map(JudgedPair::key))
}

/// What was left out of a file besides what [`Preferences::read`] reports.
#[derive(Default)]
struct LeftOut {
    num_ties: usize,
    num_long: usize,
}

impl Pairs {
    /// Reads the files of a stage. Pairs that nothing can be learned from are left out and told to
    /// `notices`, or end the run.
    pub(super) fn read(
        config: &RewardConfig,
        processor: &Processor,
        notices: &mut dyn FnMut(&Notice),
    ) -> Result<Self, Error> {
        let mut pairs = Self { train: Vec::new(), held_out: Vec::new() };
        for path in config.datasets() {
            let read = usable(config, path, notices)?;
            let held_out = held_out_prompts(config, &read);
            for (judged, index) in judge_all(config, processor, &read, notices)? {
                let pair = JudgedPair { judged, place: read.place(index) };
                match held_out.contains(&key(&read.pairs[index])) {
                    true => pairs.held_out.push(pair),
                    false => pairs.train.push(pair),
                }
            }
        }
        if let Some(path) = &config.pairs.eval_dataset {
            let read = usable(config, path, notices)?;
            for (judged, index) in judge_all(config, processor, &read, notices)? {
                pairs.held_out.push(JudgedPair { judged, place: read.place(index) });
            }
        }
        pairs.check(config)?;
        Ok(pairs)
    }

    /// There must be pairs to train on, and pairs to measure where they were asked for.
    fn check(&self, config: &RewardConfig) -> Result<(), Error> {
        if self.train.is_empty() {
            return Err(Error::Empty { path: config.run.dataset.clone() });
        }
        let PairConfig { eval_dataset, split_dataset_ratio: share, .. } = &config.pairs;
        let is_measured = !self.held_out.is_empty();
        if let Some(path) = eval_dataset.as_ref().filter(|_| !is_measured) {
            return Err(Error::Empty { path: path.clone() });
        }
        let expected = "a share that holds one usable pair or more";
        in_range(is_measured || *share == 0.0, "split_dataset_ratio", share, expected)
    }
}

/// A file without the pairs that nothing can be learned from.
fn usable(
    config: &RewardConfig,
    path: &Path,
    notices: &mut dyn FnMut(&Notice),
) -> Result<Preferences, Error> {
    let read = Preferences::read(path, config.pairs.image_folder.as_deref())?;
    report_left_out(&read, config.pairs.bad_pairs, notices)?;
    Ok(read)
}

/// The pairs of a file that are no ties and not too long, rendered, each with its number.
fn judge_all(
    config: &RewardConfig,
    processor: &Processor,
    read: &Preferences,
    notices: &mut dyn FnMut(&Notice),
) -> Result<Vec<(Judged, usize)>, Error> {
    let max_length = config.pairs.max_length.min(processor.context_length);
    let (mut judged, mut left_out) = (Vec::new(), LeftOut::default());
    for (index, pair) in read.pairs.iter().enumerate() {
        if pair.margin().is_some_and(|margin| margin <= config.pairs.min_score_gap) {
            left_out.num_ties += 1;
            continue;
        }
        let responses = [pair.chosen.as_str(), pair.rejected.as_str()];
        match processor.judged(&pair.prompt, &responses, read.folder()) {
            Ok(one) if one.longest() <= max_length => judged.push((one, index)),
            Ok(_) | Err(preprocess::Error::TooLong { .. }) => left_out.num_long += 1,
            Err(error) => return Err(Error::of_sample(&read.place(index))(error)),
        }
    }
    let LeftOut { num_ties, num_long } = left_out;
    if num_ties > 0 {
        let min_score_gap = config.pairs.min_score_gap;
        notices(&Notice::Ties { path: read.path.clone(), count: num_ties, min_score_gap });
    }
    if num_long > 0 {
        notices(&Notice::TooLong { count: num_long, max_length });
    }
    Ok(judged)
}

/// The prompts of a file whose pairs are held out: a share drawn by the seed. A prompt's pairs stay
/// together, or the model would be measured on what it was taught.
fn held_out_prompts(config: &RewardConfig, read: &Preferences) -> BTreeSet<String> {
    let share = config.pairs.split_dataset_ratio;
    let mut prompts = BTreeMap::new();
    for (index, pair) in read.pairs.iter().enumerate() {
        prompts.entry(key(pair)).or_insert(index);
    }
    let mut prompts: Vec<(usize, String)> =
        prompts.into_iter().map(|(key, at)| (at, key)).collect();
    prompts.sort_unstable();
    let num = (prompts.len() as f64 * share).round() as usize;
    let order = Order::shuffled(prompts.len(), config.run.seed).take(num);
    order.map(|index| prompts[index].1.clone()).collect()
}

/// What makes two pairs those of one prompt.
fn key(pair: &Preference) -> String {
    serde_json::json!([pair.prompt.messages, pair.prompt.images]).to_string()
}
