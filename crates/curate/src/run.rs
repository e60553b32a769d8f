//! The steps, one after the other.

use std::path::{Path, PathBuf};

use data::Preference;
use judge::{Better, Compared, Comparison, Decoding, Failure, Judge, Judging, Respond};
use reward::Scorer;
use serde::Serialize;
use stages::{Keyed, Stage, Store};

use crate::collect::Collecting;
use crate::config::CurateConfig;
use crate::duplicates::drop_duplicates;
use crate::gather::gather;
use crate::pair::{Left, Pair};
use crate::statistics::{Dropped, Statistics};
use crate::surrogate::Surrogate;
use crate::{
    DROPPED_FILE, Error, MULTIMODAL_FILE, PAIRS_FILE, STATISTICS_FILE, STORE_FILE, TEXT_FILE,
};

/// How far a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Which step.
    pub step: &'static str,
    /// Done, what the store held included.
    pub done: usize,
    /// In all.
    pub total: usize,
}

/// A model that responds to prompts.
pub struct Responder<'a> {
    /// Its name in the output.
    pub name: String,
    /// The model.
    pub model: &'a mut dyn Respond,
    /// The model that describes images for it.
    pub captioner: Option<&'a mut dyn Respond>,
}

/// Everyone who is asked.
pub struct Helpers<'a> {
    /// Who responds, as the settings list them.
    pub responders: Vec<Responder<'a>>,
    /// Who judges and rewrites.
    pub judge: Option<&'a mut dyn Respond>,
    /// Who scores.
    pub scorer: Option<&'a mut dyn Scorer>,
}

/// Makes pairs into `output_dir`, which exists; a run that was killed or stopped goes on.
///
/// # Errors
/// When a source, the store or an output cannot be read or written, and when a pair gets no score unless such pairs
/// are left out. What befalls single pairs is in the statistics.
pub fn curate(
    config: &CurateConfig,
    helpers: Helpers<'_>,
    watch: &mut dyn FnMut(Progress),
) -> Result<Statistics, Error> {
    config.validate()?;
    let store = Store::open(&config.output_dir.join(STORE_FILE))?;
    let (mut statistics, mut leavings) = (Statistics::default(), Leavings::default());
    let Helpers { mut responders, judge, scorer } = helpers;
    let mut pairs = gather(&config.sources, &mut statistics, &mut leavings)?;
    if let Some(prompts) = &config.prompts {
        let (statistics, leavings) = (&mut statistics, &mut leavings);
        let mut collecting =
            Collecting { config, store: &store, statistics, leavings, watch: &mut *watch };
        pairs.extend(collecting.collect(prompts, &mut responders)?);
    }
    drop_duplicates(&mut pairs, config.near_duplicate);
    let decoding = Decoding::greedy(config.judge_max_new_tokens, config.seed);
    let mut judge = match judge {
        Some(model) => Judge::Model(Judging { model, decoding }),
        None => Judge::Rules,
    };
    compare(config, &store, &mut pairs, &mut judge, watch)?;
    if let Some(scorer) = scorer {
        let content = content(config)?;
        let mut surrogate = Surrogate { config, store: &store, scorer, content, watch };
        surrogate.filter(&mut pairs, &mut judge, &mut statistics)?;
    }
    conclude(config, &pairs, leavings, statistics)
}

/// Names what the folder of the surrogate holds.
fn content(config: &CurateConfig) -> Result<Option<String>, Error> {
    let path = PathBuf::from(config.reward_model.as_deref().unwrap_or(""));
    stages::fingerprint(&path).map_err(|source| Error::Io { path, source })
}

/// Has each pair judged; the side that the judge sees first is drawn by the pair's hash.
fn compare(
    config: &CurateConfig,
    store: &Store,
    pairs: &mut [Pair],
    judge: &mut Judge<'_>,
    watch: &mut dyn FnMut(Progress),
) -> Result<(), Error> {
    let open: Vec<usize> = (0..pairs.len()).filter(|&index| pairs[index].is_open()).collect();
    let questions = open.iter().map(|&index| {
        let pair = &pairs[index];
        Keyed { content: pair.hash.as_str(), value: comparison(pair) }
    });
    let (mut verdicts, total) = (Vec::new(), open.len());
    let stage = Stage { name: "comparison", seed: config.seed };
    store.ask(stage, judge, questions.collect(), &mut |number, found| {
        verdicts.push((open[number], found));
        watch(Progress { step: "comparison", done: verdicts.len(), total });
    })?;
    for (index, found) in verdicts {
        let pair = &mut pairs[index];
        let flaw = match found {
            Ok(compared) => flaw(&compared, is_swapped(pair), config.min_confidence),
            // Without a judge, what no rule decides stays.
            Err(Failure::NoJudge { .. }) => None,
            Err(Failure::Stopped { reason }) => Some((Dropped::Stopped, reason)),
            Err(Failure::Failed { reason }) => Some((Dropped::Failed, reason)),
            Err(unreadable @ Failure::Unreadable { .. }) => {
                Some((Dropped::JudgeProse, unreadable.to_string()))
            }
        };
        if let Some((why, reason)) = flaw {
            pair.drop(why, reason);
        }
    }
    Ok(())
}

fn comparison(pair: &Pair) -> Comparison<'_> {
    let Preference { prompt, chosen, rejected, .. } = &pair.preference;
    let mut responses = [chosen.as_str(), rejected.as_str()];
    if is_swapped(pair) {
        responses.reverse();
    }
    Comparison { prompt, folder: Path::new(""), responses }
}

fn is_swapped(pair: &Pair) -> bool {
    pair.hash.ends_with(['1', '3', '5', '7', '9', 'b', 'd', 'f'])
}

fn flaw(compared: &Compared, is_swapped: bool, min: u8) -> Option<(Dropped, String)> {
    let confidence = compared.confidence.value();
    let reason = |what: &str| format!("{what}, confidence {confidence}");
    match (compared.better, is_swapped) {
        (Better::Equal, _) => Some((Dropped::Equal, reason("neither is better"))),
        _ if confidence < f64::from(min) => Some((Dropped::Unsure, reason("the judge is unsure"))),
        (Better::First, true) | (Better::Second, false) => {
            Some((Dropped::Reversed, reason("the rejected response is better")))
        }
        (Better::First, false) | (Better::Second, true) => None,
    }
}

/// What was left out, line by line.
#[derive(Default)]
pub(crate) struct Leavings(Vec<(String, Dropped, String)>);

impl Leavings {
    pub(crate) fn add(&mut self, place: &str, why: Dropped, reason: &str) {
        self.0.push((place.to_owned(), why, reason.to_owned()));
    }
}

/// Counts and writes.
fn conclude(
    config: &CurateConfig,
    pairs: &[Pair],
    mut leavings: Leavings,
    mut statistics: Statistics,
) -> Result<Statistics, Error> {
    for pair in pairs {
        match &pair.dropped {
            Some((why, reason)) => {
                if *why == Dropped::Stopped {
                    statistics.stopped.get_or_insert(reason.clone());
                }
                leavings.add(&pair.place, *why, reason);
            }
            None => {
                statistics.num_kept += 1;
                statistics.num_with_image += usize::from(!pair.images.is_empty());
            }
        }
    }
    for (_, why, _) in &leavings.0 {
        *statistics.dropped.entry(*why).or_insert(0) += 1;
    }
    let place = |name: &str| config.output_dir.join(name);
    let kept = || pairs.iter().filter(|pair| pair.is_open());
    data::write_lines(&place(PAIRS_FILE), kept().map(|pair| &pair.preference))?;
    // Skywork-VL Reward learns from images first, and then from text as well (section 3.3).
    for (name, has_images) in [(MULTIMODAL_FILE, true), (TEXT_FILE, false)] {
        let of_kind = kept().filter(|pair| pair.images.is_empty() != has_images);
        data::write_lines(&place(name), of_kind.map(|pair| &pair.preference))?;
    }
    let left = leavings.0.iter().map(|(place, why, reason)| Left { place, why: *why, reason });
    data::write_lines(&place(DROPPED_FILE), left)?;
    write(&place(STATISTICS_FILE), &statistics)?;
    Ok(statistics)
}

fn write(path: &Path, value: &impl Serialize) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(value).expect("plain numbers") + "\n";
    std::fs::write(path, text).map_err(|source| Error::Io { path: path.to_owned(), source })
}
