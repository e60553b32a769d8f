//! Preference files to the pairs that train and those that are held out.

use std::collections::BTreeSet;
use std::path::Path;

use data::{Order, PairFlaw, Preference, Preferences};
use preprocess::{Judged, ModelImage, Processor};

use super::{PairConfig, RewardConfig};
use crate::Error;
use crate::config::in_range;
use crate::identity::{self, Identity};
use crate::left_out::LeftOut;
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

impl Pairs {
    /// Reads the files of a stage, and looks at images that are new. Pairs that nothing can be learned from are left out
    /// and told to `notices`, or end the run.
    pub(super) fn read(
        config: &RewardConfig,
        shown: (&Processor, &dyn Fn(&ModelImage) -> bool),
        notices: &mut dyn FnMut(&Notice),
    ) -> Result<Self, Error> {
        let mut pairs = Self { train: Vec::new(), held_out: Vec::new() };
        let mut prompts = Prompts::default();
        for path in config.datasets() {
            let all = usable(config, path, shown, notices)?;
            prompts.draw(&all, config);
            for Usable { pair, prompt } in all {
                match prompts.held_out.contains(&prompt) {
                    true => pairs.held_out.push(pair),
                    false => pairs.train.push(pair),
                }
            }
        }
        if let Some(path) = &config.pairs.eval_dataset {
            let all = usable(config, path, shown, notices)?;
            pairs.held_out.extend(all.into_iter().map(|usable| usable.pair));
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

/// A pair that something can be learned from, and what names its prompt.
struct Usable {
    pair: JudgedPair,
    prompt: String,
}

/// The pairs of a file that are no ties and not too long, rendered.
fn usable(
    config: &RewardConfig,
    path: &Path,
    (processor, is_new): (&Processor, &dyn Fn(&ModelImage) -> bool),
    notices: &mut dyn FnMut(&Notice),
) -> Result<Vec<Usable>, Error> {
    let PairConfig { max_length, image_folder, bad_pairs, min_score_gap, .. } = &config.pairs;
    let file = Preferences::read(path, image_folder.as_deref())?;
    let max_length = *max_length.min(&processor.context_length);
    let mut left_out = LeftOut::of(&file, *min_score_gap);
    let mut judged = Vec::new();
    for (index, pair) in file.pairs.iter().enumerate() {
        let place = file.place(index);
        if left_out.by_scores(pair, &place) {
            continue;
        }
        let responses = [pair.chosen.as_str(), pair.rejected.as_str()];
        match processor.judged(&pair.prompt, &responses, file.folder()) {
            Ok(one) if one.longest() > max_length => left_out.add_long(),
            Ok(one) if one.branches[0] == one.branches[1] => {
                left_out.add(PairFlaw::Identical, place);
            }
            Ok(one) => judged.push(((one, index), place)),
            Err(error) => left_out.add_failed(&error, &place),
        }
    }
    let judged = left_out.undamaged(judged, |(one, _): &(Judged, usize)| &one.images, is_new);
    left_out.tell(*bad_pairs, max_length, notices)?;
    let usable = judged.into_iter().map(|((judged, index), place)| Usable {
        prompt: key(&file.pairs[index], &judged.images),
        pair: JudgedPair { judged, place },
    });
    Ok(usable.collect())
}

/// The prompts of all files so far.
#[derive(Default)]
struct Prompts {
    seen: BTreeSet<String>,
    /// Those whose pairs are held out. A prompt's pairs stay together, or the model would be measured on what it was
    /// taught.
    held_out: BTreeSet<String>,
}

impl Prompts {
    /// Draws a share of the prompts that a file adds, by the seed. Prompts of earlier files keep their lot, so that two
    /// stages, of which the second adds a file, hold out the same.
    fn draw(&mut self, pairs: &[Usable], config: &RewardConfig) {
        let all = pairs.iter().map(|usable| &usable.prompt);
        let new: Vec<&String> = all.filter(|prompt| self.seen.insert((*prompt).clone())).collect();
        let num = (new.len() as f64 * config.pairs.split_dataset_ratio).round() as usize;
        let order = Order::shuffled(new.len(), config.run.seed).take(num);
        self.held_out.extend(order.map(|index| new[index].clone()));
    }
}

/// What makes two pairs those of one prompt: its turns, and its pictures whatever their names.
fn key(pair: &Preference, images: &[ModelImage]) -> String {
    let images: Vec<[u8; 32]> = images.iter().map(ModelImage::key).collect();
    serde_json::json!([pair.prompt.messages, images]).to_string()
}
