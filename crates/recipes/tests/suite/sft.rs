//! Fine-tuning: golden loss and gradient, batches, notices.

use std::collections::BTreeMap;

use model::vlm::Trainable;
use recipes::run::Watch;
use recipes::sft::{SftConfig, sft};
use serde_json::Value;
use testkit::{Golden, assert_close_by_norm};

use crate::common::{
    Log, Place, golden_sample, lengths, model, quoted, reference, sample, samples, values, vlm,
};

/// Settings under which one AdamW step tells the gradient: `Δ = −lr g / (|g| + ε)`.
const RATE: f64 = 100.0;
const EPSILON: f64 = 0.5;

struct Step {
    loss: f64,
    gradients: BTreeMap<String, Vec<f32>>,
}

/// Takes one step through the whole recipe.
fn one_step(lines: &[Value], keys: &[(&str, &str)]) -> Step {
    let place = Place::new(lines)
        .with("learning_rate", RATE)
        .with("adam_epsilon", EPSILON)
        .with("max_grad_norm", 0)
        .with("lr_scheduler_type", "constant")
        .with("max_steps", 1)
        .with("shuffle_dataset", false);
    sft(&place.config(keys), Watch::nobody()).unwrap();
    let before = values(&vlm(), Trainable::Adapter);
    let gradient = |before: f32, after: f32| {
        let moved = f64::from(before) - f64::from(after);
        (EPSILON * moved / (RATE - moved.abs())) as f32
    };
    let of = |(name, after): (String, Vec<f32>)| {
        let pairs = before[&name].iter().zip(after);
        (name, pairs.map(|(&before, after)| gradient(before, after)).collect())
    };
    let gradients = place.trained(1).into_iter().map(of).collect();
    Step { loss: place.metrics()[0]["loss"], gradients }
}

#[test]
fn loss_and_adapter_gradients_are_the_references() {
    let step = one_step(
        &[golden_sample()],
        &[("per_device_train_batch_size", "1"), ("loss_reduction", "token")],
    );
    let want = reference()["sft_loss_mean_over_answer_tokens"].as_f64().unwrap();
    assert!((step.loss - want).abs() < 1e-4 * want, "loss {}, want {want}", step.loss);
    assert_eq!(step.gradients.len(), 6);
    let reference = Golden::open(model().join("reference.safetensors"));
    for (name, gradient) in &step.gradients {
        assert_close_by_norm(name, gradient, &reference.f32(&format!("grad.{name}")), 1e-3);
    }
}

/// Four samples in one pack, in several, one by one; in one micro-batch or several.
#[test]
fn micro_batches_and_packs_add_up_to_one_batch() {
    let lengths = lengths();
    let [a, b, c, d] = lengths[..] else { panic!("four samples") };
    // What holds all samples, two but not three, and one but not two.
    let (all, two, one) = (a + b + c + d, (a + b).max(c + d), a.max(b).max(c).max(d));
    assert!(a + b + c > two && [a + b, b + c, c + d].iter().all(|&pair| pair > one));
    for reduction in ["token", "sample", "square"] {
        let of = |size: &str, accumulation: &str, packing: Option<&str>| {
            let mut keys = vec![
                ("loss_reduction", reduction),
                ("per_device_train_batch_size", size),
                ("gradient_accumulation_steps", accumulation),
            ];
            keys.extend(packing.into_iter().flat_map(|m| [("packing", "true"), ("max_length", m)]));
            one_step(&samples(), &keys)
        };
        let whole = of("4", "1", None);
        for (size, accumulation, packing) in [
            ("2", "2", None),
            ("1", "4", None),
            ("1", "1", Some(all)),
            ("1", "2", Some(two)),
            ("2", "1", Some(two)),
            ("1", "4", Some(one)),
        ] {
            let what = format!("{reduction} {size} {accumulation} {packing:?}");
            let packing = packing.map(|max_length| max_length.to_string());
            let parts = of(size, accumulation, packing.as_deref());
            let distance = (parts.loss - whole.loss).abs();
            assert!(distance < 1e-5 * whole.loss, "{what}: {} and {}", parts.loss, whole.loss);
            for (name, gradient) in &parts.gradients {
                assert_close_by_norm(&what, gradient, &whole.gradients[name], 2e-5);
            }
        }
    }
}

#[test]
fn steps_cover_the_epochs() {
    let place = Place::new(&samples());
    let steps = |keys: &[(&str, &str)], lengths: &[usize]| {
        place.config::<SftConfig>(keys).num_steps(lengths)
    };
    assert_eq!(steps(&[], &[5; 10]), 5);
    assert_eq!(steps(&[("num_train_epochs", "1.3")], &[5; 10]), 7);
    assert_eq!(steps(&[("gradient_accumulation_steps", "3")], &[5; 10]), 2);
    assert_eq!(steps(&[("max_steps", "77")], &[5; 10]), 77);
    // Two samples of 5 fit into a pack of 14, not three: 5 packs, and two packs make a step.
    let packed = [("packing", "true"), ("max_length", "14")];
    assert_eq!(steps(&packed, &[5; 10]), 3);
}

#[test]
fn every_step_is_logged_under_known_names() {
    let place = Place::new(&samples()).with("num_train_epochs", 2).with("save_steps", 2);
    let log = Log::default();
    let policy = sft(&place.config(&[]), log.watch()).unwrap();
    let metrics = place.metrics();
    assert_eq!(metrics.len(), 4);
    let names: Vec<&str> = metrics[3].keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "entropy",
            "epoch",
            "feature_cache/hit_rate",
            "grad_norm",
            "learning_rate",
            "loss",
            "num_tokens",
            "step",
            "token_loss"
        ]
    );
    assert_eq!(metrics[3]["epoch"], 2.0);
    assert_eq!(log.lines("step").len(), 4);
    assert_eq!(log.lines("saved"), ["saved 2", "saved 4"]);
    assert_eq!(values(&policy.vlm, Trainable::Adapter), place.trained(4));
    assert!(metrics[3]["loss"] < metrics[0]["loss"]);
}

#[test]
fn a_finished_run_returns_at_once() {
    let place = Place::new(&samples()).with("max_steps", 2);
    sft(&place.config(&[]), Watch::nobody()).unwrap();
    let log = Log::default();
    let policy = sft(&place.config(&[]), log.watch()).unwrap();
    assert_eq!(values(&policy.vlm, Trainable::Adapter), place.trained(2));
    assert_eq!(log.lines(""), ["resumed 2"]);
    assert_eq!(place.metrics().len(), 2);
}

#[test]
fn images_are_encoded_once() {
    let mut lines = samples();
    lines.push(sample(Some(0), "Again?", "1"));
    let cache = tempfile::tempdir().unwrap();
    let folder = quoted(cache.path());
    let place = || Place::new(&lines).with("feature_cache", &folder).with("max_steps", 3);
    let (first, log) = (place(), Log::default());
    sft(&first.config(&[]), log.watch()).unwrap();
    assert_eq!(log.lines("Encoding").len(), 5);
    assert_eq!(log.lines("Encoding")[4], "Encoding { done: 5, total: 5 }");
    let encoded = &log.lines("Encoded")[0];
    assert!(encoded.contains("ram_hits: 1, disk_hits: 0, misses: 4"), "{encoded}");
    // Five look-ups before the first step, then two a step.
    assert_eq!(first.metrics()[0]["feature_cache/hit_rate"], 3.0 / 7.0);
    let (second, log) = (place(), Log::default());
    sft(&second.config(&[]), log.watch()).unwrap();
    let encoded = &log.lines("Encoded")[0];
    assert!(encoded.contains("ram_hits: 1, disk_hits: 4, misses: 0"), "{encoded}");
    assert_eq!(second.metrics()[1]["feature_cache/hit_rate"], 1.0);
    assert_eq!(first.trained(3), second.trained(3));
    // A run that draws two samples needs no more of them.
    let (short, log) = (Place::new(&lines).with("max_steps", 1), Log::default());
    sft(&short.config(&[]), log.watch()).unwrap();
    assert_eq!(
        log.lines("Encoding"),
        [1, 2].map(|n| format!("Encoding {{ done: {n}, total: 2 }}"))
    );
}

#[test]
fn text_alone_is_counted_and_refused() {
    let text = sample(None, "What is 1 and 2?", "3");
    let run = |lines: &[Value], trainable: &str| {
        let place = Place::new(lines).with("trainable", trainable).with("max_steps", 1);
        let log = Log::default();
        (sft(&place.config(&[]), log.watch()).map(drop), log.lines("TextOnly"))
    };
    let mixed = [text.clone(), samples()[0].clone()];
    let (result, notices) = run(&mixed, "adapter");
    result.unwrap();
    assert_eq!(notices, ["TextOnly { count: 1, of: 2 }"]);
    let (result, notices) = run(&mixed, "adapter+llm");
    result.unwrap();
    assert_eq!(notices, [""; 0]);
    let (result, notices) = run(&[text.clone(), text.clone()], "adapter+vision");
    let message = result.unwrap_err().to_string();
    assert!(message.contains("train.jsonl: no sample has an image"), "{message}");
    assert_eq!(notices, ["TextOnly { count: 2, of: 2 }"]);
    run(&[text], "adapter+lora").0.unwrap();
}

#[test]
fn samples_that_are_too_long_are_counted() {
    let mut lines = samples();
    let run = |lines: &[Value], max_length: &str| {
        let place = Place::new(lines).with("max_length", max_length).with("max_steps", 1);
        let log = Log::default();
        (sft(&place.config(&[]), log.watch()).map(drop), log.lines("TooLong"))
    };
    let mut lengths = lengths();
    lengths.sort_unstable();
    assert!(lengths[1] < lengths[2]);
    let (result, notices) = run(&lines, &lengths[1].to_string());
    result.unwrap();
    assert_eq!(notices, [format!("TooLong {{ count: 2, max_length: {} }}", lengths[1])]);
    let (result, notices) = run(&lines, "9");
    assert!(result.unwrap_err().to_string().ends_with("train.jsonl: no samples"));
    assert_eq!(notices, ["TooLong { count: 4, max_length: 9 }"]);
    // What exceeds the model's context does so whatever the setting says.
    lines.push(sample(None, &"why ".repeat(5000), "1"));
    let (result, notices) = run(&lines, "100000");
    result.unwrap();
    assert_eq!(notices, ["TooLong { count: 1, max_length: 4096 }"]);
}

#[test]
fn a_damaged_picture_is_found_before_the_first_step() {
    let place = Place::new(&samples()).with("max_steps", 2);
    let file = place.path("2.bmp");
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let message = sft(&place.config(&[]), Watch::nobody()).map(drop).unwrap_err().to_string();
    assert!(message.contains("train.jsonl:3: ") && message.contains("2.bmp"), "{message}");
    assert!(!place.path("out/metrics.jsonl").exists() || place.metrics().is_empty());
}

#[test]
fn a_loss_that_is_not_finite_stops_the_run() {
    let keys = [("learning_rate", "1e30"), ("lr_scheduler_type", "constant"), ("save_steps", "1")];
    let place = Place::new(&samples()).with("max_steps", 3);
    let error = sft(&place.config(&keys), Watch::nobody()).map(drop).unwrap_err().to_string();
    assert!(error.starts_with("step 2, micro-batch 0: the loss is NaN"), "{error}");
    assert!(error.contains("train.jsonl:"), "{error}");
    assert_eq!(place.trained(1).len(), 6);
    assert!(!place.path("out/checkpoint-2").exists());
}
