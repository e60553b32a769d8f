//! Models from parts, with another language model, and with trained values.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use testkit::Golden;

use crate::models::{edit, edit_tensors, golden, image, language_model, plain_vlm, vlm};
use crate::run::{fail, lines, succeed, succeed_json, text, write_lines};

fn assemble(llm: &Path, output: &Path) -> Value {
    let vision = golden("dinov2");
    let arguments = ["assemble", "--vision", text(&vision), "--llm", text(llm)];
    succeed_json(&[&arguments[..], &["--max-tiles", "3", "--output", text(output)]].concat())
}

#[test]
fn parts_become_a_model_that_answers_and_takes_another_language_model() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    let llama = language_model("llama-tied", folder.path());
    let built = assemble(&llama, &one);
    assert_eq!((&built["vision"], &built["llm"]), (&json!("dinov2"), &json!("llama")));
    assert_eq!(built["image_tokens"][2], json!(["<IMG_CONTEXT>", 101, true]));
    assert_eq!((&built["adapter"], &built["tokens_per_tile"]), (&json!("drawn"), &json!(4)));
    let (one_path, picture) = (text(&one), image());
    let ask = ["generate", "--model", one_path, "--prompt", "?", "--image", text(&picture)];
    let said = succeed_json(&[&ask[..], &["--max-new-tokens", "3"]].concat());
    assert_eq!(said[0]["token_ids"].as_array().unwrap().len(), 3);

    let qwen = language_model("qwen2-untied", folder.path());
    let swap = ["assemble", "--model", one_path, "--llm", text(&qwen), "--output", text(&two)];
    let swapped = succeed_json(&swap);
    assert_eq!((&swapped["llm"], &swapped["adapter"]), (&json!("qwen2"), &json!("transplanted")));
    let tensor = |model: &Path, name: &str| Golden::open(model.join("model.safetensors")).f32(name);
    for name in ["mlp1.1.weight", "vision_model.embeddings.cls_token"] {
        assert_eq!(tensor(&one, name), tensor(&two, name), "{name}");
    }
    let template = |model: &Path| fs::read_to_string(model.join("chat_template.jinja")).unwrap();
    assert_eq!(template(&two), template(&one), "both have the test's template");
    let inspected = succeed_json(&["inspect", text(&two)]);
    assert_eq!(inspected["parts"][2]["kind"], "qwen2");
}

#[test]
fn the_language_model_of_an_assembled_model_can_be_taken() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out");
    let built = assemble(&vlm(), &output);
    assert_eq!(built["image_tokens"][2], json!(["<IMG_CONTEXT>", 427, false]));
    succeed(&["inspect", text(&output)]);
}

#[test]
fn parts_that_do_not_fit_are_refused_with_advice() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out");
    let llama = language_model("llama-tied", folder.path());
    let vision = golden("dinov2");
    let parts = ["assemble", "--vision", text(&vision), "--llm", text(&llama)];
    let parts = [&parts[..], &["--output", text(&output)]].concat();
    // An adapter for other widths.
    let model = vlm();
    let wide = [&parts[..], &["--unshuffle", "1", "--adapter", text(&model)]].concat();
    fail(&wide, 1, &["features of 256", "from 64 to 64", "unshuffle"]);
    // A template that drops what the user says.
    let template = folder.path().join("template.jinja");
    fs::write(&template, "{{ messages[0]['role'] }}").unwrap();
    let silent = [&parts[..], &["--chat-template", text(&template)]].concat();
    fail(&silent, 1, &["no place for an image", "--chat-template"]);
    // No template at all.
    edit(&llama.join("tokenizer_config.json"), |config| {
        config.as_object_mut().unwrap().remove("chat_template");
    });
    fail(&parts, 1, &["llama-tied has no chat template", "--chat-template"]);
    // A tokenizer of another model.
    fs::copy(vlm().join("tokenizer.json"), llama.join("tokenizer.json")).unwrap();
    fs::copy(vlm().join("chat_template.jinja"), llama.join("chat_template.jinja")).unwrap();
    fail(&parts, 1, &["ids up to 427", "160 rows"]);
    assert!(!output.join("config.json").exists());
}

#[test]
fn a_checkpoint_becomes_a_full_folder() {
    let folder = tempfile::tempdir().unwrap();
    let model = plain_vlm(folder.path());
    let adapter = folder.path().join("trainable.safetensors");
    fs::copy(model.join("model-00001-of-00002.safetensors"), &adapter).unwrap();
    edit_tensors(&adapter, |tensors| {
        tensors.retain(|name, _| name == "mlp1.3.bias");
        assert_eq!(tensors.len(), 1, "the adapter lies in the first shard");
        let bias = &mut tensors.get_mut("mlp1.3.bias").unwrap().1;
        bias.chunks_exact_mut(4).for_each(|value| value.copy_from_slice(&1.5_f32.to_le_bytes()));
    });
    let merged = folder.path().join("merged");
    let from = ["--model", text(&model), "--adapter", text(&adapter)];
    succeed(&[&["assemble"][..], &from, &["--output", text(&merged)]].concat());
    let file = Golden::open(merged.join("model.safetensors"));
    assert_eq!(file.f32("mlp1.3.bias"), [1.5; 64]);
    // The folder says what the model says with the adapter put in.
    let input = folder.path().join("in.jsonl");
    let question = json!([{"role": "user", "content": "<image>?"}]);
    write_lines(
        &input,
        &[json!({"messages": question, "images": [text(&image())], "completion": "ab"})],
    );
    let score = |from: &[&str], name: &str| {
        let output = folder.path().join(name);
        let paths = ["--input", text(&input), "--output", text(&output)];
        succeed(&[&["logprobs"][..], from, &paths].concat());
        lines(&output)[0]["logprobs"].clone()
    };
    let with_adapter = score(&from, "a.jsonl");
    assert_eq!(score(&["--model", text(&merged)], "b.jsonl"), with_adapter);
    assert_ne!(score(&["--model", text(&model)], "c.jsonl"), with_adapter);
}

#[test]
fn contradictory_parts_are_a_matter_of_usage() {
    let missing = ["assemble", "--vision", "dinov2-small", "--llm", "qwen", "--output", "o"];
    fail(&missing, 1, &["dinov2-small is no folder here", "assets fetch dinov2-small"]);
    for (arguments, words) in [
        ("--output o", &["--vision"][..]),
        ("--vision v --output o", &["--llm"]),
        ("--vision v --model m --llm l --output o", &["--vision", "--model"]),
        ("--model m --output o", &["--llm to swap", "--adapter to merge"]),
        ("--model m --llm l --adapter a --output o", &["merge first"]),
        ("--model m --llm l --tile 56 --output o", &["--model", "--tile"]),
    ] {
        let arguments: Vec<&str> = ["assemble"].into_iter().chain(arguments.split(' ')).collect();
        fail(&arguments, 2, words);
    }
}
