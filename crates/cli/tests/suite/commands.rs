//! `preprocess`, `inspect`, `generate` and `logprobs` against the reference's numbers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use testkit::{Golden, Tolerance, assert_close};

use crate::models::{image, vlm};
use crate::run::{binary, fail, lines, run, succeed, succeed_json, text, write_lines};

const QUESTION: &str = "<image>\nWhat is the sum of the number of red squares and 17?";
const ANSWER: &str = "First, think about the chart.\n</think>\n\nAnswer: \\boxed{21}<|im_end|>";

fn reference() -> Golden {
    Golden::open(vlm().join("reference.safetensors"))
}

fn line(question: &str) -> Value {
    json!({"messages": [{"role": "user", "content": question}], "images": [text(&image())]})
}

#[test]
fn preprocess_equals_the_reference() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("pixels.safetensors");
    let (model, image) = (vlm(), image());
    let arguments =
        ["preprocess", "--model", text(&model), "--image", text(&image), "--output", text(&output)];
    let result = succeed_json(&arguments);
    assert_eq!((&result["grid"], &result["num_tokens"]), (&json!([2, 1]), &json!(12)));
    let written = Golden::open(&output);
    let exact = Tolerance::absolute(0.0);
    let want = reference().f32("pixel_values");
    assert_close("pixel values", &written.f32("pixel_values"), &want, exact);
    assert_eq!(written.shape("pixel_values"), [3, 3, 56, 56]);
    assert_eq!(written.i64("grid"), [2, 1]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left behind");
}

#[test]
fn greedy_tokens_equal_the_reference() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in.jsonl"), folder.path().join("out.jsonl"));
    // The same question as text with a tag, as OpenAI-style parts, and beside another one.
    let parts = json!([
        {"type": "image", "image": text(&image())},
        {"type": "text", "text": QUESTION.trim_start_matches("<image>\n")},
    ]);
    let openai = json!({"messages": [{"role": "user", "content": parts}], "level": 3});
    write_lines(&input, &[line(QUESTION), openai, line("Another one?<image>")]);
    let model = vlm();
    let arguments = ["generate", "--model", text(&model), "--input", text(&input), "--output"];
    succeed(&[&arguments[..], &[text(&output), "--max-new-tokens", "24"]].concat());
    let found = lines(&output);
    let want: Vec<i32> = reference().i32("greedy_ids");
    for line in &found[..2] {
        assert_eq!(line["token_ids"], json!(want));
        assert_eq!(line["finish_reason"], "length");
        assert_eq!(line["logprobs"].as_array().unwrap().len(), want.len());
        assert_eq!(line["text"], found[0]["text"]);
    }
    assert_eq!(found[1]["level"], 3, "unknown columns travel along");
    assert_eq!(found[0]["messages"][0]["content"], QUESTION);
    assert_eq!(found.len(), 3);
    assert!(found[0].get("sample").is_none());
}

#[test]
fn several_samples_are_lines_and_do_not_depend_on_company() {
    let folder = tempfile::tempdir().unwrap();
    let generate = |name: &str, questions: &[Value]| {
        let (input, output) =
            (folder.path().join(format!("{name}.in")), folder.path().join(format!("{name}.out")));
        write_lines(&input, questions);
        let model = vlm();
        let paths = ["--model", text(&model), "--input", text(&input), "--output", text(&output)];
        let sampling = ["--num-samples", "3", "--temperature", "0.8", "--max-new-tokens", "5"];
        succeed(&[&["generate", "--seed", "7"][..], &paths, &sampling].concat());
        lines(&output)
    };
    let alone = generate("alone", &[line(QUESTION)]);
    let together = generate("together", &[line(QUESTION), line("More?<image>")]);
    let samples: Vec<&Value> = together.iter().map(|line| &line["sample"]).collect();
    assert_eq!(samples, [0, 1, 2, 0, 1, 2]);
    assert_eq!(together[..3], alone);
    assert_ne!(alone[0]["token_ids"], alone[1]["token_ids"]);
}

#[test]
fn one_question_is_answered_on_standard_output() {
    let (model, image) = (vlm(), image());
    let question = QUESTION.trim_start_matches("<image>\n");
    let arguments = ["generate", "--model", text(&model), "--image", text(&image), "--prompt"];
    let arguments = [&arguments[..], &[question, "--max-new-tokens", "24"]].concat();
    let found = succeed_json(&arguments);
    assert_eq!(found[0]["token_ids"], json!(reference().i32("greedy_ids")));
    let said = testkit::json(model.join("reference.json"))["greedy_text"].clone();
    assert_eq!(succeed(&arguments).trim_end(), said.as_str().unwrap());
    let ended = run(&[&arguments[..], &["--stop", "ifg", "--quiet"]].concat());
    assert_eq!((ended.stdout.trim_end(), ended.stderr.as_str()), ("\u{fffd}\u{fffd}ihink", ""));
}

#[test]
fn an_interrupted_file_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in.jsonl"), folder.path().join("out.jsonl"));
    let copy = folder.path().join("second.png");
    let whole = fs::read(image()).unwrap();
    fs::write(&copy, &whole[..whole.len() / 2]).unwrap();
    let mut second = line("<image>?");
    second["images"] = json!(["second.png"]);
    write_lines(&input, &[line("<image>!"), second]);
    let model = vlm();
    let paths = ["--model", text(&model), "--input", text(&input), "--output", text(&output)];
    // As many samples as a batch holds: each line is a batch of its own.
    let sampling = ["--num-samples", "64", "--temperature", "1", "--max-new-tokens", "1"];
    let arguments = [&["generate"][..], &sampling, &paths].concat();
    fail(&arguments, 1, &["in.jsonl:2", "second.png"]);
    assert!(!output.exists());
    fs::write(&copy, &whole).unwrap();
    let partial = partial(folder.path());
    let first = fs::read_to_string(&partial).unwrap();
    assert_eq!(first.lines().count(), 64);
    fs::write(&partial, first.replace("\"length\"", "\"marked\"") + "{\"cut").unwrap();
    // Other settings begin anew.
    succeed(&[&arguments[..], &["--top-k", "5"]].concat());
    assert!(lines(&output).iter().all(|line| line["finish_reason"] == "length"));
    succeed(&arguments);
    let found = lines(&output);
    let num_marked = found.iter().filter(|line| line["finish_reason"] == "marked").count();
    assert_eq!((found.len(), num_marked), (128, 64), "the first line was taken over");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "nothing else is left behind");
}

/// What an unfinished run has written.
fn partial(folder: &Path) -> PathBuf {
    let mut entries = fs::read_dir(folder).expect("a test folder").flatten();
    let entry = entries.find(|entry| entry.file_name().to_string_lossy().ends_with(".partial"));
    entry.expect("a partial file").path()
}

#[test]
fn log_probs_equal_the_reference() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in.jsonl"), folder.path().join("out.jsonl"));
    let mut scored = line(QUESTION);
    scored["completion"] = json!(ANSWER);
    let mut empty = line("<image>?");
    empty["completion"] = json!("");
    write_lines(&input, &[scored, empty]);
    let model = vlm();
    let paths = ["--model", text(&model), "--input", text(&input), "--output", text(&output)];
    let written = succeed_json(&[&["logprobs"][..], &paths].concat());
    assert_eq!((&written["num_completions"], &written["num_new_tokens"]), (&json!(2), &json!(29)));
    let found = lines(&output);
    let numbers = |value: &Value| -> Vec<f32> {
        value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32).collect()
    };
    let (got, want) = (numbers(&found[0]["logprobs"]), reference().f32("answer_logprobs"));
    assert_close("log-probs", &got, &want, Tolerance::absolute(1e-4));
    assert_eq!(found[0]["token_ids"], json!(reference().i32("answer_ids")));
    let sum: f64 = want.iter().map(|&value| f64::from(value)).sum();
    assert!((found[0]["logprob_sum"].as_f64().unwrap() - sum).abs() < 1e-3);
    let none = (&found[1]["token_ids"], &found[1]["logprob_sum"]);
    assert_eq!(none, (&json!([]), &json!(0.0)));
}

#[test]
fn inspect_tells_parts_tokens_and_memory() {
    let model = vlm();
    let found = succeed_json(&["inspect", text(&model), "--length", "100"]);
    assert_eq!(found["architecture"], "SkyworkR1VChatModel");
    let parts: Vec<&Value> =
        found["parts"].as_array().unwrap().iter().map(|p| &p["kind"]).collect();
    assert_eq!(parts, ["intern_vit_6b", "mlp1", "qwen2"]);
    assert_eq!(found["num_parameters"], 345_344);
    assert!(found["special_tokens"].as_array().unwrap().contains(&json!(["<IMG_CONTEXT>", 427])));
    let settings: Vec<&Value> =
        found["trains"].as_array().unwrap().iter().map(|t| &t["setting"]).collect();
    assert_eq!(
        settings,
        ["adapter", "adapter+llm", "adapter+vision", "adapter+lora", "llm", "lora"]
    );
    let said = succeed(&["inspect", text(&model)]);
    for word in ["intern_vit_6b", "<IMG_CONTEXT> 427", "train adapter+lora", "4 tokens a tile"] {
        assert!(said.contains(word), "no {word:?} in {said}");
    }
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let model = vlm();
    let mut child = binary(&["inspect", text(&model)])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), ended.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn assets_are_listed_without_a_network() {
    let folder = tempfile::tempdir().unwrap();
    let found = succeed_json(&["assets", "list", "--cache", text(folder.path())]);
    let states: Vec<&Value> = found.as_array().unwrap().iter().map(|a| &a["state"]).collect();
    assert_eq!(states, ["missing"; 5]);
    assert_eq!(found[0]["name"], "dinov2-small");
}

#[test]
fn verify_judges_every_line() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in.jsonl"), folder.path().join("out.jsonl"));
    let said = "<think>\\boxed{2}</think>It is \\boxed{\\frac{2}{4}}.";
    write_lines(
        &input,
        &[
            json!({"id": 1, "gold": "$0.5$", "prediction": said, "why": "old"}),
            json!({"gold": "B", "prediction": "The answer is (C)."}),
            json!({"gold": "", "prediction": "7"}),
        ],
    );
    let paths = ["verify", "--input", text(&input), "--output", text(&output)];
    let summary = succeed_json(&paths);
    assert_eq!(summary["num_pairs"], 3);
    assert_eq!((&summary["num_equivalent"], &summary["num_without_gold"]), (&json!(1), &json!(1)));
    let lines = lines(&output);
    assert_eq!(
        lines[0],
        json!({"id": 1, "gold": "$0.5$", "prediction": said, "equivalent": true,
            "extracted": {"gold": "0.5", "prediction": "\\frac{2}{4}"}, "why": "number"})
    );
    assert_eq!((&lines[1]["equivalent"], &lines[1]["why"]), (&json!(false), &json!("different")));
    assert_eq!(lines[2]["why"], "no_gold");
}
