//! The settings of a run.

use std::path::PathBuf;

use judge::TeacherConfig;
use serde::{Deserialize, Serialize};

use crate::Error;

/// The keys of `sightline reward data`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CurateConfig {
    /// Folder for pairs, statistics and the store.
    pub output_dir: PathBuf,
    /// Files of preference pairs, in the columns of any tool or data set that is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceConfig>,
    /// Prompts with known answers, to which `responders` respond.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompts: Option<PathBuf>,
    /// The models that respond.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub responders: Vec<ResponderConfig>,
    /// Responses of each model to each prompt.
    #[serde(default = "one")]
    pub num_generations: usize,
    /// Most tokens of a response, a caption or a chosen response written anew.
    #[serde(default = "max_new_tokens")]
    pub max_new_tokens: u32,
    /// Softmax temperature of responses.
    #[serde(default = "unit")]
    pub temperature: f64,
    /// Most pairs made of the responses to a prompt.
    #[serde(default = "max_pairs")]
    pub max_pairs_per_prompt: usize,
    /// Jaccard similarity of word triples from which two pairs about the same images are near-duplicates.
    #[serde(default = "near_duplicate")]
    pub near_duplicate: f64,
    /// The model that judges and rewrites; without it, pairs are not judged and weak ones are dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<TeacherConfig>,
    /// Most tokens of a verdict, the judge's thought included.
    #[serde(default = "verdict_tokens")]
    pub judge_max_new_tokens: u32,
    /// Least confidence of the judge, from 1 to 5.
    #[serde(default = "min_confidence")]
    pub min_confidence: u8,
    /// The surrogate: an address that ends in `/score`, `/classify` or `/pooling`, or the folder of a reward model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reward_model: Option<String>,
    /// The surrogate's name on its server.
    #[serde(default = "served_name")]
    pub reward_model_name: String,
    /// Longest wait for a reply of the surrogate's server, in seconds.
    #[serde(default = "scorer_timeout")]
    pub scorer_timeout: f64,
    /// How often a request is sent before that server counts as unreachable.
    #[serde(default = "scorer_tries")]
    pub scorer_tries: usize,
    /// Leave out pairs that get no scores, and count them; else the run ends there and can be taken up again.
    #[serde(default)]
    pub skip_unscored: bool,
    /// Least score of a chosen response; a lower one is written anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_chosen_score: Option<f64>,
    /// Least difference of scores; where it is smaller, the chosen response is written anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_margin: Option<f64>,
    /// Seed of all draws.
    #[serde(default = "seed")]
    pub seed: u64,
}

/// A file of preference pairs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// The file.
    pub path: PathBuf,
    /// What images are relative to; the file's folder by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_folder: Option<PathBuf>,
    /// Its name in the column `source`; the file's by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A model that responds, and how.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResponderConfig {
    /// Its name in the column `responders`.
    pub name: String,
    /// The model.
    pub model: TeacherConfig,
    /// The model that describes the image for it, so that the first sees text alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub captioner: Option<TeacherConfig>,
}

/// The paper's two ways to a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// The model sees the image.
    Direct,
    /// It reads what another model has seen.
    Captioned,
}

impl ResponderConfig {
    /// How it comes to its responses.
    pub fn way(&self) -> Way {
        if self.captioner.is_some() { Way::Captioned } else { Way::Direct }
    }
}

fn one() -> usize {
    1
}

fn max_new_tokens() -> u32 {
    4096
}

fn unit() -> f64 {
    1.0
}

fn max_pairs() -> usize {
    3
}

fn near_duplicate() -> f64 {
    0.8
}

fn verdict_tokens() -> u32 {
    1024
}

fn min_confidence() -> u8 {
    4
}

fn served_name() -> String {
    "reward-model".to_owned()
}

fn scorer_timeout() -> f64 {
    60.0
}

fn scorer_tries() -> usize {
    5
}

fn seed() -> u64 {
    42
}

impl CurateConfig {
    /// Checks values against their ranges and against each other.
    ///
    /// # Errors
    /// Names the key that is at fault.
    pub fn validate(&self) -> Result<(), Error> {
        if self.sources.is_empty() && self.prompts.is_none() {
            return Err(Error::Needs { key: "output_dir", missing: "sources or prompts" });
        }
        if self.prompts.is_some() && self.responders.is_empty() {
            return Err(Error::Needs { key: "prompts", missing: "responders" });
        }
        let has_threshold = self.min_chosen_score.is_some() || self.min_margin.is_some();
        if has_threshold && self.reward_model.is_none() {
            return Err(Error::Needs {
                key: "min_chosen_score or min_margin",
                missing: "reward_model",
            });
        }
        self.check_teachers()?;
        self.check_numbers()
    }

    fn check_teachers(&self) -> Result<(), Error> {
        let models = self.responders.iter().map(|responder| ("responders", &responder.model));
        let captioners =
            self.responders.iter().filter_map(|responder| responder.captioner.as_ref());
        let captioners = captioners.map(|captioner| ("responders", captioner));
        let judge = self.judge.iter().map(|judge| ("judge", judge));
        for (key, teacher) in models.chain(captioners).chain(judge) {
            teacher.kind().map_err(|source| Error::Teacher { key, source })?;
        }
        Ok(())
    }

    fn check_numbers(&self) -> Result<(), Error> {
        let refuse = |key, value: String, expected| Err(Error::Value { key, value, expected });
        if !(self.near_duplicate > 0.0 && self.near_duplicate <= 1.0) {
            return refuse("near_duplicate", self.near_duplicate.to_string(), "above 0, up to 1");
        }
        if !(1..=5).contains(&self.min_confidence) {
            return refuse("min_confidence", self.min_confidence.to_string(), "from 1 to 5");
        }
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            return refuse("temperature", self.temperature.to_string(), "a number from 0 on");
        }
        if self.num_generations > 1 && self.temperature == 0.0 {
            return refuse("temperature", "0".to_owned(), "above 0 for several responses");
        }
        if !(self.scorer_timeout > 0.0 && self.scorer_timeout <= 86_400.0) {
            return refuse(
                "scorer_timeout",
                self.scorer_timeout.to_string(),
                "seconds, up to a day",
            );
        }
        let counts = [
            ("scorer_tries", self.scorer_tries),
            ("num_generations", self.num_generations),
            ("max_new_tokens", self.max_new_tokens as usize),
            ("judge_max_new_tokens", self.judge_max_new_tokens as usize),
            ("max_pairs_per_prompt", self.max_pairs_per_prompt),
        ];
        if let Some((key, _)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return refuse(key, "0".to_owned(), "at least 1");
        }
        let numbers =
            [("min_chosen_score", self.min_chosen_score), ("min_margin", self.min_margin)];
        match numbers.into_iter().find(|(_, value)| value.is_some_and(|value| !value.is_finite())) {
            Some((key, value)) => refuse(key, format!("{value:?}"), "a finite number"),
            None => Ok(()),
        }
    }
}
