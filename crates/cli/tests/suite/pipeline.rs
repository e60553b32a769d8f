//! `run`: a pipeline planned, run, killed, gone on with, changed, and the recipes of `runs/`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::models::{copy, plain_vlm};
use crate::run::{binary, fail, lines, run, succeed, succeed_json, text};
use crate::training::{checkpoint, data};

/// Fine-tuning, its result as a folder, reinforcement of that, and an evaluation of each.
fn recipe(folder: &Path, sft_steps: u64) -> PathBuf {
    let (model, data) = (folder.join("vlm"), folder.join("data.jsonl"));
    let text = format!(
        r#"
output_dir = {out:?}

[shared]
seed = 3
save_steps = 5
per_device_train_batch_size = 4

[[stage]]
name = "sft"
command = "sft"
model_name_or_path = {model:?}
dataset = {data:?}
trainable = "adapter+llm"
learning_rate = 5e-3
max_steps = {sft_steps}

[[stage]]
name = "merged"
command = "assemble"
model = {model:?}
adapter = "${{sft.checkpoint}}"

[[stage]]
name = "grpo"
command = "grpo"
model_name_or_path = "${{merged}}"
dataset = {data:?}
learning_rate = 1e-2
max_steps = 5
num_generations = 4
max_completion_length = 4
feature_cache = "${{output_dir}}/features"

[[stage]]
name = "eval"
command = "eval"
model_name_or_path = "${{merged}}"
adapter_name_or_path = "${{grpo.checkpoint}}"
dataset = {data:?}
max_new_tokens = 4
"#,
        out = folder.join("out"),
    );
    let path = folder.join("recipe.toml");
    fs::write(&path, text).unwrap();
    path
}

fn prepare(folder: &Path) {
    plain_vlm(folder);
    data(folder);
}

fn states(plan: &Value) -> Vec<&str> {
    let stages = plan.as_array().unwrap().iter();
    stages.map(|stage| stage["state"].as_str().unwrap()).collect()
}

#[test]
fn stages_are_planned_run_once_and_changed_ones_again() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let (path, out) = (recipe(folder.path(), 40), folder.path().join("out"));
    let path = text(&path);

    let plan = succeed_json(&["run", path, "--dry-run"]);
    assert_eq!(states(&plan), ["to_do"; 4]);
    assert_eq!(&plan[0]["plan"]["steps"], &json!(40));
    assert!(plan[0]["plan"]["work"]["seconds"].as_f64() > Some(0.0));
    // The model that it will be made of is there, and has the same size.
    assert_eq!(
        (&plan[2]["plan"]["steps"], &plan[3]["plan"]["num_questions"]),
        (&json!(5), &json!(4))
    );
    assert_eq!(plan[2]["inputs"][0], "merged");
    assert!(!out.exists());

    let first = succeed_json(&["run", path, "--until", "merged"]);
    assert_eq!(first["stages"].as_array().unwrap().len(), 2);
    let plan = succeed_json(&["run", path, "--dry-run"]);
    assert_eq!(states(&plan), ["done", "done", "to_do", "to_do"]);
    assert!(plan[2]["plan"]["memory"]["weights"].as_u64().unwrap() > 100_000);
    let said = succeed(&["run", path, "--dry-run"]);
    assert!(said.contains("5 steps") && said.contains(" s here"), "{said}");

    let whole = succeed_json(&["run", path]);
    let is_new: Vec<_> =
        whole["stages"].as_array().unwrap().iter().map(|s| s["is_new"].clone()).collect();
    assert_eq!(is_new, [false, false, true, true]);
    assert_eq!(whole["stages"][3]["result"]["image"]["num_items"], 4);
    let table = succeed(&["run", path]);
    assert!(table.contains("done before") && table.contains("accuracy"), "{table}");

    // It does not matter where the folder is.
    let moved = folder.path().join("moved");
    fs::rename(&out, &moved).unwrap();
    let plan = succeed_json(&["run", path, "--output_dir", text(&moved), "--dry-run"]);
    assert_eq!(states(&plan), ["done"; 4]);
    fs::rename(&moved, &out).unwrap();

    // What a later stage would need must be there.
    fs::rename(out.join("grpo/checkpoint-5"), out.join("grpo/elsewhere")).unwrap();
    let plan = succeed_json(&["run", path, "--dry-run"]);
    assert_eq!(states(&plan), ["done", "done", "begun", "done"]);
    fs::rename(out.join("grpo/elsewhere"), out.join("grpo/checkpoint-5")).unwrap();

    // Another number of steps makes another policy: what came of the old one is kept beside.
    recipe(folder.path(), 35);
    let plan = succeed_json(&["run", path, "--dry-run"]);
    assert_eq!(states(&plan), ["changed"; 4]);
    assert_eq!(plan[0]["differences"], "max_steps: 40, now 35");
    succeed(&["run", path]);
    assert!(
        out.join("sft.changed-1/checkpoint-40").exists() && out.join("sft/checkpoint-35").exists()
    );
    // So does a shared key of the command line, and what is inside a data set.
    let plan = succeed_json(&["run", path, "--dry-run", "--seed", "4"]);
    assert_eq!(states(&plan), ["changed"; 4]);
    let data = folder.path().join("data.jsonl");
    let some: Vec<Value> = lines(&data).into_iter().take(3).collect();
    crate::run::write_lines(&data, &some);
    assert_eq!(states(&succeed_json(&["run", path, "--dry-run"])), ["changed"; 4]);
}

/// A stage that makes data, and two that learn: from these, and from a file.
fn made_and_given(folder: &Path, given: &str) -> PathBuf {
    let sft = |name: &str, dataset: &str| {
        format!(
            "[[stage]]\nname = {name:?}\ncommand = \"sft\"\nmodel_name_or_path = {:?}\n\
             dataset = {dataset:?}\ntrainable = \"adapter+llm\"\nlearning_rate = 1e-3\n\
             save_steps = 5\nper_device_train_batch_size = 2\n",
            folder.join("vlm")
        )
    };
    let text = format!(
        "output_dir = {:?}\n[[stage]]\nname = \"sums\"\ncommand = \"data arithmetic\"\n{}{}",
        folder.join("out"),
        sft("from-sums", "${sums}/train.jsonl"),
        sft("from-file", text(&folder.join(given)))
    );
    let path = folder.join("two.toml");
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn a_plan_tells_what_waits_from_what_cannot_run() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let plan = |given: &str, code: i32| {
        let path = made_and_given(folder.path(), given);
        let ended = run(&["run", text(&path), "--dry-run", "--json"]);
        assert_eq!(ended.code, code, "{ended:?}");
        let plan: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(states(&plan), ["to_do"; 3]);
        let is_said = ["plan", "waits_for", "error"].map(|key| !plan[0][key].is_null());
        assert_eq!(is_said, [false; 3], "a stage without inputs: {plan}");
        assert_eq!(plan[1]["waits_for"], json!(["sums"]));
        (plan[2].clone(), ended.stderr)
    };
    let (sound, _) = plan("data.jsonl", 0);
    assert_eq!(sound["plan"]["num_samples"], 4);
    let good = fs::read_to_string(folder.path().join("data.jsonl")).unwrap();
    let first = good.lines().next().unwrap();
    fs::write(folder.path().join("bad.jsonl"), format!("{first}\n{{\"messages\": x\n")).unwrap();
    let (bad, said) = plan("bad.jsonl", 1);
    assert!(bad["error"].as_str().unwrap().contains("bad.jsonl:2:14: expected value"), "{bad}");
    assert!(said.contains("stages that cannot run: from-file"), "{said}");
    let (gone, _) = plan("gone.jsonl", 1);
    assert!(gone["error"].as_str().unwrap().contains("gone.jsonl"), "{gone}");
    let ended = run(&["run", text(&folder.path().join("two.toml")), "--dry-run"]);
    let words = ["waits for sums", "cannot run: no such file or folder: "];
    assert!(words.iter().all(|word| ended.stdout.contains(word)), "{ended:?}");
}

#[test]
fn a_killed_pipeline_ends_with_the_same_weights() {
    let [whole, killed] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    prepare(whole.path());
    copy(&whole.path().join("vlm"), &killed.path().join("vlm"));
    data(killed.path());
    let recipes = [&whole, &killed].map(|folder| recipe(folder.path(), 60));
    succeed(&["run", text(&recipes[0])]);
    // Inside the first stage, and inside the third.
    for place in ["out/sft/checkpoint-5", "out/grpo/metrics.jsonl"] {
        let again = ["run", text(&recipes[1])];
        let mut child = binary(&again).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while !killed.path().join(place).exists() {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none_or(|status| status.success()), "it failed by itself");
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let ended = run(&["run", text(&recipes[1])]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stderr.contains("1/4 sft: done"), "{ended:?}");
    for (stage, step) in [("sft", 60), ("grpo", 5)] {
        let of = |folder: &Path| checkpoint(&folder.join("out").join(stage), step);
        assert!(of(whole.path()) == of(killed.path()), "{stage}: bit-identical weights");
    }
}

#[test]
fn mistakes_in_a_recipe_are_wrong_usage() {
    let folder = tempfile::tempdir().unwrap();
    let path = recipe(folder.path(), 5);
    let text_of = fs::read_to_string(&path).unwrap();
    fs::write(&path, text_of.replace("max_new_tokens", "max_new_token")).unwrap();
    fail(&["run", text(&path)], 2, &["recipe.toml", "stage eval", "unknown key `max_new_token`"]);
    fs::write(&path, &text_of).unwrap();
    fail(&["run", text(&path), "--until", "mpo"], 2, &["no such stage", "sft, merged, grpo, eval"]);
    fail(&["run", text(&path), "--beta", "x"], 2, &["beta"]);
    fail(&["run", "missing.toml"], 2, &["missing.toml"]);
    // A stage that fails says which one it is.
    fail(&["run", text(&path)], 1, &["stage sft", "vlm"]);
}
