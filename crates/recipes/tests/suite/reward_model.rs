//! The reward model as a run: the golden loss, what it learns, leaves out and measures, and its stages.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use model::reward_model::RewardModel;
use recipes::config::Recipe;
use recipes::policy::load_trained_head;
use recipes::reward_model::{RewardConfig, reward_model, training_pairs};
use recipes::run::{WEIGHTS_FILE, Watch};
use serde_json::{Value, json};
use tensor::DType;
use testkit::Golden;

use crate::common::{Log, Place, golden, lines, model, quoted};

/// A pair about one of the pictures, or about none.
fn pair(picture: Option<usize>, chosen: &str, rejected: &str) -> Value {
    let images: Vec<String> = picture.iter().map(|number| format!("{number}.bmp")).collect();
    let tag = if images.is_empty() { "" } else { "<image>\n" };
    json!({
        "prompt": [{"role": "user", "content": format!("{tag}Sum?")}],
        "images": images,
        "chosen": [{"role": "assistant", "content": chosen}],
        "rejected": [{"role": "assistant", "content": rejected}],
    })
}

/// Pairs that prefer one answer to another, whatever the picture.
fn pairs(chosen: &str, rejected: &str) -> Vec<Value> {
    (0..4).map(|picture| pair(Some(picture), chosen, rejected)).collect()
}

/// A run over these pairs.
fn place(lines: &[Value]) -> Place {
    Place::new(lines).with("trainable", "adapter+llm").with("learning_rate", 2e-3)
}

fn write(place: &Place, name: &str, lines: &[Value]) -> String {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(place.path(name), text).unwrap();
    quoted(&place.path(name))
}

fn run(place: &Place, keys: &[(&str, &str)]) {
    reward_model(&place.config(keys), Watch::nobody).unwrap();
}

/// Why a run ends before it begins.
fn refusal(place: &Place, keys: &[(&str, &str)]) -> String {
    reward_model(&place.config(keys), Watch::nobody).err().unwrap().to_string()
}

#[test]
fn the_loss_of_the_golden_pairs_is_the_references() {
    let folder = golden("model/tests/golden/reward-tiny");
    let reference = testkit::json(folder.join("reference.json"));
    let cases = reference["cases"].as_array().unwrap();
    let line = |case: &Value| {
        let image = folder.join(case["image"].as_str().unwrap());
        let answer = |i: usize| json!([{"role": "assistant", "content": case["responses"][i]}]);
        let question = format!("<image>{}", case["question"].as_str().unwrap());
        json!({
            "prompt": [{"role": "user", "content": question}],
            "images": [image],
            "chosen": answer(0),
            "rejected": answer(1),
        })
    };
    let place = place(&cases.iter().map(line).collect::<Vec<_>>())
        .with("model_name_or_path", quoted(&folder))
        .with("per_device_train_batch_size", 3)
        .with("max_steps", 1);
    run(&place, &[]);
    let number = |case: &Value, key: &str| case[key].as_f64().unwrap();
    let losses = cases.iter().map(|case| number(case, "bradley_terry_loss_response0_chosen"));
    let margins = cases
        .iter()
        .map(|case| case["scores"][0].as_f64().unwrap() - case["scores"][1].as_f64().unwrap());
    let step = &place.metrics()[0];
    let (loss, margin) = (losses.sum::<f64>() / 3.0, margins.sum::<f64>() / 3.0);
    assert!((step["loss"] - loss).abs() < 1e-4 * loss, "{} instead of {loss}", step["loss"]);
    assert!((step["margin"] - margin).abs() < 1e-4, "{} instead of {margin}", step["margin"]);
    assert_eq!(step["accuracy"], 1.0);
    let names = Golden::open(place.path("out/checkpoint-1").join(WEIGHTS_FILE)).names();
    assert!(names.iter().any(|name| name == "visual.merger.mlp.2.bias"), "{names:?}");
    assert!(names.iter().any(|name| name == "v_head.summary.weight"));
    assert!(
        names.iter().all(|name| !name.starts_with("visual.blocks") && name != "lm_head.weight")
    );
}

#[test]
fn micro_batches_add_up_to_one_batch() {
    let loss = |size: &str, accumulation: &str| {
        let place = place(&pairs("7", "four")).with("max_steps", 2);
        run(
            &place,
            &[("per_device_train_batch_size", size), ("gradient_accumulation_steps", accumulation)],
        );
        place.metrics().iter().map(|step| step["loss"]).collect::<Vec<_>>()
    };
    let whole = loss("4", "1");
    for parts in [loss("2", "2"), loss("1", "4")] {
        for (part, whole) in parts.iter().zip(&whole) {
            assert!((part - whole).abs() < 1e-4 * whole, "{part} instead of {whole}");
        }
    }
}

#[test]
fn a_head_grown_on_an_assembled_model_learns_to_rank_held_out_pairs() {
    for trainable in ["adapter", "adapter+lora", "adapter+llm"] {
        let place = Place::new(&pairs("7", "four")).with("learning_rate", 5e-3);
        // The chosen response of the file, and words it never saw chosen.
        let held_out = write(&place, "held.jsonl", &pairs("7", "four four"));
        run(&place, &[("trainable", trainable), ("eval_dataset", &held_out), ("max_steps", "12")]);
        let metrics = place.metrics();
        assert!(metrics[..11].iter().all(|step| !step.contains_key("eval_accuracy")));
        let last = &metrics[11];
        let first = &metrics[0];
        assert!(last["loss"] < first["loss"] - 0.1, "{trainable}: {first:?} {last:?}");
        assert_eq!((last["accuracy"], last["eval_accuracy"]), (1.0, 1.0), "{trainable}");
        assert!(last["eval_margin"] > 0.0 && last["eval_loss"] < std::f64::consts::LN_2);
        assert!((0.0..=0.5).contains(&last["eval_calibration_error"]));
        // What the run left is the model it measured.
        let mut grown = RewardModel::grow(&model(), DType::F32, 42).unwrap();
        let checkpoint = place.path("out/checkpoint-12");
        load_trained_head(&mut grown.vlm, &mut grown.head, &checkpoint).unwrap();
        let weight = Golden::open(checkpoint.join(WEIGHTS_FILE)).f32("v_head.summary.weight");
        assert_eq!(grown.head.parameters()[0].values, weight);
    }
}

#[test]
fn what_teaches_nothing_is_left_out_and_told() {
    let mut lines = pairs("7", "four");
    lines.extend([pair(Some(0), "same", " same"), pair(Some(1), "", "bad")]);
    lines.extend([scored(5.0, 5.0), scored(5.0, 4.9), scored(5.0, 1.0)]);
    let place = place(&lines).with("max_steps", 1).with("min_score_gap", 0.25);
    let log = Log::default();
    reward_model(&place.config(&[]), || log.watch()).unwrap();
    let notices = log.lines("");
    let told = |words: &str| notices.iter().any(|line| line.contains(words));
    assert!(told("Identical") && told("EmptyChosen"), "{notices:?}");
    assert!(notices.iter().any(|line| line.starts_with("Ties") && line.contains("count: 2")));
    let log = Log::default();
    let none = reward_model(&place.config(&[("max_length", "3")]), || log.watch());
    assert!(none.map(drop).unwrap_err().to_string().ends_with("no samples"));
    assert!(log.lines("TooLong")[0].contains("count: 5"), "{:?}", log.lines("TooLong"));
}

/// Lines that hold no pair, or one that cannot be shown, with words of what is told of each.
pub(crate) fn bad_lines(place: &Place) -> Vec<(String, &'static str)> {
    fs::write(place.path("text.png"), "no picture").unwrap();
    let whole = fs::read(place.path("image.png")).unwrap();
    fs::write(place.path("half.png"), &whole[..whole.len() / 2]).unwrap();
    let shown = |image: &str| {
        let mut line = pair(Some(0), "good", "bad");
        line["images"] = json!([image]);
        line.to_string()
    };
    let mut nan = pair(Some(0), "good", "bad").to_string();
    nan.insert_str(1, r#""score_chosen":NaN,"score_rejected":1.0,"#);
    vec![
        (nan, "Score"),
        (r#"{"prompt": "Sum?", "chosen": "good"}"#.to_owned(), "there is no `rejected`"),
        (shown("text.png"), "Unreadable"),
        (shown("half.png"), "Unreadable"),
        (shown("data:image/png;base64,AAAA"), "Unreadable"),
        (pair(None, "good", "bad").to_string().replace("Sum?", "<image>Sum?"), "Images"),
        ("{".to_owned(), "Line"),
    ]
}

/// Adds lines to a place's data.
pub(crate) fn append(place: &Place, lines: impl IntoIterator<Item = String>) {
    let file = place.path("train.jsonl");
    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<String> = lines.into_iter().collect();
    fs::write(file, format!("{text}{}\n", lines.join("\n"))).unwrap();
}

#[test]
fn bad_lines_are_counted_and_skipped_or_end_the_run() {
    let place = place(&pairs("7", "four")).with("max_steps", 1);
    let (lines, words): (Vec<_>, Vec<_>) = bad_lines(&place).into_iter().unzip();
    append(&place, lines);
    let log = Log::default();
    reward_model(&place.config(&[]), || log.watch()).unwrap();
    let [notice] = &log.lines("BadPairs")[..] else { panic!("one notice") };
    assert!(notice.contains("num_kept: 4") && notice.contains("count: 3"), "{notice}");
    assert!(words.iter().all(|word| notice.contains(word)), "{notice}");
    let error = refusal(&place, &[("bad_pairs", "stop")]);
    assert!(error.contains("4 pairs kept, 7 left out: "), "{error}");
}

#[test]
fn scores_that_are_near_or_the_other_way_round_do_not_train_by_default() {
    let mut lines = pairs("7", "four");
    lines.extend([scored(1.0000001, 1.0), scored(1.0, 1.0), scored(1.0, 2.0), scored(2.0, 1.0)]);
    let place = place(&lines).with("max_steps", 1);
    let log = Log::default();
    reward_model(&place.config(&[]), || log.watch()).unwrap();
    let [ties] = &log.lines("Ties")[..] else { panic!("one notice") };
    assert!(ties.contains("count: 2"), "{ties}");
    let [notice] = &log.lines("BadPairs")[..] else { panic!("one notice") };
    assert!(notice.contains("Inverted: Found { count: 1"), "{notice}");
}

/// A pair with scores.
fn scored(chosen: f64, rejected: f64) -> Value {
    let mut line = pair(Some(0), "good", "bad");
    line["score_chosen"] = json!(chosen);
    line["score_rejected"] = json!(rejected);
    line
}

#[test]
fn pairs_that_teach_nothing_may_end_the_run() {
    let mut lines = pairs("7", "four");
    lines.push(pair(Some(0), "same", "same"));
    let error = refusal(&place(&lines), &[("bad_pairs", "stop"), ("max_steps", "1")]);
    let want = "4 pairs kept, 1 left out: chosen and rejected are the same (1, ";
    assert!(error.contains(want), "{error}");
}

#[test]
fn images_may_lie_elsewhere() {
    let place = place(&pairs("7", "four")).with("max_steps", 1);
    let elsewhere = place.path("pictures");
    fs::create_dir(&elsewhere).unwrap();
    for number in 0..4 {
        let name = format!("{number}.bmp");
        fs::rename(place.path(&name), elsewhere.join(&name)).unwrap();
    }
    assert!(refusal(&place, &[]).ends_with("no samples"));
    run(&place, &[("image_folder", &quoted(&elsewhere))]);
}

#[test]
fn pairs_that_were_to_be_measured_must_be_there() {
    let place = place(&pairs("7", "four")).with("max_steps", 1);
    let same = write(&place, "held.jsonl", &pairs("7", "7"));
    let error = refusal(&place, &[("eval_dataset", &same)]);
    assert!(error.ends_with("held.jsonl: no samples"), "{error}");
    let error = refusal(&place, &[("split_dataset_ratio", "0.1")]);
    assert!(error.contains("split_dataset_ratio = 0.1: expected a share"), "{error}");
}

#[test]
fn a_checkpoint_is_not_taken_for_one_of_other_pairs() {
    let mut lines = pairs("7", "four");
    let place = place(&lines).with("max_steps", 2);
    run(&place, &[]);
    lines.reverse();
    write(&place, "train.jsonl", &lines);
    let error = refusal(&place, &[]);
    assert!(error.contains("checkpoint-2 was saved under other settings (pairs: "), "{error}");
}

#[test]
fn a_share_of_the_prompts_is_held_out_with_all_its_pairs() {
    let mut lines = pairs("7", "four");
    lines.extend(pairs("7", "three three"));
    let place = place(&lines)
        .with("num_train_epochs", 1)
        .with("split_dataset_ratio", 0.25)
        .with("eval_steps", 2);
    run(&place, &[]);
    let metrics = place.metrics();
    // One of four prompts, with its two pairs, is measured; six pairs are three steps.
    assert_eq!(metrics.len(), 3);
    let measured: Vec<bool> =
        metrics.iter().map(|step| step.contains_key("eval_accuracy")).collect();
    assert_eq!(measured, [false, true, true]);
}

#[test]
fn a_prompt_of_both_files_is_held_out_of_both() {
    let place = place(&pairs("7", "four"))
        .with("max_steps", 1)
        .with("split_dataset_ratio", 0.5)
        .with("stage", 2);
    // The same pictures under other names, with other responses.
    let mut again = pairs("seven", "three three");
    for (number, line) in again.iter_mut().enumerate() {
        let name = format!("copy-{number}.bmp");
        fs::copy(place.path(&format!("{number}.bmp")), place.path(&name)).unwrap();
        line["images"] = json!([name]);
    }
    let text = write(&place, "text.jsonl", &again);
    let config: RewardConfig = place.config(&[("text_dataset", &text)]);
    let processor = preprocess::Processor::load(&model()).unwrap();
    let train = training_pairs(&config, &processor, &mut |_| {}).unwrap();
    let mut seen: BTreeMap<[u8; 32], usize> = BTreeMap::new();
    train.iter().for_each(|pair| *seen.entry(pair.images[0].key()).or_default() += 1);
    // Two of four prompts train, each with its pairs of both files.
    assert_eq!(seen.into_values().collect::<Vec<_>>(), [2, 2]);
}

/// Multimodal pairs, then these and pairs of text.
pub(crate) fn two_stages() -> Place {
    let place = place(&pairs("7", "four"))
        .with("num_train_epochs", 2)
        .with("save_steps", 2)
        .with("warmup_ratio", 0.1)
        .with("second_learning_rate", 1e-4);
    let text: Vec<Value> = ["a", "b", "c", "d"].map(|word| pair(None, word, "four")).to_vec();
    let text = write(&place, "text.jsonl", &text);
    let held_out = write(&place, "held.jsonl", &pairs("7", "four four"));
    place.with("text_dataset", text).with("eval_dataset", held_out)
}

/// Lines of a stage's `metrics.jsonl`.
pub(crate) fn metrics(place: &Place, stage: &str) -> Vec<std::collections::BTreeMap<String, f64>> {
    lines(&place.path(&format!("out/{stage}/metrics.jsonl")))
}

#[test]
fn the_second_stage_begins_where_the_first_ended() {
    let place = two_stages();
    run(&place, &[]);
    let (first, second) = (metrics(&place, "stage-1"), metrics(&place, "stage-2"));
    // Four pairs by two, twice; eight pairs by two, twice.
    assert_eq!((first.len(), second.len()), (4, 8));
    assert!(first[3]["eval_accuracy"] == 1.0 && second[7]["eval_accuracy"] == 1.0);
    let highest = |steps: &[std::collections::BTreeMap<String, f64>]| {
        steps.iter().map(|step| step["learning_rate"]).fold(0.0, f64::max)
    };
    assert!((highest(&first) - 2e-3).abs() < 1e-12 && (highest(&second) - 1e-4).abs() < 1e-12);
    // Its file, run by hand elsewhere, takes the same steps.
    let config = place.path("out/stage-2/config.toml");
    let elsewhere = [("output_dir".to_owned(), quoted(&place.path("again")))];
    let again: RewardConfig = recipes::config::load(Some(&config), &elsewhere).unwrap();
    reward_model(&again, Watch::nobody).unwrap();
    let weights = |folder: &str| fs::read(place.path(folder).join(WEIGHTS_FILE)).unwrap();
    assert!(weights("again/checkpoint-8") == weights("out/stage-2/checkpoint-8"));
    // A finished run returns at once.
    run(&place, &[]);
    assert_eq!(metrics(&place, "stage-2").len(), 8);
}

#[test]
fn settings_that_disagree_are_named() {
    let place = place(&pairs("7", "4"));
    let error =
        |keys: &[(&str, &str)]| place.try_config::<RewardConfig>(keys).unwrap_err().to_string();
    for (keys, words) in [
        (&[("trainable", "adapter+vision")][..], "encoder is frozen"),
        (&[("second_learning_rate", "1e-6")], "there is one stage"),
        (&[("stage", "2")], "text_dataset is not set"),
        (&[("stage", "3")], "stage = 3: expected 1 or 2"),
        (&[("min_score_gap", "-1")], "min_score_gap = -1"),
        (&[("split_dataset_ratio", "0.1"), ("eval_dataset", "a")], "held-out pairs come from one"),
        (&[("loss_reduction", "token")], "unknown key `loss_reduction`"),
    ] {
        let error = error(keys);
        assert!(error.contains(words), "{error}");
    }
    let text = recipes::config::resolved(&place.config::<RewardConfig>(&[])).unwrap();
    fs::write(place.path("resolved.toml"), &text).unwrap();
    let again: RewardConfig =
        recipes::config::load(Some(Path::new(&place.path("resolved.toml"))), &[]).unwrap();
    assert_eq!(recipes::config::resolved(&again).unwrap(), text);
    again.validate().unwrap();
}
