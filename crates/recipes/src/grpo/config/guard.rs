//! When a run looks up from its rewards: held-out questions, alarms, and the rule that ends it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::config::in_range;

/// Held-out questions and the rule that ends a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GuardConfig {
    /// Held-out questions, answered every `eval_steps`; the best checkpoint is kept as `best`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eval_dataset: Option<PathBuf>,
    /// Held-out yes-no questions of which a `no` asks for what is not in the image: the hallucination probe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe_dataset: Option<PathBuf>,
    /// Steps between measurements, a multiple of `save_steps`; by default at every checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eval_steps: Option<u64>,
    /// Questions of each file at most, from its start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eval_limit: Option<usize>,
    /// Softmax temperature of the answers; 0, the default, takes the likeliest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eval_temperature: Option<f32>,
    /// What makes a checkpoint better: `accuracy`, the default, or `hallucination_rate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric_for_best_model: Option<GrpoMetric>,
    /// Measurements without a better one after which the run ends; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_stopping_patience: Option<u64>,
    /// The run ends when the rule reward in training is above the held-out accuracy by more than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_reward_gap: Option<f64>,
    /// The run ends when more than this share of what is not in an image is said to be there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_hallucination_rate: Option<f64>,
    /// Texts that open a reflection: the entropy where they begin is measured on held-out answers. `Wait`,
    /// `Alternatively` and `Hmm` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub critical_words: Option<Vec<String>>,
    /// Where a metric's departure from its beginning is an alarm; [`AlarmConfig::default`] when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alarms: Option<AlarmConfig>,
}

/// What makes one checkpoint better than another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrpoMetric {
    /// More right answers to held-out questions; of equals, the higher entropy where reflection begins.
    #[default]
    Accuracy,
    /// Fewer absent things said to be in the image; of equals, the more often right on the whole probe.
    HallucinationRate,
}

/// Limits of a metric's mean over `window` steps, most of them as a multiple of its mean over the first `window` steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlarmConfig {
    /// Steps that a mean is taken over.
    pub window: usize,
    /// Entropy below this multiple: the policy no longer explores.
    pub entropy_low: f64,
    /// Entropy above this multiple: the policy falls apart.
    pub entropy_high: f64,
    /// Completions shorter than this multiple.
    pub length_low: f64,
    /// Completions longer than this multiple.
    pub length_high: f64,
    /// Share of completions that were cut off.
    pub clipped: f64,
    /// Divergence from the reference, a token: 0.5 where `beta` measures it. Set, it is measured at `beta = 0` too,
    /// for one more forward pass an update.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kl: Option<f64>,
    /// A reward's component that has moved by so many of its standard deviations since the rule was highest.
    pub drift: f64,
}

impl Default for AlarmConfig {
    fn default() -> Self {
        Self {
            window: 8,
            entropy_low: 0.2,
            entropy_high: 3.0,
            length_low: 0.4,
            length_high: 2.5,
            clipped: 0.5,
            kl: None,
            drift: 1.0,
        }
    }
}

impl AlarmConfig {
    /// The limit of the divergence.
    pub(in crate::grpo) fn max_kl(&self) -> f64 {
        self.kl.unwrap_or(0.5)
    }
}

/// R1V3 (arXiv:2507.06167), section 5.1, and the words its NoWait experiment bans.
const CRITICAL_WORDS: [&str; 3] = ["Wait", "Alternatively", "Hmm"];

impl GuardConfig {
    /// Whether anything is measured.
    pub fn is_measuring(&self) -> bool {
        self.eval_dataset.is_some() || self.probe_dataset.is_some()
    }

    /// The limits in force.
    pub fn alarms(&self) -> AlarmConfig {
        self.alarms.unwrap_or_default()
    }

    /// What makes a checkpoint better.
    pub fn metric(&self) -> GrpoMetric {
        self.metric_for_best_model.unwrap_or_default()
    }

    /// Texts that open a reflection.
    pub fn critical_words(&self) -> Vec<String> {
        let default = || CRITICAL_WORDS.map(str::to_owned).into();
        self.critical_words.clone().unwrap_or_else(default)
    }

    pub(super) fn validate(&self, save_steps: u64) -> Result<(), Error> {
        let steps = self.eval_steps.unwrap_or(save_steps);
        let holds = steps > 0 && steps.is_multiple_of(save_steps);
        let expected = "a multiple of save_steps: the best checkpoint has to be there";
        in_range(holds, "eval_steps", &steps, expected)?;
        in_range(self.eval_limit != Some(0), "eval_limit", &0, "at least 1")?;
        let temperature = self.eval_temperature.unwrap_or(0.0);
        let holds = temperature >= 0.0 && temperature.is_finite();
        in_range(holds, "eval_temperature", &temperature, "a finite number from 0")?;
        in_range(
            self.early_stopping_patience != Some(0),
            "early_stopping_patience",
            &0,
            "1 or more",
        )?;
        for (key, share) in [
            ("max_reward_gap", self.max_reward_gap),
            ("max_hallucination_rate", self.max_hallucination_rate),
        ] {
            let share = share.unwrap_or(0.0);
            in_range((0.0..=1.0).contains(&share), key, &share, "a number from 0 to 1")?;
        }
        in_range(self.alarms().window > 0, "alarms.window", &0, "at least 1")?;
        let holds = self.critical_words().iter().all(|word| !word.is_empty());
        in_range(holds, "critical_words", &"[\"\"]", "texts, none of them empty")?;
        self.validate_files()
    }

    /// Every rule has the file that it speaks of.
    fn validate_files(&self) -> Result<(), Error> {
        let is_by_accuracy = self.metric() == GrpoMetric::Accuracy;
        let is_patient = self.early_stopping_patience.is_some();
        let [eval, probe] =
            [("eval_dataset", &self.eval_dataset), ("probe_dataset", &self.probe_dataset)];
        let missing = |is_set: bool, key: &str, (file, path): (&str, &Option<PathBuf>)| match is_set
            && path.is_none()
        {
            true => Err(Error::Contradiction {
                first: format!("{key} is set"),
                second: format!("{file} is not"),
                why: "without held-out questions nothing says when to stop",
            }),
            false => Ok(()),
        };
        missing(self.max_reward_gap.is_some(), "max_reward_gap", eval)?;
        missing(self.max_hallucination_rate.is_some(), "max_hallucination_rate", probe)?;
        missing(is_patient, "early_stopping_patience", if is_by_accuracy { eval } else { probe })?;
        missing(!is_by_accuracy, "metric_for_best_model", probe)
    }
}
