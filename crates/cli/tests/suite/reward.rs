//! `reward` against the reference's scores, and a head grown, trained, scored with and measured.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::models::{golden, image, plain_vlm};
use crate::run::{fail, lines, succeed, succeed_json, text, write_lines};

fn model() -> PathBuf {
    golden("reward-tiny")
}

fn cases() -> Vec<Value> {
    let reference = testkit::json(model().join("reference.json"));
    reference["cases"].as_array().expect("golden file").clone()
}

/// The turn that asks about a case's picture.
fn asked(case: &Value) -> Value {
    let question = case["question"].as_str().expect("golden file");
    json!({"role": "user", "content": format!("<image>{question}")})
}

fn picture(case: &Value) -> PathBuf {
    model().join(case["image"].as_str().expect("golden file"))
}

fn is_near(got: &Value, want: &Value) -> bool {
    let [got, want] = [got, want].map(|number| number.as_f64().expect("a number"));
    (got - want).abs() < 1e-4
}

#[test]
fn scores_are_the_references() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in.jsonl"), folder.path().join("out.jsonl"));
    // Responses to different prompts take turns.
    let order = [(0, 0), (1, 0), (0, 1), (2, 1), (2, 0), (1, 1)];
    let cases = cases();
    let line = |&(case, response): &(usize, usize)| {
        let case = &cases[case];
        let answer = json!({"role": "assistant", "content": case["responses"][response]});
        json!({"messages": [asked(case), answer], "images": [picture(case)], "score": "old"})
    };
    write_lines(&input, &order.iter().map(line).collect::<Vec<_>>());
    let model = model();
    let arguments = ["reward", "score", "--model", text(&model), "--input", text(&input)];
    let said = succeed_json(&[&arguments[..], &["--output", text(&output)]].concat());
    assert_eq!(said["num_scores"], 6);
    let scored = lines(&output);
    for (&(case, response), line) in order.iter().zip(&scored) {
        let want = &cases[case]["scores"][response];
        assert!(is_near(&line["score"], want), "{line} instead of {want}");
    }
}

#[test]
fn comparisons_of_responses_and_of_pairs() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in.jsonl"), folder.path().join("out.jsonl"));
    let (cases, model) = (cases(), model());
    let arguments = ["reward", "compare", "--model", text(&model), "--input", text(&input)];
    let arguments = [&arguments[..], &["--output", text(&output)]].concat();
    let group = |case: &Value| {
        let mut responses = case["responses"].as_array().unwrap().clone();
        responses.reverse();
        json!({"messages": [asked(case)], "images": [picture(case)], "responses": responses})
    };
    write_lines(&input, &cases.iter().map(group).collect::<Vec<_>>());
    succeed(&arguments);
    for (line, case) in lines(&output).iter().zip(&cases) {
        assert_eq!(line["best"], 1);
        assert!(is_near(&line["scores"][1], &case["scores"][0]));
    }
    let pair = |case: &Value| {
        let answer = |i: usize| json!([{"role": "assistant", "content": case["responses"][i]}]);
        json!({
            "prompt": [asked(case)], "images": [picture(case)], "chosen": answer(0),
            "rejected": answer(1), "source": "test",
        })
    };
    write_lines(&input, &cases.iter().map(pair).collect::<Vec<_>>());
    let said = succeed_json(&arguments);
    assert_eq!((&said["num_prompts"], &said["pairs"]["accuracy"]), (&json!(3), &json!(1.0)));
    for (line, case) in lines(&output).iter().zip(&cases) {
        assert_eq!(line["source"], "test");
        assert!(is_near(&line["score_chosen"], &case["scores"][0]));
        assert!(is_near(&line["score_rejected"], &case["scores"][1]));
    }
}

#[test]
fn patches_and_their_grid_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("pixels.safetensors");
    let (model, case) = (model(), &cases()[2]);
    let picture = picture(case);
    let said = succeed_json(&[
        "preprocess",
        "--model",
        text(&model),
        "--image",
        text(&picture),
        "--output",
        text(&output),
    ]);
    assert_eq!(said["shape"], json!([72, 1176]));
    assert_eq!(json!(testkit::Golden::open(&output).i64("image_grid_thw")), case["image_grid_thw"]);
}

/// What transformers 5.23 says greedily, without a cache, of the same ids, patches and grids.
const GREEDY: [[u32; 12]; 3] = [
    [94, 362, 270, 20, 177, 136, 136, 136, 136, 136, 145, 332],
    [94, 362, 151, 333, 20, 177, 136, 136, 136, 136, 136, 136],
    [20, 308, 113, 52, 265, 362, 261, 113, 52, 170, 28, 15],
];

#[test]
fn the_base_model_generates_as_the_reference() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in.jsonl"), folder.path().join("out.jsonl"));
    let line = |case: &Value| json!({"messages": [asked(case)], "images": [picture(case)]});
    write_lines(&input, &cases().iter().map(line).collect::<Vec<_>>());
    let model = model();
    let arguments = ["generate", "--model", text(&model), "--input", text(&input), "--output"];
    succeed(&[&arguments[..], &[text(&output), "--max-new-tokens", "12"]].concat());
    for (line, want) in lines(&output).iter().zip(GREEDY) {
        assert_eq!(line["token_ids"], json!(want));
    }
}

/// Pairs about one picture, of which the first response is always the better.
fn pairs(folder: &Path) -> PathBuf {
    let path = folder.join("pairs.jsonl");
    let pair = |number: usize| {
        json!({
            "messages": [
                {"role": "user", "content": format!("<image>\nWhat is {number}?")},
                {"role": "assistant", "content": "It is 7."},
            ],
            "rejected_response": "four four",
            "images": [image()],
        })
    };
    write_lines(&path, &(0..4).map(pair).collect::<Vec<_>>());
    path
}

#[test]
fn a_head_is_grown_trained_and_measured() {
    let folder = tempfile::tempdir().unwrap();
    let model = plain_vlm(folder.path());
    let (pairs, run) = (pairs(folder.path()), folder.path().join("run"));
    let train = |more: &[&str]| {
        let arguments = ["reward", "train", "--model", text(&model), "--dataset", text(&pairs)];
        let keys = ["--learning_rate", "5e-3", "--per_device_train_batch_size", "2"];
        let ends = ["--max_steps", "12", "--save_steps", "12", "--output_dir", text(&run)];
        succeed_json(&[&arguments[..], &keys, &ends, more].concat())
    };
    let planned = train(&["--dry-run"]);
    let plan = &planned["plan"][0];
    assert_eq!((&planned["config"]["learning_rate"], &plan["steps"]), (&json!(5e-3), &json!(12)));
    assert_eq!((&plan["num_samples"], &plan["trainable"]), (&json!(4), &json!("adapter")));
    assert!(plan["memory"]["optimizer"].as_u64().unwrap() > 0);
    assert!(!run.exists());
    let said = train(&["--eval_dataset", text(&pairs)]);
    assert_eq!((&said["steps"], &said["metrics"]["eval_accuracy"]), (&json!(12), &json!(1.0)));

    let bench = folder.path().join("bench.jsonl");
    let item = |id: &str, ranking: [u8; 2]| {
        json!({
            "id": id, "query": "What is 0?", "response": ["It is 7.", "four four"],
            "image": image(), "human_ranking": ranking,
        })
    };
    write_lines(&bench, &[item("wildvision-1", [0, 1]), item("RLHF-V-1", [1, 0])]);
    let (checkpoint, ranked) = (run.join("checkpoint-12"), folder.path().join("ranked.jsonl"));
    let arguments = ["reward", "eval", "--model", text(&model), "--benchmark", "vl-rewardbench"];
    let files = ["--input", text(&bench), "--output", text(&ranked)];
    let measured = [&arguments[..], &files, &["--adapter", text(&checkpoint)]].concat();
    let said = succeed_json(&measured);
    assert_eq!((&said["micro"], &said["macro"]), (&json!(0.5), &json!(0.5)));
    assert_eq!(said["categories"][0]["name"], "general");
    assert_eq!(lines(&ranked)[0]["correct"], true);
    // The checkpoint as a full folder says the same.
    let whole = folder.path().join("whole");
    let merge = ["assemble", "--model", text(&model), "--adapter", text(&checkpoint)];
    succeed(&[&merge[..], &["--output", text(&whole)]].concat());
    assert!(whole.join("value_head.safetensors").is_file());
    let again = folder.path().join("again.jsonl");
    let arguments_again =
        ["reward", "eval", "--model", text(&whole), "--benchmark", "vl-rewardbench"];
    succeed(&[&arguments_again[..], &["--input", text(&bench), "--output", text(&again)]].concat());
    assert_eq!(lines(&again), lines(&ranked));
    // Without the checkpoint there is no head.
    let words = ["`v_head.summary.weight` is missing"];
    fail(&[&arguments[..], &files].concat(), 1, &words);
}

#[test]
fn a_reward_model_is_described_and_its_training_planned() {
    let folder = tempfile::tempdir().unwrap();
    let model = model();
    let said = succeed(&["inspect", text(&model)]);
    let words = ["merger", "value head", "<|image_pad|> 360", "28x28 pixels a token", "score"];
    for word in words {
        assert!(said.contains(word), "no {word:?} in {said}");
    }
    let pairs = pairs(folder.path());
    let arguments = ["reward", "train", "--model", text(&model), "--dataset", text(&pairs)];
    let keys = ["--text_dataset", text(&pairs), "--trainable", "adapter+lora", "--dry-run"];
    let ends =
        ["--learning_rate", "1e-5", "--per_device_train_batch_size", "2", "--save_steps", "9"];
    let run = folder.path().join("run");
    let run = ["--output_dir", text(&run)];
    let said = succeed(&[&arguments[..], &keys, &ends, &run].concat());
    assert!(said.contains("then\nsamples   8 of") && said.contains("memory    "), "{said}");
}

#[test]
fn responses_that_say_little_are_scored_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in.jsonl"), folder.path().join("out.jsonl"));
    let model = model();
    let on = |command: &'static str| {
        let places = ["--model", text(&model), "--input", text(&input), "--output", text(&output)];
        succeed_json(&[&["reward", command][..], &places].concat())
    };
    let question = json!({"role": "user", "content": "Why?"});
    let told =
        |answer: &str| json!({"messages": [question, {"role": "assistant", "content": answer}]});
    write_lines(&input, &[told("So."), told(" ")]);
    let said = on("score");
    assert_eq!((&said["num_scores"], &said["num_empty"]), (&json!(2), &json!(1)));
    std::fs::remove_file(&output).unwrap();
    let group = |responses: [&str; 3]| json!({"messages": [question], "responses": responses});
    write_lines(&input, &[group(["So.", "", "Yes."]), group(["So.", "So.", "Yes."])]);
    let said = on("compare");
    assert_eq!((&said["num_empty"], &said["num_identical"]), (&json!(1), &json!(1)));
}

#[test]
fn lines_that_cannot_be_scored_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in.jsonl"), folder.path().join("out.jsonl"));
    let model = model();
    let arguments = ["reward", "score", "--model", text(&model), "--input", text(&input)];
    let arguments = [&arguments[..], &["--output", text(&output)]].concat();
    let question = json!({"role": "user", "content": "Why?"});
    write_lines(&input, &[json!({"messages": [question]})]);
    fail(&arguments, 1, &["in.jsonl:1: no assistant's turn to score at the end", "no other"]);
    let compare = ["reward", "compare", "--model", text(&model), "--input", text(&input)];
    write_lines(&input, &[json!({"messages": [question], "responses": ["one"]})]);
    let compare = [&compare[..], &["--output", text(&output)]].concat();
    fail(&compare, 1, &["in.jsonl:1", "fewer than two responses"]);
}

#[test]
fn bad_lines_are_skipped_and_counted_or_end_the_command() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in.jsonl"), folder.path().join("out.jsonl"));
    let model = model();
    let on = |command: &'static str| {
        let places = ["--model", text(&model), "--input", text(&input), "--output", text(&output)];
        [&["reward", command][..], &places].concat().into_iter().map(str::to_owned).collect()
    };
    std::fs::write(folder.path().join("wide.bmp"), bitmap(2000, 1)).unwrap();
    let asked = |image: &str| json!({"role": "user", "content": format!("<image>{image}")});
    let turns = |images: &[&str], asked: Value, said: &str| {
        let turns = json!([asked, {"role": "assistant", "content": said}]);
        json!({"messages": turns, "images": images, "responses": [said, "No."]})
    };
    let plain = || json!({"role": "user", "content": "Why?"});
    write_lines(
        &input,
        &[
            turns(&[], plain(), "The tag <image> stands for a picture."),
            turns(&["gone.png"], asked(""), "So."),
            turns(&["wide.bmp"], asked(""), "So."),
            turns(&[], plain(), &"long ".repeat(40_000)),
            turns(&[], plain(), "So."),
        ],
    );
    for command in ["score", "compare"] {
        let arguments: Vec<String> = on(command);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let said = succeed_json(&arguments);
        assert_eq!(said["num_unscored"], 3, "{said}");
        assert_eq!(lines(&output).len(), 2);
        std::fs::remove_file(&output).unwrap();
        let stop = [&arguments[..], &["--bad-scores", "stop"]].concat();
        fail(&stop, 1, &["3 lines can get no score", "in.jsonl:2"]);
    }
}

/// A black picture.
fn bitmap(width: u32, height: u32) -> Vec<u8> {
    let row = (3 * width).next_multiple_of(4);
    let words = [54 + row * height, 0, 54, 40, width, height, 1 | 24 << 16, 0, row * height];
    let mut file = b"BM".to_vec();
    file.extend(words.into_iter().flat_map(u32::to_le_bytes));
    file.resize(54 + (row * height) as usize, 0);
    file
}
