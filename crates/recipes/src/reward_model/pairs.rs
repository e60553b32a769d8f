//! Preference files to the pairs that train and those that are held out.

use std::collections::{BTreeMap, BTreeSet};

use data::{Order, Preference, Preferences};
use preprocess::{Judged, Processor};

use super::RewardConfig;
use crate::Error;
use crate::run::Notice;

/// One pair as the model reads it.
pub(super) struct JudgedPair {
    /// The prompt, with the chosen response as the first branch and the rejected one as the second.
    pub(super) judged: Judged,
    /// File and line.
    pub(super) place: String,
}

/// The pairs of a stage.
pub(super) struct Pairs {
    pub(super) train: Vec<JudgedPair>,
    pub(super) held_out: Vec<JudgedPair>,
}

/// What was left out of a file besides what [`Preferences::read`] reports.
#[derive(Default)]
struct LeftOut {
    num_ties: usize,
    num_long: usize,
}

impl Pairs {
    /// Reads the files of a stage. Pairs that nothing can be learned from are left out and told to
    /// `notices`.
    pub(super) fn read(
        config: &RewardConfig,
        processor: &Processor,
        notices: &mut dyn FnMut(&Notice),
    ) -> Result<Self, Error> {
        let mut pairs = Self { train: Vec::new(), held_out: Vec::new() };
        for path in config.datasets() {
            let read = Preferences::read(path, None)?;
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
            let read = Preferences::read(path, None)?;
            for (judged, index) in judge_all(config, processor, &read, notices)? {
                pairs.held_out.push(JudgedPair { judged, place: read.place(index) });
            }
        }
        match pairs.train.is_empty() {
            true => Err(Error::Empty { path: config.run.dataset.clone() }),
            false => Ok(pairs),
        }
    }
}

/// The usable pairs of a file, rendered, each with its number.
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
    if read.report.num_left_out() > 0 {
        let (path, report) = (read.path.clone(), read.report.clone());
        notices(&Notice::BadPairs { path, report });
    }
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
