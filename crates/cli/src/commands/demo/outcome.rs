//! What the demo reached, in figures.

use std::path::PathBuf;

use ::eval::{Interval, Paired, Summary, compare, table};
use anyhow::Result;
use protocol::wilson;
use serde::Serialize;

use super::{Demo, Reached, Stage, Trained};

/// What the demo reached.
#[derive(Serialize)]
pub(super) struct Outcome {
    output: PathBuf,
    /// The page.
    pub(super) report: PathBuf,
    /// From the first picture to the last answer; fetching not included.
    pub(super) seconds: f64,
    stages: Vec<StageOutcome>,
    /// How the reward model ranks.
    pub(super) reward: RewardOutcome,
    /// Later stages against earlier ones on the same items.
    pub(super) comparisons: Vec<Against>,
}

/// What a stage of the policy reached.
#[derive(Serialize)]
struct StageOutcome {
    name: &'static str,
    training_seconds: Option<f64>,
    image: Summary,
    blind: Option<Summary>,
}

/// What the reward model reached, on pairs of a right and a wrong answer to a held-out picture.
#[derive(Serialize)]
pub(super) struct RewardOutcome {
    training_seconds: f64,
    /// Pairs, one a picture.
    pub(super) num_pairs: usize,
    /// Share of the pairs whose right answer scores higher.
    pub(super) accuracy: Interval,
    /// How much higher, in the mean.
    pub(super) margin: f64,
}

/// Two stages on the same items.
#[derive(Serialize)]
pub(super) struct Against {
    pub(super) before: &'static str,
    pub(super) after: &'static str,
    #[serde(flatten)]
    pub(super) paired: Paired,
}

impl Outcome {
    pub(super) fn new(demo: &Demo<'_>, reached: &Reached, seconds: f64) -> Result<Self> {
        let Reached { sft, mpo, grpo, .. } = reached;
        let pairs = [(sft, mpo), (mpo, grpo), (sft, grpo)];
        Ok(Self {
            output: demo.output.clone(),
            report: demo.folder("report.html"),
            seconds,
            stages: reached.policies().into_iter().map(StageOutcome::new).collect(),
            reward: RewardOutcome::new(&reached.reward),
            comparisons: pairs
                .into_iter()
                .map(|(before, after)| Against::new(before, after))
                .collect::<Result<_>>()?,
        })
    }

    /// The figures for people.
    pub(super) fn describe(&self, reached: &Reached) -> String {
        let stages = reached.policies();
        let rows = stages.map(|Stage { name, evaluation, .. }| {
            (*name, &evaluation.summary, evaluation.blind.as_ref())
        });
        let RewardOutcome { num_pairs, accuracy, margin, .. } = &self.reward;
        let against: String = self.comparisons.iter().map(Against::describe).collect();
        format!(
            "{}\nreward model: {accuracy} of {num_pairs} held-out pairs ranked right, margin {margin:.2}\n\
             {against}{:.0} s; report: {}",
            table(&rows),
            self.seconds,
            self.report.display(),
        )
    }
}

impl StageOutcome {
    fn new(stage: &Stage) -> Self {
        Self {
            name: stage.name,
            training_seconds: stage.trained.as_ref().map(|trained| trained.seconds),
            image: stage.evaluation.summary,
            blind: stage.evaluation.blind,
        }
    }
}

impl RewardOutcome {
    /// As the last step of training was measured; nothing is, without held-out pairs.
    fn new(trained: &Trained) -> Self {
        let last = |key: &str| {
            let value = trained.log.last().and_then(|line| line.get(key)?.as_f64());
            value.unwrap_or(0.0)
        };
        let num_pairs = last("eval_num_pairs");
        Self {
            training_seconds: trained.seconds,
            num_pairs: num_pairs as usize,
            accuracy: wilson(last("eval_accuracy") * num_pairs, num_pairs as usize),
            margin: last("eval_margin"),
        }
    }
}

impl Against {
    fn new(before: &Stage, after: &Stage) -> Result<Self> {
        let paired = compare(&before.evaluation.answers, &after.evaluation.answers)?;
        Ok(Self { before: before.name, after: after.name, paired })
    }

    fn describe(&self) -> String {
        let Paired { num_items, only_before, only_after, difference, p_value } = &self.paired;
        format!(
            "{} against {} on the same {num_items} items: {:+.1} points ({only_after} won, {only_before} lost, \
             exact McNemar p = {p_value:.4})\n",
            self.after,
            self.before,
            100.0 * difference,
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_reward_model_is_told_by_its_last_step() {
        let lines = json!([{"step": 1}, {"eval_num_pairs": 60.0, "eval_accuracy": 0.75, "eval_margin": 1.5}]);
        let lines = lines.as_array().unwrap().iter();
        let log = lines.map(|line| line.as_object().unwrap().clone()).collect();
        let mut trained = Trained { checkpoint: "c".into(), seconds: 1.0, log };
        let told = RewardOutcome::new(&trained);
        assert_eq!((told.num_pairs, told.accuracy, told.margin), (60, wilson(45.0, 60), 1.5));
        trained.log.clear();
        let told = RewardOutcome::new(&trained);
        assert_eq!((told.num_pairs, told.accuracy.high), (0, 1.0));
    }
}
