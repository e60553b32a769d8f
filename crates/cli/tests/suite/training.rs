//! `sft`, `grpo` and `eval`, one after the other, killed and gone on with.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::models::{golden, image, plain_vlm, vlm};
use crate::run::{binary, binary_path, fail, lines, run, succeed, succeed_json, text, write_lines};

/// Questions about one image that are answered 7 and 8 by turns: nothing tells which is right.
pub(crate) fn data(folder: &Path) -> PathBuf {
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
    path
}

/// Keys that both recipes need.
fn keys<'a>(model: &'a Path, data: &'a Path, output: &'a Path) -> Vec<&'a str> {
    let paths = ["--model_name_or_path", text(model), "--dataset", text(data), "--output_dir"];
    let others = [text(output), "--save_steps", "5", "--per_device_train_batch_size", "4"];
    [&paths[..], &others].concat()
}

pub(crate) fn checkpoint(folder: &Path, step: u64) -> Vec<u8> {
    let path = folder.join(format!("checkpoint-{step}/trainable.safetensors"));
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn fine_tuned_then_reinforced_then_evaluated() {
    let folder = tempfile::tempdir().unwrap();
    let (model, data) = (plain_vlm(folder.path()), data(folder.path()));
    let [sft, merged, grpo, eval] =
        ["sft", "merged", "grpo", "eval"].map(|name| folder.path().join(name));
    let learn = ["--learning_rate", "5e-3", "--trainable", "adapter+llm", "--max_steps", "40"];
    let tuned = succeed_json(&[&["sft"][..], &keys(&model, &data, &sft), &learn].concat());
    assert_eq!(tuned["steps"], 40);
    assert!(tuned["metrics"]["loss"].as_f64().unwrap() < 1.0, "{tuned}");
    assert_eq!(lines(&sft.join("metrics.jsonl")).len(), 40);
    let newest = tuned["checkpoint"].as_str().unwrap();
    let parts = ["assemble", "--model", text(&model), "--adapter", newest, "--output"];
    succeed(&[&parts[..], &[text(&merged)]].concat());

    let learn = ["--learning_rate", "1e-2", "--max_steps", "5", "--num_generations", "4"];
    let limits = ["--max_completion_length", "4", "--lr_scheduler_type", "constant"];
    let run = [&["grpo"][..], &keys(&merged, &data, &grpo), &learn, &limits].concat();
    let reinforced = succeed_json(&run);
    assert_eq!(reinforced["steps"], 5);
    assert!(reinforced["metrics"]["effective_fraction/after"].is_number(), "{reinforced}");
    assert!(!lines(&grpo.join("completions.jsonl")).is_empty());
    for (run, words) in [(&sft, "Loss"), (&grpo, "Completions that teach")] {
        succeed(&["report", text(run)]);
        assert!(fs::read_to_string(run.join("report.html")).unwrap().contains(words));
    }

    let adapter = grpo.join("checkpoint-5");
    let paths = ["eval", "--model", text(&merged), "--adapter", text(&adapter)];
    let others = ["--input", text(&data), "--output", text(&eval), "--max_new_tokens", "4"];
    let measured = succeed_json(&[&paths[..], &others].concat());
    assert_eq!(
        (&measured["image"]["num_items"], &measured["blind"]["num_items"]),
        (&json!(4), &json!(4))
    );
    assert_eq!(lines(&eval.join("completions.jsonl")).len(), 4);
    assert!(eval.join("summary.json").exists() && eval.join("config.toml").exists());
    let table = succeed(&[&paths[..], &others, &["--limit", "2", "--blind=false"]].concat());
    assert!(table.contains("accuracy") && table.contains("checkpoint-5"), "{table}");
}

#[test]
fn a_reward_of_ones_own_and_the_page_of_its_run() {
    let folder = tempfile::tempdir().unwrap();
    let (model, data, output) = (vlm(), data(folder.path()), folder.path().join("grpo"));
    // Every question is written down, so the file says what the program was shown.
    let asked = folder.path().join("asked.jsonl");
    let script = format!(
        "while read -r line; do printf '%s\\n' \"$line\" >> {}; echo '{{\"rewards\": [1, 0, 1, 0]}}'; done",
        asked.display()
    );
    let custom = format!("{{command = [\"sh\", \"-c\", {}]}}", toml_text(&script));
    let learn = ["--learning_rate", "1e-3", "--max_steps", "2", "--num_generations", "4"];
    let limits = ["--max_completion_length", "4", "--max_num_gen_batches", "2"];
    let judge = golden("reward-tiny");
    let own = ["--custom_reward", custom.as_str(), "--reward_model", text(&judge)];
    let run = [&["grpo"][..], &keys(&model, &data, &output), &learn, &limits, &own].concat();
    // The model is untaught, so no answer is right and nothing is learned; it was asked all the same.
    fail(&run, 1, &["2 rollouts without a group of mixed outcomes"]);
    let asked = lines(&asked);
    assert_eq!(asked.len(), 2);
    assert_eq!(
        (&asked[0]["answer"], asked[0]["completions"].as_array().unwrap().len()),
        (&json!("7"), 4)
    );
    assert!(Path::new(asked[0]["images"][0].as_str().unwrap()).is_file());
    let said = lines(&output.join("completions.jsonl"));
    let custom: Vec<f64> = said.iter().map(|line| line["custom"].as_f64().unwrap()).collect();
    assert_eq!(custom, [1.0, 0.0, 1.0, 0.0].repeat(2));
    assert!(said.iter().all(|line| line["model"].as_f64().is_some_and(f64::is_finite)));

    fs::write(output.join("metrics.jsonl"), METRICS).unwrap();
    let page = output.join("page.html");
    succeed(&["report", text(&output), "--output", text(&page), "--steps", "1"]);
    let page = fs::read_to_string(page).unwrap();
    for words in ["Reward components", "custom", "Advantages", "kl: steps 1 to 2", "How many?"] {
        assert!(page.contains(words), "{words}");
    }
    assert!(page.contains("<img src=\"data:image") && !page.contains("<script"));
    fail(&["report", text(folder.path())], 1, &["metrics.jsonl"]);
}

/// Two steps with an alarm.
const METRICS: &str = "\
{\"step\": 1, \"reward\": 0.5, \"rewards/custom/mean\": 0.5, \"alarms/kl\": 1.0}
{\"step\": 2, \"reward\": 0.6, \"rewards/custom/mean\": 0.7, \"alarms/kl\": 1.0}
";

/// A text as TOML writes it.
fn toml_text(text: &str) -> String {
    toml::Value::from(text).to_string()
}

#[test]
fn a_killed_run_ends_with_the_same_weights() {
    let folder = tempfile::tempdir().unwrap();
    let (model, data) = (vlm(), data(folder.path()));
    let [whole, killed] = ["whole", "killed"].map(|name| folder.path().join(name));
    let learn = ["--learning_rate", "1e-3", "--max_steps", "60"];
    succeed(&[&["sft"][..], &keys(&model, &data, &whole), &learn].concat());
    let again = [&["sft"][..], &keys(&model, &data, &killed), &learn].concat();
    let mut child = binary(&again).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while !killed.join("checkpoint-5").exists() {
        let ended = child.try_wait().unwrap();
        assert!(ended.is_none_or(|status| status.success()), "it failed by itself");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let ended = run(&again);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stderr.contains("going on from"), "{ended:?}");
    assert!(checkpoint(&killed, 60) == checkpoint(&whole, 60), "bit-identical weights");
    assert_eq!(lines(&killed.join("metrics.jsonl")).len(), 60);
}

/// A disk that is full is played by a limit on the size of files.
#[test]
#[cfg(unix)]
fn a_full_disk_leaves_the_previous_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let (model, data, output) = (vlm(), data(folder.path()), folder.path().join("out"));
    let learn = ["--learning_rate", "1e-3", "--max_steps", "10"];
    let again = [&["sft"][..], &keys(&model, &data, &output), &learn].concat();
    succeed(&again);
    let (earlier, last) = (checkpoint(&output, 5), checkpoint(&output, 10));
    fs::remove_dir_all(output.join("checkpoint-10")).unwrap();
    // 20 kB: enough for metrics, not for the adapter. The signal is turned into an error.
    let limited = "trap '' XFSZ; ulimit -f 40; exec \"$0\" \"$@\"";
    let shell = Command::new("sh").args(["-c", limited, binary_path()]).args(&again).output();
    let ended = shell.unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("error: ") && said.contains("checkpoint-10"), "{said}");
    assert!(checkpoint(&output, 5) == earlier && !output.join("checkpoint-10").exists());
    succeed(&again);
    assert!(checkpoint(&output, 10) == last);
}

#[test]
fn low_rank_terms_are_used_and_merged() {
    let folder = tempfile::tempdir().unwrap();
    let (model, data) = (plain_vlm(folder.path()), data(folder.path()));
    let [sft, merged] = ["sft", "merged"].map(|name| folder.path().join(name));
    let learn = ["--trainable", "adapter+lora", "--lora_r", "4", "--lora_alpha", "16"];
    let steps = ["--max_steps", "5", "--learning_rate", "1e-2"];
    succeed(&[&["sft"][..], &keys(&model, &data, &sft), &learn, &steps].concat());
    let checkpoint = sft.join("checkpoint-5");
    let with = ["--model", text(&model), "--adapter", text(&checkpoint)];
    succeed(&[&["assemble"][..], &with, &["--output", text(&merged)]].concat());
    let picture = image();
    let ask = |model: &[&str]| {
        let question = ["--prompt", "?", "--image", text(&picture), "--max-new-tokens", "4"];
        let answer = succeed_json(&[&["generate"][..], model, &question].concat());
        answer[0]["logprobs"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_f64)
            .collect::<Vec<_>>()
    };
    let (beside, inside) = (ask(&with), ask(&["--model", text(&merged)]));
    assert!(beside.iter().zip(&inside).all(|(a, b)| (a - b).abs() < 1e-3), "{beside:?} {inside:?}");
    assert_ne!(beside, ask(&["--model", text(&model)]));
    // A run whose checkpoints would lack them is refused.
    let grpo = folder.path().join("grpo");
    let learn =
        ["--learning_rate", "1e-3", "--num_generations", "4", "--adapter", text(&checkpoint)];
    let words = ["adapter_name_or_path", "lora_A", "trainable = \"adapter\"", "assemble"];
    fail(&[&["grpo"][..], &keys(&model, &data, &grpo), &learn].concat(), 1, &words);
}

#[test]
fn a_dry_run_counts_and_loads_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (model, data, output) = (vlm(), data(folder.path()), folder.path().join("out"));
    let keys = keys(&model, &data, &output);
    let learn = ["--learning_rate", "1e-3", "--num_train_epochs", "3", "--dry-run"];
    let plan = succeed_json(&[&["sft"][..], &keys, &learn].concat());
    assert_eq!(plan["config"]["learning_rate"], 1e-3);
    assert_eq!((&plan["plan"]["num_samples"], &plan["plan"]["steps"]), (&json!(4), &json!(3)));
    assert_eq!(plan["plan"]["num_parameters"], 21_120);
    assert!(plan["plan"]["memory"]["weights"].as_u64().unwrap() > 1_000_000);
    let said = succeed(&[&["sft"][..], &keys, &learn].concat());
    assert!(said.contains("learning_rate = 0.001") && said.contains("steps     3"), "{said}");
    let learn = ["--learning_rate", "1e-3", "--num_generations", "2", "--dry-run"];
    let plan = succeed_json(&[&["grpo"][..], &keys, &learn].concat());
    assert_eq!(plan["plan"]["steps"], 2);
    // A second model draws, and each rollout is learned from twice.
    let more = ["--max_staleness", "1", "--num_iterations", "2"];
    let twice = succeed_json(&[&["grpo"][..], &keys, &learn, &more].concat());
    assert_eq!(twice["plan"]["steps"], 4);
    let weights = |plan: &Value| plan["plan"]["memory"]["weights"].as_u64().unwrap();
    assert_eq!(weights(&twice), 2 * weights(&plan));
    let paths = ["--model", text(&model), "--input", text(&data), "--output", text(&output)];
    let more = ["--max_new_tokens", "4", "--dry-run"];
    let plan = succeed_json(&[&["eval"][..], &paths, &more].concat());
    assert_eq!((&plan["num_questions"], &plan["config"]["blind"]), (&json!(4), &json!(true)));
    assert!(!output.exists());
}

#[test]
fn a_dry_run_refuses_what_the_run_would() {
    let folder = tempfile::tempdir().unwrap();
    let (model, data, output) = (vlm(), data(folder.path()), folder.path().join("out"));
    let empty = folder.path().join("empty.jsonl");
    fs::write(&empty, "").unwrap();
    let pairs = folder.path().join("pairs.jsonl");
    let said = |text: &str| json!([{"role": "assistant", "content": text}]);
    let prompt = json!([{"role": "user", "content": "?"}]);
    write_lines(
        &pairs,
        &[json!({"prompt": prompt, "chosen": said("yes"), "rejected": said("no")})],
    );
    let check = |command: &str, dataset: &Path, more: &[&str], words: &[&str]| {
        let learn = ["--learning_rate", "1e-3", "--dry-run"];
        fail(&[&[command][..], &keys(&model, dataset, &output), &learn, more].concat(), 1, words);
    };
    let grpo = |more: &[&str], words: &[&str]| {
        check("grpo", &data, &[&["--num_generations", "2"], more].concat(), words);
    };
    grpo(&["--adapter", "nope"], &["nope: no such file or folder"]);
    grpo(&["--adapter", text(folder.path())], &["no checkpoint", "trainable.safetensors"]);
    grpo(&["--reward_model", "nope"], &["reward_model", "nope"]);
    grpo(&["--reward_model", text(&model)], &["reward_model", "no value head"]);
    let every = ["--eval_steps", "5"];
    grpo(&[&["--eval_dataset", "nope.jsonl"][..], &every].concat(), &["nope.jsonl"]);
    grpo(&[&["--probe_dataset", "nope.jsonl"][..], &every].concat(), &["nope.jsonl"]);
    check("grpo", &empty, &["--num_generations", "2"], &["empty.jsonl: no samples"]);
    check("sft", &empty, &[], &["empty.jsonl: no samples"]);
    check("sft", &data, &["--resume_from_checkpoint", "nope"], &["no checkpoint at nope"]);
    check("mpo", &empty, &[], &["empty.jsonl: no samples"]);
    let eval = ["--trainable", "adapter+llm", "--eval_dataset", "nope.jsonl"];
    check("mpo", &pairs, &eval, &["nope.jsonl"]);
    let paths = ["--model", text(&model), "--input", text(&data), "--output", text(&output)];
    let sampled = ["--num_generations", "2", "--max_completion_length", "4", "--threshold", "1"];
    let nobody = ["--reward_model", "nope", "--dry-run"];
    let build = [&["preferences", "build"][..], &paths, &sampled, &nobody].concat();
    fail(&build, 1, &["reward_model", "nope"]);
    let levels = ["--score_quantiles", "[0.1, 0.3, 0.5, 0.7, 0.9]", "--reward_model", "nope"];
    let levels = [&levels[..], &["--max_completion_length", "4"]].concat();
    check("iterative-sft", &data, &levels, &["reward_model", "nope"]);
    let nobody = ["--generator", "{model_name_or_path = \"nope\"}", "--max_new_tokens", "8"];
    let distill = ["distill", "--dataset", text(&data), "--output_dir", text(&output), "--dry-run"];
    fail(&[&distill[..], &nobody].concat(), 1, &["generator", "nope"]);
    assert!(!output.exists());
}

#[test]
fn a_file_is_overridden_by_options_and_saved_resolved() {
    let folder = tempfile::tempdir().unwrap();
    let (model, data, output) = (vlm(), data(folder.path()), folder.path().join("out"));
    let file = folder.path().join("sft.toml");
    let keys = format!(
        "model_name_or_path = {model:?}\ndataset = {data:?}\noutput_dir = {output:?}\n\
         learning_rate = 1e-3\nper_device_train_batch_size = 2\nsave_steps = 5\nmax_steps = 9\n"
    );
    fs::write(&file, keys).unwrap();
    succeed(&["sft", "--config", text(&file), "--max-steps=1", "--learning_rate", "2e-3"]);
    let resolved = fs::read_to_string(output.join("config.toml")).unwrap();
    for line in ["max_steps = 1\n", "learning_rate = 0.002\n", "trainable = \"adapter\"\n"] {
        assert!(resolved.contains(line), "no {line:?} in {resolved}");
    }
    // The resolved file says the same again.
    let saved = output.join("config.toml");
    succeed(&["sft", "--config", text(&saved)]);
}
