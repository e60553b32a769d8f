//! What the demo does at which size: the tasks, the training runs, the pairs, the evaluations.

use std::path::PathBuf;

use data::digits::{DigitTask, Operator, OperatorPlace, Paper, Thought};
use recipes::Error;
use recipes::config::{Recipe, Storage, load};
use recipes::grpo::GrpoConfig;
use recipes::mpo::MpoConfig;
use recipes::preferences::PreferencesConfig;
use recipes::reward_model::RewardConfig;
use recipes::sft::SftConfig;

/// How the frozen weights are held in every stage: all of them then see the same language model.
pub(super) const DTYPE: Storage = Storage::Int8;

/// Paths among a stage's settings, by key.
pub(super) type Paths = Vec<(&'static str, PathBuf)>;

/// Sizes of everything.
pub(super) struct Plan {
    /// The picture task: two digits and an operator.
    pub task: DigitTask,
    /// Pictures of one digit, on which the adapter learns to read.
    pub reading: DigitTask,
    /// The first pictures of the task: those to train are answered for preference pairs, those held out for pairs that
    /// the reward model is measured on.
    pub prompts: DigitTask,
    /// Patches merged into one visual token along each side.
    pub unshuffle: usize,
    /// Held-out items between stages.
    pub num_between: usize,
    /// Held-out items for every trained stage.
    pub num_final: usize,
    /// Most tokens of an answer.
    pub max_new_tokens: usize,
    align_steps: u64,
    sft_steps: u64,
    reward_steps: u64,
    mpo_steps: u64,
    grpo_steps: u64,
}

impl Plan {
    /// The default.
    pub(super) fn full(seed: u64) -> Self {
        let task = task(seed);
        Self {
            reading: DigitTask {
                num_digits: 1,
                num_train: 2000,
                num_held_out: 100,
                ..task.clone()
            },
            prompts: DigitTask { num_train: 256, num_held_out: 96, ..task.clone() },
            task,
            unshuffle: 2,
            num_between: 200,
            num_final: 600,
            max_new_tokens: 32,
            align_steps: 40,
            sft_steps: 80,
            reward_steps: 20,
            mpo_steps: 12,
            grpo_steps: 24,
        }
    }

    /// The same flow, cut short.
    pub(super) fn quick(seed: u64) -> Self {
        let full = Self::full(seed);
        Self {
            task: DigitTask { num_train: 800, num_held_out: 100, ..full.task },
            reading: DigitTask { num_train: 640, ..full.reading },
            prompts: DigitTask { num_train: 32, num_held_out: 24, ..full.prompts },
            num_between: 50,
            num_final: 100,
            align_steps: 24,
            sft_steps: 24,
            reward_steps: 2,
            mpo_steps: 2,
            grpo_steps: 2,
            ..full
        }
    }

    /// The settings of the adapter's first training, on pictures of one digit.
    pub(super) fn align(&self, paths: &Paths) -> Result<SftConfig, Error> {
        self.supervised(self.align_steps, "constant_with_warmup", paths)
    }

    /// The settings of supervised fine-tuning on chains of thought.
    pub(super) fn sft(&self, paths: &Paths) -> Result<SftConfig, Error> {
        self.supervised(self.sft_steps, "cosine", paths)
    }

    fn supervised(
        &self,
        max_steps: u64,
        schedule: &str,
        paths: &Paths,
    ) -> Result<SftConfig, Error> {
        let values = [
            ("learning_rate", "2e-3"),
            ("lr_scheduler_type", schedule),
            ("warmup_ratio", "0.03"),
            ("weight_decay", "0.01"),
            ("per_device_train_batch_size", "16"),
            ("loss_reduction", "token"),
            ("save_steps", "50"),
            ("save_total_limit", "2"),
        ];
        self.steps(max_steps, &values, paths)
    }

    /// The settings of answers to training pictures, right ones paired with wrong ones.
    pub(super) fn rule_pairs(&self, paths: &Paths) -> Result<PreferencesConfig, Error> {
        self.answers(&[("max_pairs_per_prompt", "4"), ("max_format_pairs", "1")], paths)
    }

    /// The same of held-out pictures: one pair each.
    pub(super) fn held_out_pairs(&self, paths: &Paths) -> Result<PreferencesConfig, Error> {
        self.answers(&[("max_pairs_per_prompt", "1"), ("max_format_pairs", "0")], paths)
    }

    /// The settings of pairs as R1V2 chooses them: right by rule, and better by the reward model's score.
    pub(super) fn score_pairs(&self, paths: &Paths) -> Result<PreferencesConfig, Error> {
        let values = [
            ("threshold_quantile", "0.5"),
            ("max_pairs_per_prompt", "2"),
            ("max_format_pairs", "1"),
        ];
        self.answers(&values, paths)
    }

    fn answers(&self, values: &[(&str, &str)], paths: &Paths) -> Result<PreferencesConfig, Error> {
        let length = self.max_new_tokens.to_string();
        let own = [("num_generations", "8"), ("max_completion_length", length.as_str())];
        self.load(&[&own[..], values].concat(), paths)
    }

    /// The settings of the reward model, whose language model trains, and so is not rounded.
    pub(super) fn reward(&self, paths: &Paths) -> Result<RewardConfig, Error> {
        let values = [
            ("trainable", "adapter+llm"),
            ("dtype", "float32"),
            ("learning_rate", "1e-4"),
            ("warmup_ratio", "0.05"),
            ("per_device_train_batch_size", "16"),
            ("save_steps", "20"),
            ("save_total_limit", "1"),
        ];
        self.steps(self.reward_steps, &values, paths)
    }

    /// The settings of mixed preference optimisation.
    pub(super) fn mpo(&self, paths: &Paths) -> Result<MpoConfig, Error> {
        let values = [
            ("learning_rate", "2e-4"),
            ("warmup_ratio", "0.05"),
            ("weight_decay", "0.05"),
            ("per_device_train_batch_size", "16"),
            ("gradient_accumulation_steps", "2"),
            ("save_steps", "10"),
            ("save_total_limit", "2"),
        ];
        self.steps(self.mpo_steps, &values, paths)
    }

    /// The settings of reinforcement.
    pub(super) fn grpo(&self, paths: &Paths) -> Result<GrpoConfig, Error> {
        let length = self.max_new_tokens.to_string();
        let values = [
            ("learning_rate", "5e-4"),
            ("lr_scheduler_type", "cosine"),
            ("num_generations", "8"),
            ("per_device_train_batch_size", "64"),
            ("gradient_accumulation_steps", "2"),
            ("max_completion_length", &length),
            ("save_steps", "10"),
            ("save_total_limit", "2"),
        ];
        self.steps(self.grpo_steps, &values, paths)
    }

    fn steps<R: Recipe>(
        &self,
        max_steps: u64,
        values: &[(&str, &str)],
        paths: &Paths,
    ) -> Result<R, Error> {
        self.load(&[values, &[("max_steps", &max_steps.to_string())]].concat(), paths)
    }

    fn load<R: Recipe>(&self, values: &[(&str, &str)], paths: &Paths) -> Result<R, Error> {
        let pair = |key: &str, value: String| (key.to_owned(), value);
        let quoted = |path: &PathBuf| toml::Value::from(path.display().to_string()).to_string();
        let dtype = toml::Value::try_from(DTYPE).expect("a plain name").to_string();
        let mut keys = vec![pair("seed", self.task.seed.to_string()), pair("dtype", dtype)];
        keys.extend(values.iter().map(|&(key, value)| pair(key, value.to_owned())));
        keys.extend(paths.iter().map(|(key, path)| pair(key, quoted(path))));
        load(None, &keys)
    }
}

/// Digits up to 5: with ten of them, reading alone takes too long for a demo.
fn task(seed: u64) -> DigitTask {
    DigitTask {
        seed,
        operators: vec![Operator::Plus, Operator::Minus],
        num_digits: 2,
        max_digit: 5,
        tile: 56,
        operator_place: OperatorPlace::OwnTile,
        paper: Paper::Black,
        thought: Thought::Equation,
        num_train: 4000,
        num_held_out: 600,
        held_out_share: 0.2,
        skip: 0,
        presence: 0.0,
    }
}

#[cfg(test)]
mod tests {
    use recipes::config::{Recipe, resolved};

    use super::*;

    /// A stage of the pipeline that says it is the demo, its references as text.
    fn stage<R: Recipe>(name: &str) -> String {
        let recipe: toml::Table = include_str!("../../../../../runs/demo.toml").parse().unwrap();
        let stages = recipe["stage"].as_array().unwrap();
        let found = stages.iter().find(|stage| stage["name"].as_str() == Some(name)).unwrap();
        let own = |key: &String| !["name", "command"].contains(&key.as_str());
        let shared = recipe["shared"].as_table().unwrap().iter();
        let keys = shared.chain(found.as_table().unwrap().iter().filter(|(key, _)| own(key)));
        let mut keys: Vec<_> = keys.map(|(key, value)| (key.clone(), value.to_string())).collect();
        keys.push(("output_dir".to_owned(), "'out'".to_owned()));
        resolved(&load::<R>(None, &keys).unwrap()).unwrap()
    }

    fn paths(dataset: &str, adapter: Option<&'static str>) -> Paths {
        let mut paths = vec![
            ("model_name_or_path", "${vlm}".into()),
            ("dataset", dataset.into()),
            ("output_dir", "out".into()),
            ("feature_cache", "${output_dir}/features".into()),
        ];
        paths.extend(adapter.map(|adapter| ("adapter_name_or_path", adapter.into())));
        paths
    }

    fn check<R: Recipe>(name: &str, own: Result<R, Error>) {
        assert_eq!(stage::<R>(name), resolved(&own.unwrap()).unwrap(), "{name}");
    }

    #[test]
    fn the_pipeline_of_the_same_name_has_the_same_settings() {
        let plan = Plan::full(1);
        let (align, sft, mpo) = ("${align.checkpoint}", "${sft.checkpoint}", "${mpo.checkpoint}");
        check("align", plan.align(&paths("${reading}/train.jsonl", None)));
        check("sft", plan.sft(&paths("${digits}/train.jsonl", Some(align))));
        let prompts = paths("${prompts}/train.jsonl", Some(sft));
        check("rule-pairs", plan.rule_pairs(&prompts));
        let held_out = paths("${prompts}/held_out.jsonl", Some(sft));
        check("held-out-pairs", plan.held_out_pairs(&held_out));
        let mut pairs = paths("${rule-pairs}/pairs.jsonl", Some(sft));
        pairs.push(("eval_dataset", "${held-out-pairs}/pairs.jsonl".into()));
        check("reward", plan.reward(&pairs));
        let mut prompts = prompts;
        prompts.push(("responses_from", "${rule-pairs}".into()));
        prompts.push(("reward_model", "${reward-model}".into()));
        check("score-pairs", plan.score_pairs(&prompts));
        check("mpo", plan.mpo(&paths("${score-pairs}/pairs.jsonl", Some(sft))));
        check("grpo", plan.grpo(&paths("${digits}/train.jsonl", Some(mpo))));
    }
}
