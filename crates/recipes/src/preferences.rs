//! Preference pairs from the policy itself: sample, score, compare.
//!
//! ```text
//! prompts ─► rollout ─► scorer ─► responses.jsonl ─► select ─► pairs.jsonl, statistics.json
//!               │         ▲
//!               │         └─ responses of an earlier build (responses_from)
//!               └─ half a good response, continued without the image
//! ```
//!
//! Sampling and scoring are slow and journalled; choosing pairs from the journal is quick and done at the end, so
//! another threshold costs no new sample. What is chosen, and after which paper, stands in `select`.

use std::path::Path;

use data::{Dataset, Preference, absolute, prompt_of};
use judge::Respond;
use reward::Scorer;
use schema::Sample;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::Error;
use crate::journal::{DRAWING_KEYS, Journal, REWARD_MODEL_CONTENT, only};
use crate::policy::Policy;
use crate::run::{Watch, write_config};

mod config;
mod consistency;
mod entry;
mod other_image;
mod score;
mod sample;
mod select;
mod statistics;

use config::Threshold;
pub use config::{BuildConfig, PreferencesConfig, SourceConfig};
use consistency::keep_consistent;
use entry::Entry;
use other_image::other_image_pairs;
use sample::Sampling;
use score::Scoring;
pub use select::PairKind;
use select::{Candidate, Known, Picked, Picker, candidates, gaps, quantile};
pub use statistics::Statistics;

/// Name of the file of pairs in an output folder.
pub const PAIRS_FILE: &str = "pairs.jsonl";

/// Name of the journal in an output folder.
const RESPONSES_FILE: &str = "responses.jsonl";

/// Name of the file of counts.
const STATISTICS_FILE: &str = "statistics.json";

/// Keys that shape what is found out about it; all others may change between a run and its continuation.
const SCORING_KEYS: [&str; 7] = [
    "responses_from",
    "reward_model",
    REWARD_MODEL_CONTENT,
    "reward_model_name",
    "require_format",
    "min_thought_length",
    "dropout_ntp",
];

/// Who assesses responses besides the rule.
#[derive(Default)]
pub struct Assessors<'a> {
    /// What [`BuildConfig::reward_model`] names.
    pub scorer: Option<&'a mut dyn Scorer>,
    /// What [`BuildConfig::judge`] names: it leaves out pairs whose chosen response is not factually consistent.
    pub judge: Option<&'a mut dyn Respond>,
}

impl Assessors<'_> {
    /// The same for a shorter time.
    pub(crate) fn borrowed(&mut self) -> Assessors<'_> {
        let scorer: Option<&mut dyn Scorer> = match &mut self.scorer {
            Some(scorer) => Some(&mut **scorer),
            None => None,
        };
        let judge: Option<&mut dyn Respond> = match &mut self.judge {
            Some(judge) => Some(&mut **judge),
            None => None,
        };
        Assessors { scorer, judge }
    }
}

/// Samples, scores and writes pairs; goes on where an earlier call was interrupted, and asks again for scores that it
/// did not get.
///
/// # Errors
/// Bad settings, data or model files; a scorer that fails where `bad_scores` is `stop`; a judge that is missing or can
/// be asked no more; files that cannot be written.
pub fn build(
    config: &PreferencesConfig,
    Assessors { scorer, judge }: Assessors<'_>,
    watch: Watch,
) -> Result<Statistics, Error> {
    if config.build.judge.is_some() && judge.is_none() {
        return Err(Error::NoScorer { key: "judge" });
    }
    let Watch { mut notices, .. } = watch;
    let dataset = Dataset::read(&config.run.dataset)?;
    let folder = &config.run.output_dir;
    let num_prompts = dataset.samples.len();
    let settings = settings(config, num_prompts)?;
    let mut journal = Journal::open(&folder.join(RESPONSES_FILE), &settings)?;
    if config.run.resume_from_checkpoint == "never" && !journal.entries.is_empty() {
        return Err(Error::Contradiction {
            first: "resume_from_checkpoint = \"never\"".to_owned(),
            second: format!("{} prompts in the journal of output_dir", journal.entries.len()),
            why: "samples of two builds would mix; choose another folder",
        });
    }
    write_config(config, folder)?;
    let mut scoring = Scoring { build: &config.build, dataset: &dataset, scorer };
    scoring.ask_again(&mut journal, &mut notices)?;
    if let Some(earlier) = &config.source.responses_from {
        let mut sampled = settings;
        sampled.retain(|key, _| !SCORING_KEYS.contains(&key.as_str()));
        let earlier = Journal::read(&earlier.join(RESPONSES_FILE), &sampled)?;
        scoring.take_over(earlier, &mut journal, &mut notices)?;
    }
    if journal.entries.len() < num_prompts {
        let policy = Policy::load(&config.model, &config.run)?;
        Sampling { config, dataset: &dataset, policy, scoring }.fill(&mut journal, &mut notices)?;
    }
    let (mut pairs, mut statistics) = select_pairs(config, &dataset, &journal);
    if let Some(judge) = judge {
        pairs = keep_consistent(pairs, judge, config, &mut statistics)?;
    }
    for pair in &pairs {
        statistics.count(kind(pair));
    }
    data::write_lines(&folder.join(PAIRS_FILE), &pairs)?;
    write_statistics(&folder.join(STATISTICS_FILE), &statistics)?;
    Ok(statistics)
}

/// What a journal depends on: keys, and what models' folders and the data set hold.
fn settings(config: &PreferencesConfig, num_prompts: usize) -> Result<Map<String, Value>, Error> {
    let path = &config.run.dataset;
    let content = std::fs::read(path).map_err(|source| Error::Io { path: path.clone(), source })?;
    let keys = [&DRAWING_KEYS[..], &["dataset"], &SCORING_KEYS].concat();
    let mut settings = only(config, &keys)?;
    settings.insert("num_prompts".to_owned(), num_prompts.into());
    settings.insert("dataset_sha256".to_owned(), stages::hex(&Sha256::digest(&content)).into());
    Ok(settings)
}

/// The pairs of all prompts, in their order.
fn select_pairs(
    config: &PreferencesConfig,
    dataset: &Dataset,
    journal: &Journal<Entry>,
) -> (Vec<Preference>, Statistics) {
    let mut statistics = Statistics::default();
    let mut judged = Vec::with_capacity(journal.entries.len());
    let mut all_gaps = Vec::new();
    for entry in journal.entries.values() {
        let gold = dataset.samples[entry.prompt].answer.as_deref();
        let known = known(&config.build, gold, entry);
        statistics.num_prompts += 1;
        statistics.num_with_answer += usize::from(gold.is_some());
        statistics.num_too_long += usize::from(entry.is_too_long());
        let candidates = candidates(&entry.responses, &known, &mut statistics);
        if entry.score_error.is_some() {
            statistics.num_unscored += 1;
            statistics.num_without_pairs += 1;
            continue;
        }
        all_gaps.extend(gaps(&candidates));
        judged.push((entry, candidates));
    }
    statistics.gap_quartiles = quartiles(&mut all_gaps);
    statistics.threshold =
        config.build.reward_model.as_ref().map(|_| match config.build.threshold() {
            Threshold::Gap(gap) => gap,
            // Without any difference there is nothing to exceed.
            Threshold::Quantile(share) => quantile(&mut all_gaps, share).unwrap_or(0.0),
        });
    let picker =
        Picker { config: &config.build, threshold: statistics.threshold, seed: config.run.seed };
    let most = config.build.max_other_image_pairs;
    let mut other_images = other_image_pairs(&judged, &dataset.samples, (most, config.run.seed));
    let mut pairs = Vec::new();
    for (entry, candidates) in judged {
        let before = pairs.len();
        let prompt = absolute(prompt_of(&dataset.samples[entry.prompt]), dataset.folder());
        for picked in picker.pick(entry.prompt, &candidates, &mut statistics) {
            pairs.push(pair(&prompt, &candidates, picked));
        }
        let other_images = other_images.remove(&entry.prompt).unwrap_or_default();
        pairs.extend(other_images.into_iter().map(|texts| other_image_pair(&prompt, texts)));
        pairs.extend(dropout_pair(&prompt, entry, &mut statistics));
        statistics.num_without_pairs += usize::from(pairs.len() == before);
    }
    (pairs, statistics)
}

fn known<'a>(config: &BuildConfig, gold: Option<&'a str>, entry: &Entry) -> Known<'a> {
    let BuildConfig { require_format, min_thought_length, .. } = *config;
    let min_thought_length = min_thought_length.unwrap_or(0);
    Known { gold, opening: entry.opening(), require_format, min_thought_length }
}

fn quartiles(gaps: &mut [f64]) -> Option<[f64; 5]> {
    quantile(gaps, 0.0)?;
    Some([0.0, 0.25, 0.5, 0.75, 1.0].map(|share| quantile(gaps, share).expect("not empty")))
}

fn pair(prompt: &Sample, candidates: &[Candidate<'_>], picked: Picked) -> Preference {
    let (chosen, rejected) = (&candidates[picked.chosen], &candidates[picked.rejected]);
    // Form decides some pairs whatever the scores: they would read as ties or as labels turned round.
    let score =
        |candidate: &Candidate<'_>| candidate.score.filter(|_| picked.kind == PairKind::Score);
    Preference {
        prompt: labelled(prompt, picked.kind),
        chosen: chosen.text.to_owned(),
        rejected: rejected.text.to_owned(),
        score_chosen: score(chosen),
        score_rejected: score(rejected),
    }
}

fn other_image_pair(prompt: &Sample, (chosen, rejected): (&str, &str)) -> Preference {
    Preference {
        prompt: labelled(prompt, PairKind::OtherImage),
        chosen: chosen.to_owned(),
        rejected: rejected.to_owned(),
        score_chosen: None,
        score_rejected: None,
    }
}

fn dropout_pair(prompt: &Sample, entry: &Entry, statistics: &mut Statistics) -> Option<Preference> {
    let dropout = entry.dropout.as_ref()?;
    let pair = Preference {
        prompt: labelled(prompt, PairKind::Dropout),
        chosen: dropout.chosen.clone(),
        rejected: dropout.rejected.text.clone(),
        score_chosen: None,
        score_rejected: None,
    };
    if !dropout.rejected.is_complete() || pair.flaw().is_some() {
        statistics.num_dropout_lost += 1;
        return None;
    }
    Some(pair)
}

/// The prompt with a column that says what sets its responses apart.
fn labelled(prompt: &Sample, kind: PairKind) -> Sample {
    let mut prompt = prompt.clone();
    let kind = serde_json::to_value(kind).expect("a plain name");
    prompt.extra.insert("kind".to_owned(), kind);
    prompt
}

/// The label again.
fn kind(pair: &Preference) -> PairKind {
    let kind = pair.prompt.extra["kind"].clone();
    serde_json::from_value(kind).expect("every pair is labelled")
}

fn write_statistics(path: &Path, statistics: &Statistics) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(statistics).expect("plain numbers") + "\n";
    std::fs::write(path, text).map_err(|source| Error::Io { path: path.to_owned(), source })
}
