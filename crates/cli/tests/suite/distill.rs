//! `distill`: with a model in this process, with one behind a server, killed and taken up again.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{Reply, Server};

use crate::models::{image, plain_vlm};
use crate::run::{binary, fail, lines, run, succeed, succeed_json, text, write_lines};

fn dataset(folder: &Path, num_items: usize) -> PathBuf {
    let path = folder.join("data.jsonl");
    let sample = |number: usize| {
        json!({
            "messages": [{"role": "user", "content": format!("<image>\nQuestion {number}: how many?")}],
            "images": [text(&image())],
            "answer": number.to_string(),
        })
    };
    write_lines(&path, &(0..num_items).map(sample).collect::<Vec<_>>());
    path
}

/// The number of the question that is asked.
fn number(body: &Value) -> String {
    let content = body["messages"][0]["content"].to_string();
    let (_, rest) = content.split_once("Question ").expect("a question of ours");
    rest.split(':').next().expect("a number").to_owned()
}

/// The reply of a model that is always right.
fn right(body: &Value) -> Reply {
    let content = format!("<think>\nCounting.\n</think>\n\n\\boxed{{{}}}", number(body));
    let message = json!({"role": "assistant", "content": content});
    let prompt_tokens = if body["messages"][0]["content"].is_array() { 900 } else { 20 };
    Reply::json(&json!({
        "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": prompt_tokens, "completion_tokens": 60},
    }))
}

/// A server whose model is always right, and what it has said to which request.
fn server(said: &'static Mutex<HashMap<String, usize>>) -> Server {
    Server::start(move |_, body| {
        std::thread::sleep(Duration::from_millis(20));
        *said.lock().expect("no panic").entry(body.to_string()).or_insert(0) += 1;
        right(body)
    })
}

#[test]
fn a_model_of_ours_thinks_and_rules_judge() {
    let folder = tempfile::tempdir().expect("a folder");
    let (model, data) = (plain_vlm(folder.path()), dataset(folder.path(), 3));
    let out = folder.path().join("out");
    let generator = format!("{{model_name_or_path = {:?}}}", text(&model));
    let paths = ["distill", "--dataset", text(&data), "--output_dir", text(&out)];
    let keys = ["--max_new_tokens", "4", "--generator", &generator];
    let distill = [&paths[..], &keys].concat();
    let plan = succeed(&[&distill[..], &["--dry-run"]].concat());
    assert!(plan.contains("3 items, 3 with an image") && plan.contains("alpha = 0.2"), "{plan}");
    assert!(!out.exists());
    let done = succeed_json(&distill);
    assert_eq!(
        (&done["report"]["num_lines"], &done["report"]["outcomes"]),
        (&json!(3), &json!({"dropped": 3}))
    );
    let before = lines(&out.join("items.jsonl"));
    assert!(before.iter().all(|row| row["num_tokens"].as_f64() > Some(0.0)), "{before:?}");
    succeed(&distill);
    assert_eq!(lines(&out.join("items.jsonl")), before);
    let plan = succeed_json(&[&distill[..], &["--dry-run"]].concat());
    assert_eq!(plan["plan"]["stages"][0]["num_stored"], 3);
    let shown = succeed(&[&distill[..], &["--show", "--where", "line>2"]].concat());
    assert!(shown.contains("dropped") && shown.lines().count() == 2, "{shown}");
    let table = folder.path().join("all.parquet");
    let shown = succeed(&[&distill[..], &["--export", text(&table)]].concat());
    assert!(shown.contains("all.parquet: 3 rows") && table.exists(), "{shown}");
    fail(&[&distill[..], &["--where", "colour=red"]].concat(), 2, &["colour=red", "penalty"]);
    fail(&[&distill[..], &["--alpha", "-1"]].concat(), 2, &["alpha = -1"]);
    fail(&[&distill[..], &["--delta", "1"]].concat(), 2, &["unknown key `delta`"]);
    fail(
        &[&distill[..], &["--judge", "{base_url = \"http://x\"}"]].concat(),
        2,
        &["judge: give either"],
    );
}

#[test]
fn a_killed_run_pays_for_nothing_twice() {
    let said: &'static Mutex<HashMap<String, usize>> = Box::leak(Box::default());
    let server = server(said);
    let folder = tempfile::tempdir().expect("a folder");
    let (data, out) = (dataset(folder.path(), 40), folder.path().join("out"));
    let generator = format!(
        "{{base_url = {:?}, model = \"m\", num_parallel = 1, output_price = 10.0}}",
        server.address
    );
    let paths = ["distill", "--dataset", text(&data), "--output_dir", text(&out)];
    let keys = ["--max_new_tokens", "64", "--generator", &generator];
    let distill = [&paths[..], &keys].concat();
    let mut child = binary(&distill);
    let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let begun = Instant::now();
    while server.num_requests() < 50 && begun.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    assert!(!out.join("report.json").exists(), "it was killed in the middle");
    let num_before = server.num_requests();
    let done = succeed_json(&distill);
    assert_eq!(done["report"]["outcomes"], json!({"kept": 40}), "{done}");
    let said = said.lock().expect("no panic");
    // With and without the image, and the chain. The reply under way when it was killed may not have been written down.
    assert_eq!(said.len(), 120);
    assert!(said.values().sum::<usize>() <= 121 && num_before >= 50, "{num_before}");
    let stages = done["report"]["stages"].as_array().expect("a list");
    let generation = stages.iter().find(|stage| stage["stage"] == "generation").expect("a stage");
    let cost = generation["cost"].as_f64().expect("money");
    assert!(generation["num_results"] == 40 && (cost - 0.024).abs() < 1e-9, "{generation}");
    let distilled: Vec<Value> = lines(&out.join("distilled.jsonl"));
    assert!(distilled[7]["messages"][1]["content"].as_str().expect("text").ends_with("\\boxed{7}"));
}

#[test]
fn a_budget_ends_a_run_and_a_larger_one_goes_on() {
    let server = server(Box::leak(Box::default()));
    let folder = tempfile::tempdir().expect("a folder");
    let (data, out) = (dataset(folder.path(), 4), folder.path().join("out"));
    let paths = ["distill", "--dataset", text(&data), "--output_dir", text(&out)];
    let generator =
        |more: &str| format!("{{base_url = {:?}, model = \"m\", {more}}}", server.address);
    let [tight, wide, locked] = [
        "max_total_tokens = 4500",
        "max_total_tokens = 14000",
        "api_key_env = \"SIGHTLINE_NO_KEY\"",
    ]
    .map(generator);
    let keys = ["--max_new_tokens", "64", "--generator"];
    let run = |generator| [&paths[..], &keys, &[generator]].concat();
    fail(&run(&tight), 1, &["stopped early", "4160 of 4500 tokens"]);
    assert_eq!(server.num_requests(), 8, "chains would be too many");
    let done = succeed_json(&run(&wide));
    assert_eq!((&done["report"]["outcomes"], server.num_requests()), (&json!({"kept": 4}), 12));
    fail(&run(&locked), 2, &["generator", "SIGHTLINE_NO_KEY"]);
}

#[test]
fn items_that_failed_end_in_an_error_and_are_tried_again() {
    let is_well: &'static AtomicBool = Box::leak(Box::default());
    let server = Server::start(move |_, body| match number(body).as_str() {
        "2" if !is_well.load(Ordering::Relaxed) => Reply::Send(500, "oops".into()),
        _ => right(body),
    });
    let folder = tempfile::tempdir().expect("a folder");
    let (data, out) = (dataset(folder.path(), 4), folder.path().join("out"));
    let generator = format!("{{base_url = {:?}, model = \"m\", max_tries = 1}}", server.address);
    let paths = ["distill", "--dataset", text(&data), "--output_dir", text(&out)];
    let distill = [&paths[..], &["--max_new_tokens", "64", "--generator", &generator]].concat();
    let ended = run(&distill);
    assert_eq!(ended.code, 1, "{ended:?}");
    let error = "1 items failed, the same command tries them again";
    assert!(ended.stderr.contains(error), "{ended:?}");
    assert!(ended.stdout.contains("4 lines: 1 failed, 3 kept"), "{ended:?}");
    assert_eq!(lines(&out.join("distilled.jsonl")).len(), 3);
    is_well.store(true, Ordering::Relaxed);
    assert_eq!(succeed_json(&distill)["report"]["outcomes"], json!({"kept": 4}));
}

#[test]
fn a_second_process_is_kept_out_of_the_folder() {
    let server = server(Box::leak(Box::default()));
    let folder = tempfile::tempdir().expect("a folder");
    let (data, out) = (dataset(folder.path(), 1), folder.path().join("out"));
    let generator = format!("{{base_url = {:?}, model = \"m\"}}", server.address);
    let paths = ["distill", "--dataset", text(&data), "--output_dir", text(&out)];
    let distill = [&paths[..], &["--max_new_tokens", "64", "--generator", &generator]].concat();
    std::fs::create_dir(&out).expect("a folder");
    let first = File::create(out.join(".distill.lock")).expect("a file");
    first.lock().expect("nobody holds it");
    fail(&distill, 1, &[text(&out), "another run is writing to"]);
    assert!(server.num_requests() == 0 && !out.join("config.toml").exists());
    first.unlock().expect("it was locked");
    succeed(&distill);
}

#[test]
fn a_changed_distillation_of_a_pipeline_pays_for_nothing_twice() {
    let server = server(Box::leak(Box::default()));
    let folder = tempfile::tempdir().expect("a folder");
    let (data, out) = (dataset(folder.path(), 4), folder.path().join("out"));
    let path = folder.path().join("recipe.toml");
    let recipe = |check: &str| {
        let generator =
            format!("{{base_url = {:?}, model = \"m\", output_price = 10.0}}", server.address);
        let recipe = format!(
            "output_dir = {out:?}\n[[stage]]\nname = \"chains\"\ncommand = \"distill\"\ndataset = {data:?}\n\
             max_new_tokens = 64\nanswer_check = {check:?}\ngenerator = {generator}\n"
        );
        std::fs::write(&path, recipe).expect("a test file");
    };
    let pipeline = ["run", text(&path)];
    let plan = [&pipeline[..], &["--dry-run"]].concat();
    recipe("rule_or_judge");
    // With and without the image, and the chain; 64 tokens each.
    let said = succeed(&plan);
    assert!(said.contains("4 items, up to 12 requests, cost at most 0.0077"), "{said}");
    succeed(&pipeline);
    assert_eq!(server.num_requests(), 12);
    recipe("rule");
    let said = succeed(&plan);
    assert!(said.contains("changed (answer_check: "), "{said}");
    let done = succeed_json(&pipeline);
    assert_eq!(done["stages"][0]["result"]["report"]["outcomes"], json!({"kept": 4}));
    assert_eq!(server.num_requests(), 12, "stores and ledgers went along");
    assert!(out.join("chains.changed-1/report.json").exists());
}
