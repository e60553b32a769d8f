//! The first R1V at the size of a test: an adapter trained on one language model, another that learned to think from
//! text alone, both put together, fine-tuned in rounds on data distilled anew, and the best checkpoint kept.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use serde_json::{Value, json};

use crate::models::{image, plain_vlm};
use crate::run::{fail, lines, succeed, succeed_json, text, write_lines};

/// Questions about one image whose answer is always 7, after a thought.
fn data(folder: &Path) -> PathBuf {
    let path = folder.join("data.jsonl");
    let sample = |number: usize| {
        json!({
            "messages": [
                {"role": "user", "content": format!("<image>\nHow many{}", "?".repeat(number + 1))},
                {"role": "assistant", "content": "<think>\n3\n</think>\n\n\\boxed{7}"},
            ],
            "images": [text(&image())],
            "answer": "7",
        })
    };
    write_lines(&path, &(0..4).map(sample).collect::<Vec<_>>());
    path
}

/// `@` stands for the test's folder.
const RECIPE: &str = r#"
output_dir = '@/out'

[shared]
seed = 5
save_steps = 50
per_device_train_batch_size = 4

[[stage]]
name = "arithmetic"
command = "data arithmetic"
max_number = 3
train = 8
held_out = 4

[[stage]]
name = "think"
command = "sft"
model_name_or_path = '@/vlm'
dataset = "${arithmetic}/train.jsonl"
trainable = "lora"
lora_r = 2
learning_rate = 1e-3
max_steps = 3

[[stage]]
name = "reasoner"
command = "assemble"
model = '@/vlm'
adapter = "${think.checkpoint}"

[[stage]]
name = "mlp"
command = "sft"
model_name_or_path = '@/vlm'
dataset = '@/data.jsonl'
learning_rate = 1e-3
max_steps = 3

[[stage]]
name = "aligned"
command = "assemble"
model = '@/vlm'
adapter = "${mlp.checkpoint}"

[[stage]]
name = "reassembled"
command = "assemble"
model = "${aligned}"
llm = "${reasoner}"

[[stage]]
name = "teach"
command = "sft"
model_name_or_path = "${reassembled}"
dataset = '@/data.jsonl'
trainable = "adapter+llm"
learning_rate = 5e-3
max_steps = 60

[[stage]]
name = "taught"
command = "assemble"
model = "${reassembled}"
adapter = "${teach.checkpoint}"

[[stage]]
name = "iterative"
command = "iterative-sft"
model_name_or_path = "${taught}"
dataset = '@/data.jsonl'
eval_dataset = '@/data.jsonl'
learning_rate = 1e-4
num_rounds = 1
max_steps = 2
round_max_steps = 2
max_completion_length = 32

[stage.distill]
max_new_tokens = 32
temperature = 0.0

[[stage]]
name = "eval-stage-1"
command = "eval"
model_name_or_path = "${taught}"
adapter_name_or_path = "${iterative}/stage-1/sft/checkpoint-2"
dataset = '@/data.jsonl'
max_new_tokens = 32

[[stage]]
name = "eval-iterative"
command = "eval"
model_name_or_path = "${taught}"
adapter_name_or_path = "${iterative.checkpoint}"
dataset = '@/data.jsonl'
max_new_tokens = 32

[[stage]]
name = "choice"
command = "choose"
evaluations = ["${eval-stage-1}", "${eval-iterative}"]
"#;

fn recipe(folder: &Path) -> PathBuf {
    plain_vlm(folder);
    data(folder);
    let path = folder.join("r1v.toml");
    fs::write(&path, RECIPE.replace('@', text(folder))).unwrap();
    path
}

#[test]
fn transfer_rounds_and_choice() {
    let folder = tempfile::tempdir().unwrap();
    let (path, out) = (recipe(folder.path()), folder.path().join("out"));
    let done = succeed_json(&["run", text(&path)]);
    let result = |name: &str| {
        let stages = done["stages"].as_array().unwrap().iter();
        stages.clone().find(|stage| stage["name"] == name).unwrap()["result"].clone()
    };
    // Text taught the language model and nothing else: the adapter is that of the other one.
    let weights = |name: &str| fs::read(out.join(name).join("trainable.safetensors")).unwrap();
    let names = String::from_utf8_lossy(&weights("think/checkpoint-3")).into_owned();
    assert!(names.contains("lora_A") && !names.contains("mlp1"), "low-rank terms alone");
    assert_eq!(result("reassembled")["adapter"], "transplanted");
    let tensors = |name: &str, prefix: &str| {
        let bytes = fs::read(out.join(name).join("model.safetensors")).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let tensors = file.tensors().into_iter().filter(|(name, _)| name.starts_with(prefix));
        tensors.map(|(name, view)| (name, view.data().to_vec())).collect::<BTreeMap<_, _>>()
    };
    assert!(tensors("reassembled", "language_model.") == tensors("reasoner", "language_model."));
    assert!(tensors("reasoner", "language_model.") != tensors("aligned", "language_model."));
    assert!(tensors("reassembled", "mlp1.") == tensors("aligned", "mlp1."));
    assert!(tensors("reasoner", "mlp1.") != tensors("aligned", "mlp1."));
    // Each stage of the rounds had its data made anew by the policy as it then was, and kept what it said.
    for stage in ["stage-1", "round-1"] {
        let folder = out.join("iterative").join(stage).join("data");
        let distilled = lines(&folder.join("distilled.jsonl"));
        assert_eq!(distilled.len(), 4, "{stage}");
        let config = fs::read_to_string(folder.join("config.toml")).unwrap();
        assert_eq!(config.contains("stage-1/sft/checkpoint-2"), stage == "round-1", "{config}");
    }
    let choice = &result("iterative")["choice"];
    let figures = &choice["candidates"][1]["figures"];
    assert_eq!((&figures["accuracy"], &figures["quality"]), (&json!(1.0), &json!(1.0)), "{choice}");
    // Of equally good ones the earlier.
    assert_eq!(
        (&choice["chosen"], &result("choice")["choice"]["chosen"]),
        (&json!("stage-1"), &json!("eval-stage-1"))
    );
    assert_eq!(lines(&out.join("iterative/top_scored.jsonl")).len(), 4);
    assert!(weights("choice/chosen") == weights("iterative/stage-1/sft/checkpoint-2"));
    let said = succeed(&["run", text(&path)]);
    assert!(said.contains("stage-1 is kept: of the checkpoints"), "{said}");
    assert!(said.contains("eval-iterative") && !said.contains("done now"), "{said}");
}

/// A run in rounds, at its smallest.
fn rounds<'a>(model: &'a Path, data: &'a Path, out: &'a Path) -> Vec<&'a str> {
    let paths = ["--model", text(model), "--dataset", text(data), "--output", text(out)];
    let keys =
        ["--learning_rate", "1e-3", "--per_device_train_batch_size", "4", "--save_steps", "5"];
    [&["iterative-sft"][..], &paths, &keys].concat()
}

#[test]
fn a_dry_run_plans_every_round() {
    let folder = tempfile::tempdir().unwrap();
    let (model, data) = (plain_vlm(folder.path()), data(folder.path()));
    let out = folder.path().join("out");
    let more = ["--num_rounds", "3", "--eval_dataset", text(&data), "--eval_limit", "3"];
    let lengths =
        ["--max_completion_length", "8", "--distill", "{max_new_tokens = 4}", "--dry-run"];
    let keys = [&rounds(&model, &data, &out)[..], &more, &lengths].concat();
    let plan: Value = succeed_json(&keys)["plan"].take();
    assert_eq!((&plan["num_samples"], &plan["steps"]), (&json!(4), &json!(1)));
    let of = |key: &str| -> Value {
        plan["rounds"].as_array().unwrap().iter().map(|round| round[key].clone()).collect()
    };
    assert_eq!(of("round"), json!([1, 2, 3]));
    assert_eq!(of("learning_rate"), json!([1e-4, 2e-5, 2e-5]));
    assert_eq!(of("score_threshold"), json!([2.0, 3.0, 4.0]));
    assert_eq!((of("max_samples"), of("max_steps")), (json!([4, 4, 4]), json!([1, 1, 1])));
    // A round answers the samples too, to see which the policy gets wrong.
    assert_eq!(of("num_answers"), json!([4, 4, 4]));
    let operations = |work: &Value| work["operations"].as_f64().unwrap();
    assert!(operations(&plan["rounds"][0]["work"]) > operations(&plan["work"]));
    assert_eq!(plan["evaluation"]["num_questions"], 3);
    assert_eq!(plan["distillation"]["num_items"], 4);
    let said = succeed(&keys);
    for words in [
        "stage-1   all samples at learning rate 1e-3",
        "round-1   samples scored 2 and more, and mistakes, at learning rate 1e-4",
        "at most 4 samples and 1 steps",
        "scores    by rules: answer, form and repetition, before each round",
        "distils   before stage-1",
        "measures  every stage on 3 questions of",
        "later     how many samples a round learns from",
    ] {
        assert!(said.contains(words), "{words:?} in {said}");
    }
    assert!(!out.exists());
}

#[test]
fn lines_that_cannot_be_used_are_set_aside_and_the_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (model, data) = (plain_vlm(folder.path()), data(folder.path()));
    let out = folder.path().join("out");
    let mut bytes = fs::read(&data).unwrap();
    bytes.extend(b"{\"messages\": \xff}\n{\"messages\": [\n{\"messages\": []}\n");
    fs::write(&data, bytes).unwrap();
    let keys = [&rounds(&model, &data, &out)[..], &["--num_rounds", "1"]].concat();
    let plan: Value = succeed_json(&[&keys[..], &["--dry-run"]].concat());
    assert_eq!(plan["plan"]["num_samples"], 4);
    assert!(!out.exists());
    succeed(&keys);
    let flaws: Vec<Value> = lines(&out.join("data/quarantine.jsonl"));
    let flaws: Vec<_> = flaws.iter().map(|one| (&one["line"], &one["flaw"])).collect();
    let want = [(5, "not_utf8"), (6, "not_a_sample"), (7, "no_question")];
    let want = want.map(|(line, flaw)| (json!(line), json!(flaw)));
    assert!(flaws.iter().copied().eq(want.iter().map(|(line, flaw)| (line, flaw))), "{flaws:?}");
    // The same command finds all done.
    succeed(&keys);
}

#[test]
fn what_a_round_sets_itself_is_refused_before_anything_is_trained() {
    let folder = tempfile::tempdir().unwrap();
    let (model, data) = (plain_vlm(folder.path()), data(folder.path()));
    let out = folder.path().join("out");
    let keys = rounds(&model, &data, &out);
    for (distill, words) in [
        ("{max_new_tokens = 4, seed = 1}", "each round sets `seed` itself"),
        ("{max_new_tokens = 4, alpa = 1}", "unknown key `alpa`"),
        ("{alpha = 0.1}", "max_new_tokens"),
    ] {
        fail(&[&keys[..], &["--distill", distill]].concat(), 2, &["distill", words]);
    }
    assert!(!out.exists());
    let plan: Value = succeed_json(&[&keys[..], &["--num_rounds", "2", "--dry-run"]].concat());
    assert_eq!(
        (&plan["plan"]["num_samples"], &plan["config"]["num_rounds"]),
        (&json!(4), &json!(2))
    );
    fail(&["choose", "--evaluations", "missing", "--output", text(&out)], 1, &["missing"]);
}
