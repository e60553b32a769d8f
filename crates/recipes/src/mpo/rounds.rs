//! Rounds: the policy answers, a scorer compares, one epoch of MPO makes the next policy.
//!
//! ```text
//! output_dir/round-1/preferences/   pairs of the policy as it is
//!            round-1/mpo/           trains on them; π_0 is the policy at the round's start
//!            round-2/…              begins from the checkpoint that round 1 ended with
//! ```
//!
//! R1V2 (arXiv:2504.16656) says that MPO "guides our iterative optimization process" and gives no
//! schedule. Within a round π_0 never moves: the MPO paper found that to hurt.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{BEST_FOLDER, MpoConfig, train};
use crate::Error;
use crate::config::{ModelConfig, RunConfig, in_range};
use crate::policy::{Policy, load_trained};
use crate::preferences::{
    self, Assessors, BuildConfig, PAIRS_FILE, PreferencesConfig, SourceConfig,
};
use crate::run::{Watch, write_config};

/// Where pairs come from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RoundsConfig {
    /// Rounds of sampling, scoring and training; pairs that are given are one round.
    #[serde(default = "one")]
    pub num_rounds: usize,
    /// How pairs are built, where `dataset` holds prompts instead of pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferences: Option<BuildConfig>,
}

fn one() -> usize {
    1
}

impl RoundsConfig {
    pub(super) fn validate(&self) -> Result<(), Error> {
        in_range(self.num_rounds > 0, "num_rounds", &0, "at least 1")?;
        match &self.preferences {
            Some(build) => build.validate(),
            None if self.num_rounds == 1 => Ok(()),
            None => Err(Error::Contradiction {
                first: format!("num_rounds = {}", self.num_rounds),
                second: "preferences is not set".to_owned(),
                why: "further rounds need pairs of the policy as it then is",
            }),
        }
    }
}

/// Trains for all rounds, or on given pairs where there are no rounds. With held-out pairs a round ends in its best
/// checkpoint. `watch` is asked for who watches each stage.
///
/// # Errors
/// As for [`preferences::build`] and [`super::mpo`]; a round without a single pair.
pub fn rounds(
    config: &MpoConfig,
    mut assessors: Assessors<'_>,
    watch: &mut dyn FnMut() -> Watch,
) -> Result<Policy, Error> {
    let Some(build) = &config.rounds.preferences else { return super::mpo(config, watch()) };
    std::fs::create_dir_all(&config.run.output_dir)
        .map_err(|source| Error::Io { path: config.run.output_dir.clone(), source })?;
    write_config(config, &config.run.output_dir)?;
    let mut model = config.model.with_shared_features(&config.run.output_dir)?;
    let mut round = 1;
    loop {
        let stages = Stages { config, build, round, model: &model };
        let training = stages.training();
        let asked = match training.run.output_dir.exists() {
            // A score that comes late would change the pairs under the training.
            true => Assessors { scorer: None, ..assessors.borrowed() },
            false => assessors.borrowed(),
        };
        preferences::build(&stages.preferences(), asked, watch())?;
        let (mut policy, step) = train(&training, watch())?;
        let result = result(&training, step);
        if round == config.rounds.num_rounds {
            if training.validation.eval_dataset.is_some() {
                load_trained(&mut policy.vlm, &result)?;
            }
            return Ok(policy);
        }
        model.adapter_name_or_path = Some(result);
        round += 1;
    }
}

/// Settings of one round's two stages.
struct Stages<'a> {
    config: &'a MpoConfig,
    build: &'a BuildConfig,
    round: usize,
    /// The policy at the round's start.
    model: &'a ModelConfig,
}

impl Stages<'_> {
    fn run(&self, stage: &str, dataset: &Path) -> RunConfig {
        let RunConfig { output_dir, seed, resume_from_checkpoint, .. } = self.config.run.clone();
        RunConfig {
            dataset: dataset.to_owned(),
            output_dir: output_dir.join(format!("round-{}", self.round)).join(stage),
            // Another round draws other responses.
            seed: seed.wrapping_add(self.round as u64 - 1),
            resume_from_checkpoint,
        }
    }

    fn preferences(&self) -> PreferencesConfig {
        let (model, build) = (self.model.clone(), self.build.clone());
        let (run, source) =
            (self.run("preferences", &self.config.run.dataset), SourceConfig::default());
        PreferencesConfig { model, run, source, build }
    }

    fn training(&self) -> MpoConfig {
        let pairs = self.preferences().run.output_dir.join(PAIRS_FILE);
        MpoConfig {
            model: self.model.clone(),
            run: self.run("mpo", &pairs),
            rounds: RoundsConfig { num_rounds: 1, preferences: None },
            ..self.config.clone()
        }
    }
}

/// The checkpoint that a round ends in: the best on held-out pairs, else the last.
fn result(training: &MpoConfig, step: u64) -> PathBuf {
    let name = match training.validation.eval_dataset {
        Some(_) => BEST_FOLDER.to_owned(),
        None => format!("checkpoint-{step}"),
    };
    training.run.output_dir.join(name)
}
