//! Evaluations of the policy: one that is done is read, not repeated.

use std::path::Path;

use ::data::Dataset;
use ::eval::{Evaluation, read_questions};
use anyhow::{Context as _, Result};
use preprocess::Processor;
use recipes::config::resolved;

use super::super::eval::{EvalConfig, measure};
use super::super::training::keep_settings;
use super::plan::DTYPE;
use super::{Demo, Stage, Trained};

/// What a stage is asked.
pub(super) struct Exam {
    name: &'static str,
    num_items: usize,
    /// Whether the same is asked over grey images too.
    blind: bool,
}

impl Exam {
    /// Held-out items alone.
    pub(super) fn of(name: &'static str, num_items: usize) -> Self {
        Self { name, num_items, blind: false }
    }

    /// The same, and again over grey images.
    pub(super) fn with_blind(name: &'static str, num_items: usize) -> Self {
        Self { blind: true, ..Self::of(name, num_items) }
    }
}

impl Demo<'_> {
    /// pass@1 of the policy as it is, or as a stage has trained it.
    pub(super) fn evaluate(
        &self,
        exam: Exam,
        trained: Option<Trained>,
        held_out: &Path,
    ) -> Result<Stage> {
        let Exam { name, num_items, blind } = exam;
        let config = EvalConfig {
            adapter_name_or_path: trained.as_ref().map(|trained| trained.checkpoint.clone()),
            dtype: DTYPE,
            limit: Some(num_items),
            feature_cache: Some(self.folder("features")),
            seed: self.plan.task.seed,
            blind,
            ..EvalConfig::pass_at_1(
                self.folder("vlm"),
                held_out.to_owned(),
                self.folder(&format!("eval-{name}")),
                self.plan.max_new_tokens,
            )
        };
        let evaluation = match earlier(&config)? {
            Some(evaluation) => evaluation,
            None => {
                keep_settings(&config, &config.output_dir)?;
                let processor = Processor::load(&config.model_name_or_path)?;
                let questions = Dataset::read(held_out)?;
                let questions = read_questions(&questions, &processor, config.limit)?;
                measure(&config, &processor, &questions, self.progress)?
            }
        };
        Ok(Stage { name, trained, evaluation })
    }
}

/// The evaluation of an earlier call under the same settings. One under others is removed: it must not be taken for this
/// one after a kill.
fn earlier(config: &EvalConfig) -> Result<Option<Evaluation>> {
    let folder = &config.output_dir;
    let summary = folder.join("summary.json");
    if !summary.is_file() {
        return Ok(None);
    }
    let settings = std::fs::read_to_string(folder.join("config.toml"));
    if settings.is_ok_and(|settings| resolved(config).is_ok_and(|now| now == settings)) {
        return Ok(Some(Evaluation::read(folder, config.blind)?));
    }
    std::fs::remove_file(&summary).with_context(|| summary.display().to_string())?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_evaluation_is_read_again_only_under_its_own_settings() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("eval");
        let of = |max_new_tokens| EvalConfig {
            blind: false,
            ..EvalConfig::pass_at_1("vlm".into(), "d.jsonl".into(), output.clone(), max_new_tokens)
        };
        let summary = output.join("summary.json");
        assert!(earlier(&of(8)).unwrap().is_none());
        keep_settings(&of(8), &output).unwrap();
        // A kill before the summary: nothing is there yet.
        std::fs::write(output.join("completions.jsonl"), "").unwrap();
        assert!(earlier(&of(8)).unwrap().is_none());
        std::fs::write(&summary, "{}").unwrap();
        assert_eq!(earlier(&of(8)).unwrap().unwrap().answers, []);
        assert!(earlier(&of(9)).unwrap().is_none() && !summary.exists());
    }
}
