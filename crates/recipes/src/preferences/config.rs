//! The keys of `sightline preferences build`.

use std::path::PathBuf;

use judge::TeacherConfig;
use rollout::Sampling;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::config::{ModelConfig, Part, Recipe, RunConfig, in_range, scorer};
use crate::mpo::BadPairs;

/// The keys of `sightline preferences build`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PreferencesConfig {
    /// The policy that answers.
    #[serde(flatten)]
    pub model: ModelConfig,
    /// The prompts, and where pairs are written.
    #[serde(flatten)]
    pub run: RunConfig,
    /// Where responses come from.
    #[serde(flatten)]
    pub source: SourceConfig,
    /// From prompts to pairs.
    #[serde(flatten)]
    pub build: BuildConfig,
}

/// Where responses come from.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SourceConfig {
    /// The output folder of an earlier build of the same policy over the same prompts: its responses are scored and
    /// compared, and only what it lacks is sampled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub responses_from: Option<PathBuf>,
}

/// From prompts to pairs. In a recipe that builds its own pairs these keys are one table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuildConfig {
    /// Responses sampled for each prompt.
    #[serde(default = "num_generations")]
    pub num_generations: usize,
    /// The most tokens of a response.
    #[serde(default = "max_completion_length")]
    pub max_completion_length: usize,
    /// Softmax temperature.
    #[serde(default = "unit")]
    pub temperature: f32,
    /// Sample among the `top_k` most probable tokens; 0 for all.
    #[serde(default)]
    pub top_k: usize,
    /// Sample among the smallest set of tokens with this probability.
    #[serde(default = "unit")]
    pub top_p: f32,
    /// What scores responses: an address that ends in `/score`, `/classify` or `/pooling`, or the folder of
    /// a reward model. When absent, only the rule decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reward_model: Option<String>,
    /// The reward model's name on its server.
    #[serde(default = "scorer::reward_model_name")]
    pub reward_model_name: String,
    /// Longest wait for a reply of the server, in seconds.
    #[serde(default = "scorer::timeout")]
    pub scorer_timeout: f64,
    /// How often a request is sent before the server counts as unreachable.
    #[serde(default = "scorer::tries")]
    pub scorer_tries: usize,
    /// What happens to a prompt whose responses get no scores: `stop` ends the run, which can be taken up
    /// again; `skip` leaves the prompt out and counts it. Either way the next run asks again.
    #[serde(default = "stop")]
    pub bad_scores: BadPairs,
    /// Who judges whether chosen responses are factually consistent; nobody by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<TeacherConfig>,
    /// τ: the least difference of scores that makes a pair; 15 when neither this nor a quantile is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// τ as a quantile of all differences of scores within prompts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold_quantile: Option<f64>,
    /// Choose only right answers, where the answer is known.
    #[serde(default = "yes")]
    pub require_correct: bool,
    /// Compare only responses that are well formed: a thought, then one boxed answer.
    #[serde(default = "yes")]
    pub require_format: bool,
    /// Fewest characters of a well-formed response's thought: what says nothing leaves out steps. MPO's published code takes
    /// those of 21 and more; any by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_thought_length: Option<usize>,
    /// The most pairs of a prompt, drawn at random from more.
    #[serde(default = "max_pairs")]
    pub max_pairs_per_prompt: usize,
    /// The most pairs of a prompt that reject a malformed response, beside the others.
    #[serde(default = "max_format_pairs")]
    pub max_format_pairs: usize,
    /// The most pairs of a prompt whose rejected response is right for another image of the same question, beside the
    /// others. Not the papers': for a reward model that has yet to learn to look.
    #[serde(default)]
    pub max_other_image_pairs: usize,
    /// Whether prompts without a known answer get a DropoutNTP pair: the rejected response is half of a
    /// good one, continued without the image.
    #[serde(default = "yes")]
    pub dropout_ntp: bool,
}

/// The MPO paper (arXiv:2411.10442), section 2, as are temperature and the cap on pairs.
fn num_generations() -> usize {
    32
}

/// InternVL's pipeline.
fn max_completion_length() -> usize {
    4096
}

fn unit() -> f32 {
    1.0
}

fn stop() -> BadPairs {
    BadPairs::Stop
}

fn yes() -> bool {
    true
}

fn max_pairs() -> usize {
    15
}

/// InternVL's cap for large files.
fn max_format_pairs() -> usize {
    3
}

/// R1V2 (arXiv:2504.16656), section 4.4, on Skywork-VL Reward's scale.
const THRESHOLD: f64 = 15.0;

/// Where the difference of scores begins to count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Threshold {
    /// At this difference.
    Gap(f64),
    /// At this quantile of all differences.
    Quantile(f64),
}

impl BuildConfig {
    /// How tokens are chosen.
    pub fn sampling(&self, seed: u64) -> Sampling {
        let Self { temperature, top_k, top_p, .. } = *self;
        Sampling { temperature, top_k, top_p, repetition_penalty: 1.0, seed }
    }

    pub(super) fn threshold(&self) -> Threshold {
        match self.threshold_quantile {
            Some(quantile) => Threshold::Quantile(quantile),
            None => Threshold::Gap(self.threshold.unwrap_or(THRESHOLD)),
        }
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// Names the key that is out of its range, or two that disagree.
    pub fn validate(&self) -> Result<(), Error> {
        let Self { num_generations, max_completion_length, .. } = self;
        let expected = "at least 2: a pair has two responses";
        in_range(*num_generations >= 2, "num_generations", num_generations, expected)?;
        in_range(*max_completion_length > 0, "max_completion_length", &0, "at least 1")?;
        let expected = "more than 0: greedy responses are all the same";
        in_range(self.temperature > 0.0, "temperature", &self.temperature, expected)?;
        self.sampling(0).validate()?;
        scorer::check(self.scorer_timeout, self.scorer_tries)?;
        self.judge.as_ref().map(TeacherConfig::kind).transpose()?;
        if let Some(threshold) = self.threshold {
            let holds = threshold > 0.0 && threshold.is_finite();
            in_range(holds, "threshold", &threshold, "a finite number above 0")?;
        }
        let Some(quantile) = self.threshold_quantile else { return Ok(()) };
        let expected = "a number from 0 to 1";
        in_range((0.0..=1.0).contains(&quantile), "threshold_quantile", &quantile, expected)?;
        match self.threshold {
            Some(threshold) => Err(Error::Contradiction {
                first: format!("threshold = {threshold}"),
                second: format!("threshold_quantile = {quantile}"),
                why: "the threshold is given twice",
            }),
            None => Ok(()),
        }
    }
}

impl Recipe for PreferencesConfig {
    const PARTS: &'static [Part] = &[
        Part::of::<ModelConfig>(),
        Part::of::<RunConfig>(),
        Part::of::<SourceConfig>(),
        Part::of::<BuildConfig>(),
    ];

    fn validate(&self) -> Result<(), Error> {
        self.model.trainable()?;
        self.build.validate()
    }
}
