//! Factual consistency of chosen responses, by a judge where one is configured.

use std::collections::HashMap;
use std::path::Path;

use data::Preference;
use judge::{Consistency, Decoding, Failure, Judge, Judging, Respond};
use stages::{Keyed, Stage, Store, key};

use super::{PreferencesConfig, Statistics};
use crate::Error;

/// Verdicts, so that a judge is asked about a response once.
const STORE_FILE: &str = "verdicts.sqlite";

/// Most tokens of a verdict, the judge's thought included.
const VERDICT_TOKENS: u32 = 1024;

/// Leaves out pairs whose chosen response says what the image or the question does not bear out, as R1V2
/// (arXiv:2504.16656) wants beside the score; and those that the judge could not judge, counted apart.
pub(super) fn keep_consistent(
    pairs: Vec<Preference>,
    model: &mut dyn Respond,
    config: &PreferencesConfig,
    statistics: &mut Statistics,
) -> Result<Vec<Preference>, Error> {
    let store = Store::open(&config.run.output_dir.join(STORE_FILE))?;
    let keys: Vec<String> = pairs.iter().map(content).collect();
    let mut distinct: HashMap<&str, usize> = HashMap::new();
    for (index, key) in keys.iter().enumerate() {
        distinct.entry(key).or_insert(index);
    }
    let mut first: Vec<usize> = distinct.values().copied().collect();
    first.sort_unstable();
    // Image paths of pairs are absolute.
    let question = |&index: &usize| {
        let Preference { prompt, chosen: response, .. } = &pairs[index];
        let value = Consistency { prompt, folder: Path::new(""), response };
        Keyed { content: keys[index].as_str(), value }
    };
    let decoding = Decoding::greedy(VERDICT_TOKENS, config.run.seed);
    let mut judge = Judge::Model(Judging { model, decoding });
    let stage = Stage { name: "consistency", seed: config.run.seed };
    let mut verdicts: HashMap<&str, Result<bool, Failure>> = HashMap::new();
    store.ask(stage, &mut judge, first.iter().map(question).collect(), &mut |number, found| {
        verdicts.insert(&keys[first[number]], found.map(|verdict| verdict.consistent));
    })?;
    let mut is_kept = Vec::with_capacity(pairs.len());
    for key in &keys {
        is_kept.push(match &verdicts[key.as_str()] {
            Ok(true) => true,
            Ok(false) => {
                statistics.num_inconsistent += 1;
                false
            }
            Err(Failure::Stopped { reason }) => {
                return Err(Error::Judge { reason: reason.clone() });
            }
            Err(_) => {
                statistics.num_unjudged += 1;
                false
            }
        });
    }
    Ok(pairs.into_iter().zip(is_kept).filter_map(|(pair, kept)| kept.then_some(pair)).collect())
}

/// Names a prompt and its chosen response.
fn content(pair: &Preference) -> String {
    let prompt = serde_json::to_string(&pair.prompt.messages).expect("turns have a JSON form");
    let images = serde_json::to_string(&pair.prompt.images).expect("names have a JSON form");
    key(&[&prompt, &images, &pair.chosen])
}
