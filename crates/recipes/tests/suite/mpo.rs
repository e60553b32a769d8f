//! Mixed preference optimisation as a run: what it learns, logs, leaves out, keeps, and when it stops.

use std::fs;

use recipes::mpo::{BEST_FOLDER, MpoConfig, mpo};
use recipes::run::Watch;
use serde_json::{Value, json};

use crate::common::{Log, Place, quoted};
use crate::reward_model::{append, bad_lines};

/// A pair about one of the pictures.
fn pair(picture: usize, chosen: &str, rejected: &str) -> Value {
    json!({
        "prompt": [{"role": "user", "content": "<image>\nSum?"}],
        "images": [format!("{picture}.bmp")],
        "chosen": [{"role": "assistant", "content": chosen}],
        "rejected": [{"role": "assistant", "content": rejected}],
    })
}

/// Pairs that prefer one answer to another, whatever the picture.
pub(crate) fn pairs(chosen: &str, rejected: &str) -> Vec<Value> {
    let answer = |text: &str| format!("</think>\n\n\\boxed{{{text}}}");
    (0..4).map(|picture| pair(picture, &answer(chosen), &answer(rejected))).collect()
}

/// A run over these pairs; the adapter alone moves too little in a few steps.
pub(crate) fn place(lines: &[Value]) -> Place {
    Place::new(lines).with("trainable", "adapter+llm").with("learning_rate", 1e-3)
}

#[test]
fn the_chosen_responses_become_likelier_than_the_rejected() {
    let place = place(&pairs("7", "4")).with("max_steps", 12);
    mpo(&place.config(&[]), Watch::nobody()).unwrap();
    let metrics = place.metrics();
    let (first, last) = (&metrics[0], &metrics[11]);
    assert_eq!(first["rewards/chosen"], 0.0);
    assert_eq!(first["rewards/margins"], 0.0);
    assert_eq!(first["reward_shift"], 0.0);
    assert!((first["loss/preference"] - std::f64::consts::LN_2).abs() < 1e-6);
    assert!((first["loss/quality"] - 2.0 * std::f64::consts::LN_2).abs() < 1e-6);
    assert!(last["rewards/margins"] > 0.1 && last["rewards/accuracies"] == 1.0, "{last:?}");
    assert!(last["loss"] < first["loss"] && last["logps/chosen"] > first["logps/chosen"]);
    for step in &metrics {
        let sum =
            0.8 * step["loss/preference"] + 0.2 * step["loss/quality"] + step["loss/generation"];
        assert!((sum - step["loss"]).abs() < 1e-9);
        let margin = step["rewards/chosen"] - step["rewards/rejected"];
        assert!((margin - step["rewards/margins"]).abs() < 1e-12);
    }
    assert_eq!(last["epoch"], 6.0);
}

#[test]
fn pairs_that_teach_nothing_are_reported_and_left_out_or_stop_the_run() {
    let mut lines = pairs("7", "4");
    lines.extend([pair(0, "same", "same"), pair(1, "", "bad"), pair(9, "good", "bad")]);
    let place = place(&lines).with("max_steps", 1);
    let log = Log::default();
    mpo(&place.config(&[]), log.watch()).unwrap();
    let [notice] = &log.lines("BadPairs")[..] else { panic!("one notice") };
    assert!(notice.contains("num_kept: 4") && notice.contains("MissingImage"), "{notice}");
    let keys = [("bad_pairs", "stop"), ("output_dir", &quoted(&place.path("other")))];
    let error = mpo(&place.config(&keys), Watch::nobody()).err().unwrap().to_string();
    assert!(
        error.contains("4 pairs kept, 3 left out: chosen and rejected are the same (1, "),
        "{error}"
    );
    let long = [("max_length", "10"), ("output_dir", &quoted(&place.path("third")))];
    let error = mpo(&place.config(&long), Watch::nobody()).err().unwrap().to_string();
    assert!(error.ends_with("no samples"), "{error}");
}

#[test]
fn bad_lines_are_counted_and_skipped_or_end_the_run() {
    let place = place(&pairs("7", "4")).with("max_steps", 1);
    let (lines, words): (Vec<_>, Vec<_>) = bad_lines(&place).into_iter().unzip();
    append(&place, lines);
    // The template opens the thought, so both responses are one to the model.
    let thought = pair(0, "<think>\nso</think>3", "so</think>3");
    let mut tie = pair(1, "good", "bad");
    (tie["score_chosen"], tie["score_rejected"]) = (json!(1.0000001), json!(1.0));
    let mut inverted = tie.clone();
    inverted["score_rejected"] = json!(2.0);
    append(&place, [thought, tie, inverted].map(|line| line.to_string()));
    let log = Log::default();
    mpo(&place.config(&[]), log.watch()).unwrap();
    let [notice] = &log.lines("BadPairs")[..] else { panic!("one notice") };
    let words = words.into_iter().chain(["num_kept: 5", "Identical", "Inverted", "count: 3"]);
    words.for_each(|word| assert!(notice.contains(word), "{word}: {notice}"));
    let [ties] = &log.lines("Ties")[..] else { panic!("one notice") };
    assert!(ties.contains("count: 1"), "{ties}");
    let keys = [("bad_pairs", "stop"), ("output_dir", &quoted(&place.path("other")))];
    let error = mpo(&place.config(&keys), Watch::nobody()).err().unwrap().to_string();
    assert!(error.contains("9 left out: "), "{error}");
}

#[test]
fn a_run_that_gets_worse_on_held_out_pairs_stops_and_keeps_its_best() {
    let place = place(&pairs("7", "4"));
    let held_out = place.path("held_out.jsonl");
    // Held-out pairs that want the opposite: every step is one for the worse.
    let text: String = pairs("4", "7").iter().map(|line| format!("{line}\n")).collect();
    fs::write(&held_out, text).unwrap();
    let place = place
        .with("eval_dataset", quoted(&held_out))
        .with("early_stopping_patience", 2)
        .with("metric_for_best_model", "margins")
        .with("save_total_limit", 1)
        .with("max_steps", 20)
        .with("save_steps", 2);
    let log = Log::default();
    mpo(&place.config(&[]), log.watch()).unwrap();
    assert_eq!(log.lines("step").len(), 6);
    assert_eq!(log.lines("EarlyStop").len(), 1);
    assert_eq!(log.lines("Best").len(), 1);
    let metrics = place.metrics();
    assert!(metrics[1]["eval/rewards/margins"] < 0.0 && !metrics[2].contains_key("eval/loss"));
    assert!(metrics[5]["eval/rewards/margins"] < metrics[1]["eval/rewards/margins"]);
    assert!(metrics[5]["eval/loss/preference"] > metrics[1]["eval/loss/preference"]);
    // The best one is still there, under its name, though only the newest checkpoint was to be kept.
    let best = place.path("out").join(BEST_FOLDER);
    let state: Value =
        serde_json::from_slice(&fs::read(best.join("trainer_state.json")).unwrap()).unwrap();
    assert_eq!(state["global_step"], 2);
    assert!(
        best.join("trainable.safetensors").is_file() && !place.path("out/checkpoint-2").exists()
    );
    // Run again, it knows that it has ended.
    let again = Log::default();
    mpo(&place.config(&[]), again.watch()).unwrap();
    assert_eq!((again.lines("step").len(), again.lines("Encoding").len()), (0, 0));
}

#[test]
fn a_checkpoint_is_not_taken_for_one_of_other_pairs() {
    let mut lines = pairs("7", "4");
    let place = place(&lines).with("max_steps", 2);
    mpo(&place.config(&[]), Watch::nobody()).unwrap();
    lines.reverse();
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(place.path("train.jsonl"), text).unwrap();
    let error = mpo(&place.config(&[]), Watch::nobody()).err().unwrap().to_string();
    assert!(error.contains("checkpoint-2 was saved under other settings (pairs: "), "{error}");
}

#[test]
fn settings_are_checked() {
    let place = place(&pairs("7", "4"));
    for (keys, want) in [
        (&[("beta", "0")][..], "beta = 0: expected"),
        (&[("loss_type", "[]")], "loss_type = []: expected one or more"),
        (&[("loss_type", "[\"sft\", \"sft\"]")], "each once"),
        (&[("loss_weights", "[1.0]")], "every part of the loss has one weight"),
        (&[("loss_weights", "[0.0, 0.0, 0.0]")], "not all of them 0"),
        (&[("loss_type", "[\"ipo\"]")], "unknown variant `ipo`"),
        (&[("early_stopping_patience", "3")], "eval_dataset is not set"),
        (&[("gamma", "3")], "unknown key `gamma`"),
    ] {
        let error = place.try_config::<MpoConfig>(keys).unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
    }
}
