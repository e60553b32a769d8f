//! What the demo does at which size: the task, the two training runs, the evaluations.

use std::path::PathBuf;

use data::digits::{DigitTask, Operator, OperatorPlace, Paper, Thought};
use recipes::config::load;
use recipes::grpo::GrpoConfig;
use recipes::sft::SftConfig;

/// Sizes of everything.
pub(super) struct Plan {
    /// The picture task: two digits and an operator.
    pub task: DigitTask,
    /// Pictures of one digit, on which the adapter learns to read.
    pub reading: DigitTask,
    /// Patches merged into one visual token along each side.
    pub unshuffle: usize,
    /// Held-out items between stages.
    pub num_between: usize,
    /// Held-out items for SFT and GRPO at the end.
    pub num_final: usize,
    /// Most tokens of an answer.
    pub max_new_tokens: usize,
    align_steps: u64,
    sft_steps: u64,
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
            task,
            unshuffle: 2,
            num_between: 300,
            num_final: 600,
            max_new_tokens: 32,
            align_steps: 40,
            sft_steps: 80,
            grpo_steps: 24,
        }
    }

    /// The same flow, cut short.
    pub(super) fn quick(seed: u64) -> Self {
        let full = Self::full(seed);
        Self {
            task: DigitTask { num_train: 800, num_held_out: 100, ..full.task },
            reading: DigitTask { num_train: 640, ..full.reading },
            num_between: 50,
            num_final: 100,
            align_steps: 24,
            sft_steps: 24,
            grpo_steps: 2,
            ..full
        }
    }

    /// The settings of the adapter's first training, on pictures of one digit.
    pub(super) fn align(&self, paths: &[(&str, PathBuf)]) -> Result<SftConfig, recipes::Error> {
        self.supervised(self.align_steps, "constant_with_warmup", paths)
    }

    /// The settings of supervised fine-tuning on chains of thought.
    pub(super) fn sft(&self, paths: &[(&str, PathBuf)]) -> Result<SftConfig, recipes::Error> {
        self.supervised(self.sft_steps, "cosine", paths)
    }

    fn supervised(
        &self,
        max_steps: u64,
        schedule: &str,
        paths: &[(&str, PathBuf)],
    ) -> Result<SftConfig, recipes::Error> {
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
        load(None, &self.keys(&values, max_steps, paths))
    }

    /// The settings of reinforcement.
    pub(super) fn grpo(&self, paths: &[(&str, PathBuf)]) -> Result<GrpoConfig, recipes::Error> {
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
        load(None, &self.keys(&values, self.grpo_steps, paths))
    }

    fn keys(
        &self,
        values: &[(&str, &str)],
        max_steps: u64,
        paths: &[(&str, PathBuf)],
    ) -> Vec<(String, String)> {
        let pair = |key: &str, value: String| (key.to_owned(), value);
        let quoted = |path: &PathBuf| toml::Value::from(path.display().to_string()).to_string();
        let mut keys = vec![
            pair("seed", self.task.seed.to_string()),
            pair("max_steps", max_steps.to_string()),
        ];
        keys.extend(values.iter().map(|&(key, value)| pair(key, value.to_owned())));
        keys.extend(paths.iter().map(|(key, path)| pair(key, quoted(path))));
        keys
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
        let keys = found.as_table().unwrap().iter().filter(|(key, _)| own(key)).chain(shared);
        let mut keys: Vec<_> = keys.map(|(key, value)| (key.clone(), value.to_string())).collect();
        keys.push(("output_dir".to_owned(), "'out'".to_owned()));
        resolved(&load::<R>(None, &keys).unwrap()).unwrap()
    }

    fn paths(dataset: &str, adapter: Option<&'static str>) -> Vec<(&'static str, PathBuf)> {
        let mut paths = vec![
            ("model_name_or_path", "${vlm}".into()),
            ("dataset", dataset.into()),
            ("output_dir", "out".into()),
            ("feature_cache", "${output_dir}/features".into()),
        ];
        paths.extend(adapter.map(|adapter| ("adapter_name_or_path", adapter.into())));
        paths
    }

    #[test]
    fn the_pipeline_of_the_same_name_has_the_same_settings() {
        let plan = Plan::full(1);
        let align = plan.align(&paths("${reading}/train.jsonl", None)).unwrap();
        assert_eq!(stage::<SftConfig>("align"), resolved(&align).unwrap());
        let sft = plan.sft(&paths("${digits}/train.jsonl", Some("${align.checkpoint}"))).unwrap();
        assert_eq!(stage::<SftConfig>("sft"), resolved(&sft).unwrap());
        let grpo = plan.grpo(&paths("${digits}/train.jsonl", Some("${sft.checkpoint}"))).unwrap();
        assert_eq!(stage::<GrpoConfig>("grpo"), resolved(&grpo).unwrap());
    }
}
