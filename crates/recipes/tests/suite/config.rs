//! Settings: what is accepted, what is refused and how, what is written down.

use std::fs;

use recipes::config::{Recipe, load, resolved};
use recipes::grpo::GrpoConfig;
use recipes::run::Watch;
use recipes::sft::{SftConfig, sft};

use crate::common::{Place, samples};

const REQUIRED: &str = r#"
model_name_or_path = "vlm"
dataset = "train.jsonl"
output_dir = "out"
per_device_train_batch_size = 8
learning_rate = 1e-3
save_steps = 10
"#;

/// The message that a file of the required keys and `text` ends in.
fn refusal<R: Recipe>(text: &str, overrides: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.toml");
    fs::write(&path, format!("{REQUIRED}{text}")).unwrap();
    let overrides: Vec<_> =
        overrides.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
    load::<R>(Some(&path), &overrides).map(drop).unwrap_err().to_string()
}

fn check<R: Recipe>(text: &str, parts: &[&str]) {
    let message = refusal::<R>(text, &[]);
    assert!(parts.iter().all(|part| message.contains(part)), "{text}: {message}");
    assert!(!message.ends_with('.') && !message.ends_with('\n'), "{message}");
}

#[test]
fn unknown_keys_are_named() {
    check::<SftConfig>("learning_rat = 1", &["run.toml", "`learning_rat`", "learning_rate, "]);
    check::<SftConfig>("beta = 1", &["unknown key `beta`"]);
    check::<GrpoConfig>("packing = true", &["unknown key `packing`", "epsilon_high"]);
    check::<GrpoConfig>("reward_weights = {rule = 1, form = 0}", &["run.toml", "`form`"]);
    let message = refusal::<SftConfig>("", &[("no-such-key", "1")]);
    assert!(message.contains("command line") && message.contains("`no_such_key`"), "{message}");
}

#[test]
fn a_wrong_type_names_key_and_file() {
    check::<SftConfig>("max_steps = -5", &["run.toml", "`max_steps`", "-5"]);
    check::<SftConfig>("seed = 1.5", &["run.toml", "`seed`", "1.5"]);
    check::<SftConfig>("lora_r = -1", &["run.toml", "`lora_r`"]);
    check::<SftConfig>("adam_beta1 = \"x\"", &["run.toml", "`adam_beta1`", "\"x\""]);
    check::<SftConfig>("lr_scheduler_type = \"cosin\"", &["`lr_scheduler_type`", "cosine"]);
    check::<SftConfig>("dtype = \"float16\"", &["`dtype`", "bfloat16"]);
    check::<GrpoConfig>("loss_type = \"ppo\"", &["`loss_type`", "dr_grpo"]);
    check::<GrpoConfig>("seed = ", &["run.toml", "line 8"]);
    let message = refusal::<SftConfig>("", &[("learning_rate", "fast")]);
    assert!(message.contains("run.toml and command line"), "{message}");
    assert!(message.contains("`learning_rate`"), "{message}");
    let missing = load::<SftConfig>(None, &[]).map(drop).unwrap_err().to_string();
    assert!(missing.starts_with("command line: missing field"), "{missing}");
}

#[test]
fn contradictions_name_both_keys() {
    check::<SftConfig>("lora_r = 4", &["lora_r", "trainable = \"adapter\""]);
    let text = "feature_cache = \"f\"\ntrainable = \"adapter+vision\"";
    check::<SftConfig>(text, &["feature_cache", "trainable"]);
    let text = "warmup_ratio = 0.1\nlr_scheduler_type = \"constant\"";
    check::<SftConfig>(text, &["warmup_ratio = 0.1", "lr_scheduler_type = constant"]);
    let text = "num_generations = 3";
    check::<GrpoConfig>(text, &["per_device_train_batch_size = 8", "num_generations = 3"]);
}

#[test]
fn values_out_of_range_are_named() {
    for (text, part) in [
        ("max_length = 0", "max_length = 0: expected at least 1"),
        ("gradient_accumulation_steps = 0", "gradient_accumulation_steps = 0"),
        ("num_train_epochs = -1", "num_train_epochs = -1"),
        ("num_train_epochs = nan", "num_train_epochs = NaN"),
        ("trainable = \"all\"", "adapter+lora"),
        ("trainable = \"adapter+lora\"\nlora_r = 0", "lora_r = 0"),
        ("save_total_limit = 0", "save_total_limit = 0"),
        ("adam_beta2 = 1.0", "adam_beta2 = 1"),
    ] {
        check::<SftConfig>(text, &[part]);
    }
    for (text, part) in [
        ("num_generations = 1", "num_generations = 1: expected at least 2"),
        ("temperature = 0", "temperature = 0"),
        ("top_p = 1.5", "top_p is 1.5"),
        ("beta = -1", "beta = -1"),
        ("epsilon_high = inf", "epsilon_high = inf"),
        ("max_completion_length = 0", "max_completion_length = 0"),
        ("reward_weights = {rule = -1, format = 0}", "reward_weights.rule = -1"),
    ] {
        check::<GrpoConfig>(text, &[part]);
    }
}

#[test]
fn what_is_resolved_loads_as_the_same() {
    fn check<R: Recipe>(text: &str, expected: &[&str]) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.toml");
        fs::write(&path, format!("{text}{REQUIRED}")).unwrap();
        let first = resolved(&load::<R>(Some(&path), &[]).unwrap()).unwrap();
        fs::write(&path, &first).unwrap();
        assert_eq!(resolved(&load::<R>(Some(&path), &[]).unwrap()).unwrap(), first);
        assert!(expected.iter().all(|line| first.lines().any(|l| l == *line)), "{first}");
        let num_keys = first.lines().filter(|line| line.contains('=')).count();
        assert!(num_keys <= 40, "{num_keys} keys");
    }
    check::<SftConfig>(
        "trainable = \"adapter+lora\"\nlora_r = 4\n",
        &["lora_r = 4", "max_length = 16384", "loss_reduction = \"square\"", "seed = 42"],
    );
    let text = "epsilon_high = 0.28\nreward_weights = {rule = 1, format = 0.5}\n";
    check::<GrpoConfig>(text, &["epsilon_high = 0.28", "num_generations = 8", "rule = 1.0"]);
}

#[test]
fn overrides_are_values_or_text() {
    let keys = [("learning-rate", "2e-4"), ("trainable", "adapter+lora"), ("packing", "true")];
    let config: SftConfig = Place::new(&[]).config(&keys);
    assert_eq!(config.optimizer.learning_rate, 2e-4);
    assert_eq!(config.model.trainable, "adapter+lora");
    assert!(config.samples.packing);
}

#[test]
fn a_run_leaves_its_settings_and_goes_on_under_the_same_alone() {
    let place = Place::new(&samples()).with("max_steps", 2).with("save_steps", 1);
    let config: SftConfig = place.config(&[]);
    sft(&config, Watch::nobody()).unwrap();
    let file = place.path("out/config.toml");
    let again: SftConfig = load(Some(&file), &[]).unwrap();
    assert_eq!(resolved(&again).unwrap(), resolved(&config).unwrap());
    let other: SftConfig = place.config(&[("learning_rate", "0.5"), ("max_grad_norm", "9")]);
    let message = sft(&other, Watch::nobody()).map(drop).unwrap_err().to_string();
    assert!(message.contains("learning_rate: 0.001, now 0.5"), "{message}");
    assert!(message.contains("max_grad_norm: 1.0, now 9.0"), "{message}");
    assert_eq!(fs::read_to_string(&file).unwrap(), resolved(&config).unwrap());
    // How often a run saves is not what it computes.
    sft(&place.config(&[("save_steps", "7")]), Watch::nobody()).unwrap();
}
