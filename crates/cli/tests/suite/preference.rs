//! `preferences build` and `mpo`: pairs from a model's own answers, training on them, and in rounds.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::models::{golden, image, plain_vlm};
use crate::run::{fail, lines, succeed, succeed_json, text, write_lines};

/// A model that was taught to answer 7 as often as 8, and the questions it was taught on.
fn taught(folder: &Path) -> (PathBuf, PathBuf) {
    let path = folder.join("data.jsonl");
    let sample = |i: usize| {
        let answer = if i.is_multiple_of(2) { "7" } else { "8" };
        json!({
            "messages": [
                {"role": "user", "content": "<image>\nHow many?"},
                {"role": "assistant", "content": answer},
            ],
            "images": [text(&image())],
            "answer": "7",
        })
    };
    write_lines(&path, &(0..4).map(sample).collect::<Vec<_>>());
    let (model, sft, taught) = (plain_vlm(folder), folder.join("sft"), folder.join("taught"));
    let keys = ["--save_steps", "40", "--per_device_train_batch_size", "4", "--max_steps", "40"];
    let learn = ["--learning_rate", "5e-3", "--trainable", "adapter+llm"];
    let paths = ["sft", "--model_name_or_path", text(&model), "--dataset", text(&path)];
    let tuned = succeed_json(&[&paths[..], &["--output_dir", text(&sft)], &keys, &learn].concat());
    let newest = tuned["checkpoint"].as_str().expect("a path");
    succeed(&["assemble", "--model", text(&model), "--adapter", newest, "--output", text(&taught)]);
    (taught, path)
}

#[test]
fn pairs_are_built_trained_on_and_built_again() {
    let folder = tempfile::tempdir().unwrap();
    let (model, data) = taught(folder.path());
    let [pairs, run, rounds] = ["pairs", "run", "rounds"].map(|name| folder.path().join(name));
    let own = ["--model_name_or_path", text(&model), "--dataset", text(&data)];
    let draws = ["--num_generations", "8", "--max_completion_length", "4"];
    let plain = ["--require_format=false", "--output_dir", text(&pairs)];
    let build = [&["preferences", "build"][..], &own, &draws, &plain].concat();
    let plan = succeed(&[&build[..], &["--dry-run"]].concat());
    assert!(plan.contains("prompts   4 of") && plan.contains("responses 32, up to 128"), "{plan}");
    let built = succeed_json(&build);
    assert!(built["statistics"]["num_rule_pairs"].as_u64().unwrap() > 0, "{built}");
    let file = pairs.join("pairs.jsonl");
    let first = &lines(&file)[0];
    assert_eq!((&first["chosen"][0]["content"], &first["kind"]), (&json!("7"), &json!("rule")));

    // A reward model in the same process scores what the model says.
    let judged = folder.path().join("judged");
    let any = ["--require_format=false", "--require_correct=false", "--output_dir", text(&judged)];
    let reward = golden("reward-tiny");
    let scored = ["--reward_model", text(&reward), "--threshold_quantile", "0"];
    let build = [&["preferences", "build"][..], &own, &draws, &any, &scored].concat();
    let built = succeed_json(&build);
    assert!(built["statistics"]["num_score_pairs"].as_u64().unwrap() > 0, "{built}");
    for pair in lines(&judged.join("pairs.jsonl")) {
        let [chosen, rejected] = ["score_chosen", "score_rejected"].map(|side| pair[side].as_f64());
        assert!(pair["kind"] != "score" || chosen > rejected, "{pair}");
    }

    let own =
        ["--model_name_or_path", text(&model), "--save_steps", "2", "--learning_rate", "1e-3"];
    let batch = ["--per_device_train_batch_size", "2", "--trainable", "adapter+llm"];
    let place = ["--dataset", text(&file), "--output_dir", text(&run), "--max_steps", "4"];
    let mpo = [&["mpo"][..], &own, &batch, &place].concat();
    let plan = succeed(&[&mpo[..], &["--dry-run"]].concat());
    assert!(plan.contains("loss_type = [") && plan.contains("steps     4"), "{plan}");
    let trained = succeed_json(&mpo);
    assert_eq!(trained["steps"], 4);
    assert!(trained["metrics"]["rewards/margins"].as_f64().unwrap() > 0.0, "{trained}");
    // Where held-out pairs tell which checkpoint is the best, the run ends in that one.
    let held_out = folder.path().join("held-out");
    let place = ["--dataset", text(&file), "--output_dir", text(&held_out), "--max_steps", "4"];
    let measured = [&["mpo"][..], &own, &batch, &place, &["--eval_dataset", text(&file)]].concat();
    for _ in 0..2 {
        let trained = succeed_json(&measured);
        assert_eq!(trained["checkpoint"], text(&held_out.join("best")), "{trained}");
    }

    let table = "{num_generations = 8, max_completion_length = 4, require_format = false}";
    let place = ["--dataset", text(&data), "--output_dir", text(&rounds), "--num_rounds", "2"];
    let mpo = [&["mpo"][..], &own, &batch, &place, &["--preferences", table]].concat();
    assert!(succeed(&[&mpo[..], &["--dry-run"]].concat()).contains("scorer    none"));
    let trained = succeed_json(&mpo);
    let newest = trained["checkpoint"].as_str().unwrap();
    assert!(newest.contains("round-2"), "{trained}");
}

#[test]
fn settings_and_files_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let model = plain_vlm(folder.path());
    let data = folder.path().join("data.jsonl");
    let line: Value = json!({"prompt": "How many?", "chosen": "7"});
    write_lines(&data, &[line]);
    let out = folder.path().join("out");
    let paths = ["--model_name_or_path", text(&model), "--dataset", text(&data), "--output_dir"];
    let paths = [&paths[..], &[text(&out)]].concat();
    let train =
        ["--save_steps", "2", "--learning_rate", "1e-3", "--per_device_train_batch_size", "1"];
    let mpo = [&["mpo"][..], &paths, &train].concat();
    fail(&mpo, 1, &["data.jsonl: no samples"]);
    let stop = [&mpo[..], &["--bad_pairs", "stop"]].concat();
    fail(&stop, 1, &["data.jsonl:1: there is no `rejected`"]);
    fail(&[&mpo[..], &["--loss_weights", "[1.0]"]].concat(), 2, &["loss_weights", "loss_type"]);
    let build = [&["preferences", "build"][..], &paths].concat();
    fail(&[&build[..], &["--tau", "3"]].concat(), 2, &["unknown key `tau`", "threshold"]);
    let wrong = ["--reward_model", "http://localhost/rerank"];
    fail(&[&build[..], &wrong].concat(), 2, &["/rerank", "/classify"]);
    fail(&[&build[..], &["--judge", "{model = \"m\"}"]].concat(), 2, &["judge", "base_url"]);
}
