//! The recipes in `runs/`: every one is understood, and its plan needs no weights.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::run::{run, text};

fn recipes() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../runs");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut recipes: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|name| name == "toml")).collect();
    recipes.sort();
    recipes
}

#[test]
fn every_recipe_is_understood_before_anything_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut names = Vec::new();
    for recipe in recipes() {
        let output = folder.path().join("out");
        let plan =
            run(&["run", text(&recipe), "--output_dir", text(&output), "--dry-run", "--json"]);
        // The demonstration makes all that it reads; the papers' models and data are somewhere else.
        let name = recipe.file_stem().unwrap().to_string_lossy().into_owned();
        assert_eq!(plan.code, i32::from(!name.starts_with("demo")), "{recipe:?}: {}", plan.stderr);
        let plan: Vec<Value> = serde_json::from_str(&plan.stdout).unwrap();
        assert!(plan.len() > 1, "{recipe:?}");
        for stage in &plan {
            assert_eq!(stage["state"], "to_do", "{recipe:?}: {stage}");
            if let Some(error) = stage["error"].as_str() {
                assert!(
                    error.contains("data/") || error.contains("models/"),
                    "{recipe:?}: {error}"
                );
            }
            if stage["command"] == "iterative-sft" {
                let rounds = stage["plan"]["rounds"].as_array().unwrap();
                let thresholds = rounds.iter().map(|round| round["score_threshold"].clone());
                assert_eq!(thresholds.collect::<Value>(), json!([2.0, 3.0, 4.0, 5.0]));
            }
        }
        assert!(!output.exists());
        names.push(name);
    }
    let demos = ["demo-preferences", "demo-r1v", "demo-r1v2", "demo-reward", "demo"];
    let all = [&demos[..], &["r1v", "r1v2", "vl-reward"]].concat();
    assert_eq!(names, all);
}

#[test]
fn rounds_are_told_before_anything_is_there() {
    let recipe = recipes().into_iter().find(|path| path.ends_with("r1v.toml")).unwrap();
    let said = run(&["run", text(&recipe), "--dry-run"]).stdout;
    let rounds = "then 4 rounds at 1e-4, 2e-5, 2e-5, 2e-5 on scores from 2, 3, 4, 5, distilled anew before each, each measured";
    assert!(said.contains(rounds), "{said}");
}

/// Stages of a recipe by name, with their keys.
fn stages(name: &str) -> Vec<(String, toml::Table)> {
    let path = recipes().into_iter().find(|path| path.file_stem().unwrap() == name).unwrap();
    let recipe: toml::Table = std::fs::read_to_string(path).unwrap().parse().unwrap();
    let stages = recipe["stage"].as_array().unwrap().iter();
    let stages = stages.map(|stage| stage.as_table().unwrap().clone());
    stages.map(|stage| (stage["name"].as_str().unwrap().to_owned(), stage)).collect()
}

/// Values that the papers give, by stage and key.
#[test]
fn the_papers_values_stand_in_their_recipes() {
    for (recipe, stage, key, value) in [
        ("r1v", "mlp-1", "learning_rate", "2e-4"),
        ("r1v", "mlp-2", "learning_rate", "4e-5"),
        ("r1v", "mlp-3", "learning_rate", "4e-5"),
        ("r1v", "mlp-1", "weight_decay", "0.05"),
        ("r1v", "mlp-1", "gradient_accumulation_steps", "512"),
        ("r1v", "iterative", "score_thresholds", "[2, 3, 4, 5]"),
        ("r1v", "iterative", "round_learning_rates", "[1e-4, 2e-5]"),
        ("r1v", "grpo", "learning_rate", "1e-6"),
        ("r1v", "grpo", "num_generations", "8"),
        ("r1v", "grpo", "max_completion_length", "8192"),
        ("r1v2", "pairs", "threshold", "15.0"),
        ("r1v2", "mpo", "beta", "0.1"),
        ("r1v2", "grpo", "epsilon", "0.2"),
        ("r1v2", "eval-grpo", "num_samples", "5"),
        ("vl-reward", "reward", "learning_rate", "1e-5"),
        ("vl-reward", "reward", "second_learning_rate", "1e-6"),
        ("vl-reward", "reward", "num_train_epochs", "2"),
        ("vl-reward", "reward", "second_num_train_epochs", "2"),
    ] {
        let stages = stages(recipe);
        let (_, keys) = stages.iter().find(|(name, _)| name == stage).unwrap();
        let value: toml::Table = format!("value = {value}").parse().unwrap();
        assert_eq!(keys[key], value["value"], "{recipe}: {stage}: {key}");
    }
}
