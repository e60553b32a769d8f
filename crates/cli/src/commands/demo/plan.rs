//! What the demo does at which size: the task, the two training runs, the evaluations.

use std::path::Path;

use data::digits::{DigitTask, Operator, OperatorPlace, Paper, Thought};
use recipes::config::load;
use recipes::grpo::GrpoConfig;
use recipes::sft::SftConfig;

/// Sizes of everything.
pub(super) struct Plan {
    /// The picture task.
    pub task: DigitTask,
    /// Patches merged into one visual token along each side.
    pub unshuffle: usize,
    /// Held-out items between stages.
    pub num_between: usize,
    /// Held-out items for SFT and GRPO at the end.
    pub num_final: usize,
    /// Most tokens of an answer.
    pub max_new_tokens: usize,
    sft: Vec<(&'static str, &'static str)>,
    grpo: Vec<(&'static str, &'static str)>,
    seed: u64,
}

impl Plan {
    /// The default: fifteen minutes on two cores.
    pub(super) fn full(seed: u64) -> Self {
        Self {
            task: task(seed),
            unshuffle: 4,
            num_between: 300,
            num_final: 600,
            max_new_tokens: 32,
            sft: vec![("max_steps", "240"), ("per_device_train_batch_size", "16")],
            grpo: vec![("max_steps", "24")],
            seed,
        }
    }

    /// The same flow in three minutes.
    pub(super) fn quick(seed: u64) -> Self {
        let task = DigitTask { num_train: 400, num_held_out: 60, ..task(seed) };
        Self {
            task,
            num_between: 30,
            num_final: 60,
            sft: vec![("max_steps", "30"), ("per_device_train_batch_size", "16")],
            grpo: vec![("max_steps", "2")],
            ..Self::full(seed)
        }
    }

    /// The settings of supervised fine-tuning.
    pub(super) fn sft(&self, paths: &[(&str, &Path)]) -> Result<SftConfig, recipes::Error> {
        let fixed = [
            ("learning_rate", "2e-3"),
            ("warmup_ratio", "0.03"),
            ("weight_decay", "0.01"),
            ("loss_reduction", "token"),
            ("save_steps", "60"),
            ("save_total_limit", "2"),
        ];
        load(None, &self.keys(&[&fixed, &self.sft], paths))
    }

    /// The settings of reinforcement.
    pub(super) fn grpo(&self, paths: &[(&str, &Path)]) -> Result<GrpoConfig, recipes::Error> {
        let fixed = [
            ("learning_rate", "5e-4"),
            ("lr_scheduler_type", "constant"),
            ("num_generations", "8"),
            ("per_device_train_batch_size", "64"),
            ("gradient_accumulation_steps", "2"),
            ("save_steps", "12"),
            ("save_total_limit", "2"),
        ];
        let length = self.max_new_tokens.to_string();
        let mut keys = self.keys(&[&fixed, &self.grpo], paths);
        keys.push(("max_completion_length".to_owned(), length));
        load(None, &keys)
    }

    fn keys(&self, tables: &[&[(&str, &str)]], paths: &[(&str, &Path)]) -> Vec<(String, String)> {
        let pairs = tables.iter().flat_map(|table| table.iter());
        let mut keys: Vec<_> =
            pairs.map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        let paths = paths.iter();
        keys.extend(
            paths.map(|(key, path)| {
                ((*key).to_owned(), format!("{:?}", path.display().to_string()))
            }),
        );
        keys.push(("seed".to_owned(), self.seed.to_string()));
        keys
    }
}

fn task(seed: u64) -> DigitTask {
    DigitTask {
        seed,
        operators: vec![Operator::Plus, Operator::Minus],
        num_digits: 2,
        max_digit: 9,
        tile: 56,
        operator_place: OperatorPlace::OwnTile,
        paper: Paper::Black,
        thought: Thought::Equation,
        num_train: 4000,
        num_held_out: 600,
        held_out_share: 0.2,
    }
}
