//! The stages that train, each the library call behind a command.

use std::path::{Path, PathBuf};

use ::data::digits::DigitFiles;
use ::recipes::grpo::{Scorers, grpo};
use ::recipes::mpo::mpo;
use ::recipes::preferences::{Assessors, PAIRS_FILE, PreferencesConfig, build};
use ::recipes::reward_model::reward_model;
use ::recipes::sft::sft;
use anyhow::Result;

use super::super::assemble::write_merged;
use super::super::training::Spectator;
use super::plan::Paths;
use super::{Demo, Trained};
use crate::scorers;

/// Folder of SFT's answers to training pictures.
const RULE_PAIRS: &str = "rule-pairs";

/// Folder of the reward model's training.
const REWARD: &str = "reward";

/// Folder of the reward model that training ended in.
const REWARD_MODEL: &str = "reward-model";

impl Demo<'_> {
    /// Reading, then reasoning; the seconds of both count.
    pub(super) fn sft(&self, reading: &Path, train: &Path) -> Result<Trained> {
        let output = self.folder("align");
        let config = self.plan.align(&self.paths(&output, reading, None))?;
        let aligned = self.train("align", &output, |spectator| sft(&config, spectator.watch()))?;
        let output = self.folder("sft");
        let config = self.plan.sft(&self.paths(&output, train, Some(&aligned.checkpoint)))?;
        let mut trained =
            self.train("sft", &output, |spectator| sft(&config, spectator.watch()))?;
        trained.seconds += aligned.seconds;
        Ok(trained)
    }

    /// A reward model, grown on the policy: it learns from answers to training pictures that were paired by rule, and is
    /// measured on such answers to held-out ones.
    pub(super) fn reward(&self, prompts: &DigitFiles, policy: &Path) -> Result<Trained> {
        let output = self.folder(RULE_PAIRS);
        let paths = self.paths(&output, &prompts.train, Some(policy));
        let train = self.pairs("answers", &self.plan.rule_pairs(&paths)?)?;
        let output = self.folder("held-out-pairs");
        let paths = self.paths(&output, &prompts.held_out, Some(policy));
        let held_out = self.pairs("answers, held out", &self.plan.held_out_pairs(&paths)?)?;
        let output = self.folder(REWARD);
        let mut paths = self.paths(&output, &train, Some(policy));
        paths.push(("eval_dataset", held_out));
        let config = self.plan.reward(&paths)?;
        self.train("reward", &output, |spectator| reward_model(&config, || spectator.watch()))
    }

    /// The same answers to training pictures, now scored by the reward model, and mixed preference optimisation on the
    /// pairs that rule and score agree on.
    pub(super) fn mpo(
        &self,
        prompts: &DigitFiles,
        policy: &Path,
        reward: &Trained,
    ) -> Result<Trained> {
        let (vlm, reward_model) = (self.folder("vlm"), self.folder(REWARD_MODEL));
        write_merged(&vlm, &reward.checkpoint, &reward_model, self.plan.task.seed)?;
        let output = self.folder("score-pairs");
        let mut paths = self.paths(&output, &prompts.train, Some(policy));
        paths.push(("responses_from", self.folder(RULE_PAIRS)));
        paths.push(("reward_model", reward_model));
        let pairs = self.pairs("scores", &self.plan.score_pairs(&paths)?)?;
        let output = self.folder("mpo");
        let config = self.plan.mpo(&self.paths(&output, &pairs, Some(policy)))?;
        self.train("mpo", &output, |spectator| mpo(&config, spectator.watch()))
    }

    /// Reinforcement.
    pub(super) fn grpo(&self, train: &Path, policy: &Path) -> Result<Trained> {
        let output = self.folder("grpo");
        let config = self.plan.grpo(&self.paths(&output, train, Some(policy)))?;
        self.train("grpo", &output, |spectator| {
            grpo(&config, Scorers::default(), spectator.watch())
        })
    }

    /// The file of pairs that are made, or were made by an earlier call.
    fn pairs(&self, name: &'static str, config: &PreferencesConfig) -> Result<PathBuf> {
        let mut scorer = scorers::open(&config.build, config.model.dtype.into())?;
        let assessors = Assessors { scorer: scorers::borrow(&mut scorer), judge: None };
        let spectator = Spectator::new(name, self.progress);
        let built = build(config, assessors, spectator.watch());
        spectator.finish();
        self.progress.note(&format!("{name}: {}", built?));
        Ok(config.run.output_dir.join(PAIRS_FILE))
    }

    fn paths(&self, output: &Path, dataset: &Path, policy: Option<&Path>) -> Paths {
        let mut paths = vec![
            ("model_name_or_path", self.folder("vlm")),
            ("dataset", dataset.to_owned()),
            ("output_dir", output.to_owned()),
            ("feature_cache", self.folder("features")),
        ];
        paths.extend(policy.map(|policy| ("adapter_name_or_path", policy.to_owned())));
        paths
    }
}
