//! A run that is killed and started again ends as if nothing had happened.
//!
//! The child is this test binary, told by an environment variable to run one recipe and to stop dead
//! at a step; the parent then kills it by signal 9.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use engine::Event;
use recipes::choice::Choice;
use recipes::iterative_sft::{Callers, iterative_sft};
use recipes::mpo::{mpo, rounds};
use recipes::preferences::Assessors;
use recipes::reward_model::reward_model;
use recipes::run::{Notice, Watch};
use recipes::sft::sft;

use crate::common::{Place, lines, samples};
use crate::grpo::grpo;

const STOP: &str = "RECIPES_TEST_STOP";

/// Where a child stops dead.
#[derive(Clone, Copy)]
enum Stop {
    /// After this step, before its checkpoint.
    Step(u64),
    /// While the rollout of the step after this one runs.
    Rollout(u64),
    /// When so many prompts are in the journal of a build of pairs.
    Sampled(u64),
    /// When this round of iterative fine-tuning knows what it learns from.
    Selected(u64),
    /// When it is told something for the n-th time, be it a step, a checkpoint or a token of a rollout.
    Told(u64),
}

/// Watches until the place to stop, says so by a file, and waits to be killed.
fn watch_until(stop: Stop, marker: &Path) -> Watch {
    let steps = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let seen = std::sync::Arc::clone(&steps);
    let wait = |marker: &Path| -> ! {
        fs::write(marker, "").unwrap();
        loop {
            std::thread::sleep(Duration::from_secs(1));
        }
    };
    let (first, second) = (marker.to_owned(), marker.to_owned());
    let told = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let told_too = std::sync::Arc::clone(&told);
    let tell = move |told: &std::sync::atomic::AtomicU64, marker: &Path| {
        let before = told.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        if matches!(stop, Stop::Told(number) if number == before + 1) {
            wait(marker);
        }
    };
    Watch {
        events: Box::new(move |event: &Event<'_>| {
            tell(&told, &first);
            if let Event::Step(report) = event {
                steps.store(report.step, std::sync::atomic::Ordering::SeqCst);
                if matches!(stop, Stop::Step(step) if step == report.step) {
                    wait(&first);
                }
            }
        }),
        notices: Box::new(move |notice: &Notice| {
            tell(&told_too, &second);
            let at = seen.load(std::sync::atomic::Ordering::SeqCst);
            let is_late = matches!(notice, Notice::Rollout { done, .. } if *done > 0);
            if is_late && matches!(stop, Stop::Rollout(step) if step == at) {
                wait(&second);
            }
            if let (Notice::Selected { round, .. }, Stop::Selected(stop)) = (notice, stop)
                && *round as u64 == stop
            {
                wait(&second);
            }
            if let (Notice::Sampled { done, .. }, Stop::Sampled(prompts)) = (notice, stop)
                && *done as u64 == prompts
            {
                wait(&second);
            }
        }),
    }
}

/// Does nothing unless a parent asks for it.
#[test]
fn child() {
    let Ok(text) = std::env::var(STOP) else { return };
    let parts: Vec<&str> = text.split(' ').collect();
    let [recipe, kind, step, folder] = parts[..] else { panic!("{text}") };
    let step = step.parse().unwrap();
    let stop = match kind {
        "step" => Stop::Step(step),
        "sampled" => Stop::Sampled(step),
        "selected" => Stop::Selected(step),
        "told" => Stop::Told(step),
        _ => Stop::Rollout(step),
    };
    let folder = Path::new(folder);
    let config = folder.join("keys.toml");
    if recipe == "reward_model" {
        let watch = || watch_until(stop, &folder.join("marker"));
        reward_model(&recipes::config::load(Some(&config), &[]).unwrap(), watch).unwrap();
        return;
    }
    if recipe == "iterative_sft" {
        let watch = &mut || watch_until(stop, &folder.join("marker"));
        let callers = Callers { scorer: None, judge: None, refresh: None, watch };
        iterative_sft(&recipes::config::load(Some(&config), &[]).unwrap(), callers).unwrap();
        return;
    }
    if recipe == "rounds" {
        let mut watch = || watch_until(stop, &folder.join("marker"));
        rounds(
            &recipes::config::load(Some(&config), &[]).unwrap(),
            Assessors::default(),
            &mut watch,
        )
        .unwrap();
        return;
    }
    let watch = watch_until(stop, &folder.join("marker"));
    match recipe {
        "sft" => sft(&recipes::config::load(Some(&config), &[]).unwrap(), watch).map(drop),
        "mpo" => mpo(&recipes::config::load(Some(&config), &[]).unwrap(), watch).map(drop),
        _ => grpo(&recipes::config::load(Some(&config), &[]).unwrap(), watch).map(drop),
    }
    .unwrap();
}

/// Runs a recipe in a child until `stop` and kills it there. The child has another number of threads,
/// which changes no bit either.
fn run_and_kill(place: &Place, recipe: &str, stop: Stop) {
    assert!(is_killed(place, recipe, stop), "the child ended before it was killed");
}

/// As [`run_and_kill`]; false where the child came to its end before.
fn is_killed(place: &Place, recipe: &str, stop: Stop) -> bool {
    let (kind, step) = match stop {
        Stop::Step(step) => ("step", step),
        Stop::Rollout(step) => ("rollout", step),
        Stop::Sampled(prompts) => ("sampled", prompts),
        Stop::Selected(round) => ("selected", round),
        Stop::Told(number) => ("told", number),
    };
    let (folder, marker) = (place.folder.path(), place.path("marker"));
    let order = format!("{recipe} {kind} {step} {}", folder.display());
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "resume::child", "--test-threads", "1"])
        .env(STOP, order)
        .env("RAYON_NUM_THREADS", "3")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    while !marker.exists() {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "the child failed");
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    fs::remove_file(marker).unwrap();
    true
}

/// Compares everything that two runs left, but for when features came from the cache.
fn assert_same(one: &Place, other: &Place, last: u64) {
    let file = |place: &Place, name: &str| {
        fs::read(place.path(&format!("out/checkpoint-{last}/{name}"))).unwrap()
    };
    assert_eq!(one.trained(last), other.trained(last));
    for name in ["trainable.safetensors", "optimizer.safetensors"] {
        assert!(file(one, name) == file(other, name), "{name} differs");
    }
    let metrics = |place: &Place| -> Vec<BTreeMap<String, f64>> {
        let mut metrics = place.metrics();
        for step in &mut metrics {
            step.remove("feature_cache/hit_rate");
        }
        metrics
    };
    assert_eq!(metrics(one), metrics(other));
}

#[test]
fn sft_killed_and_resumed_equals_uninterrupted() {
    for keys in [
        &[("per_device_train_batch_size", "1"), ("gradient_accumulation_steps", "2")][..],
        &[("packing", "true"), ("max_length", "150"), ("trainable", "adapter+lora")],
    ] {
        let place = || {
            let mut place = Place::new(&samples()).with("max_steps", 9).with("save_steps", 3);
            place.set(keys);
            place.set(&[("warmup_ratio", "0.2"), ("weight_decay", "0.1")]);
            place.write_keys();
            place
        };
        let (whole, killed) = (place(), place());
        sft(&whole.config(&[]), Watch::nobody()).unwrap();
        // Once between checkpoints, once before the first, once just before a checkpoint.
        for stop in [2, 5, 9] {
            run_and_kill(&killed, "sft", Stop::Step(stop));
        }
        sft(&killed.config(&[]), Watch::nobody()).unwrap();
        assert_same(&whole, &killed, 9);
    }
}

#[test]
fn mpo_killed_and_resumed_equals_uninterrupted() {
    let place = || {
        let place = crate::mpo::place(&crate::mpo::pairs("7", "4"));
        fs::copy(place.path("train.jsonl"), place.path("held_out.jsonl")).unwrap();
        let held_out = crate::common::quoted(&place.path("held_out.jsonl"));
        let mut place = place.with("eval_dataset", held_out).with("max_steps", 7);
        place.set(&[("per_device_train_batch_size", "1"), ("gradient_accumulation_steps", "3")]);
        place.set(&[("save_steps", "2"), ("early_stopping_patience", "9")]);
        place.write_keys();
        place
    };
    let (whole, killed) = (place(), place());
    mpo(&whole.config(&[]), Watch::nobody()).unwrap();
    // Before the first checkpoint, between two, and just before one.
    for stop in [1, 3, 6] {
        run_and_kill(&killed, "mpo", Stop::Step(stop));
    }
    mpo(&killed.config(&[]), Watch::nobody()).unwrap();
    assert_same(&whole, &killed, 7);
    // The shift went on from where it was, over every micro-batch.
    let shift = |place: &Place| {
        let state = fs::read(place.path("out/checkpoint-7/trainer_state.json")).unwrap();
        let state: serde_json::Value = serde_json::from_slice(&state).unwrap();
        state["task_state"]["reward_shift"].clone()
    };
    assert_eq!(shift(&whole), shift(&killed));
    assert_eq!(shift(&whole)["num_updates"], 21);
    let references = |place: &Place| {
        let file = fs::read_dir(place.path("out/reference")).unwrap().next().unwrap().unwrap();
        (file.file_name(), fs::read(file.path()).unwrap())
    };
    assert_eq!(references(&whole), references(&killed));
}

#[test]
fn rounds_killed_and_resumed_equal_uninterrupted() {
    let place = || {
        let place = crate::preferences::rounds_place(&[Some("3"); 35]);
        place.write_keys();
        place
    };
    let (whole, killed) = (place(), place());
    rounds(&whole.config(&[]), Assessors::default(), &mut Watch::nobody).unwrap();
    // Between batches of prompts, in the training of the first round, and in the sampling of the second.
    for stop in [Stop::Sampled(32), Stop::Step(1), Stop::Sampled(32)] {
        run_and_kill(&killed, "rounds", stop);
    }
    assert!(killed.path("out/round-2/preferences/responses.jsonl").is_file());
    assert!(!killed.path("out/round-2/mpo").exists());
    rounds(&killed.config(&[]), Assessors::default(), &mut Watch::nobody).unwrap();
    for round in [1, 2] {
        // The first line names folders.
        let responses = |place: &Place| -> Vec<String> {
            let path = format!("out/round-{round}/preferences/responses.jsonl");
            let text = fs::read_to_string(place.path(&path)).unwrap();
            text.lines().skip(1).map(str::to_owned).collect()
        };
        assert_eq!(responses(&whole), responses(&killed));
        assert_eq!(responses(&whole).len(), 35);
        let last = |place: &Place| -> Vec<BTreeMap<String, f64>> {
            lines(&place.path(&format!("out/round-{round}/mpo/metrics.jsonl")))
        };
        assert_eq!(last(&whole).len(), last(&killed).len());
        let file = |place: &Place, name: &str| {
            let step = last(place).len();
            fs::read(place.path(&format!("out/round-{round}/mpo/checkpoint-{step}/{name}")))
                .unwrap()
        };
        for name in ["trainable.safetensors", "optimizer.safetensors"] {
            assert!(file(&whole, name) == file(&killed, name), "round {round}: {name} differs");
        }
    }
}

#[test]
fn iterative_sft_killed_in_and_between_rounds_equals_uninterrupted() {
    let place = || {
        let place = crate::iterative_sft::place();
        place.write_keys();
        place
    };
    let run = |place: &Place| {
        let watch = &mut Watch::nobody;
        let callers = Callers { scorer: None, judge: None, refresh: None, watch };
        iterative_sft(&place.config(&[]), callers).unwrap()
    };
    let (whole, killed) = (place(), place());
    let choice = run(&whole);
    // Before the first checkpoint, after the answers of the first round, in its training, and before the second's.
    for stop in [Stop::Step(1), Stop::Selected(1), Stop::Step(4), Stop::Selected(2)] {
        run_and_kill(&killed, "iterative_sft", stop);
    }
    assert!(killed.path("out/round-1/sft/checkpoint-5").exists());
    assert!(!killed.path("out/round-2/sft").exists());
    let other = run(&killed);
    let reasons = |choice: &Choice| -> Vec<_> {
        let candidates = choice.candidates.iter();
        candidates.map(|one| (one.reason.clone(), one.candidate.figures)).collect()
    };
    assert_eq!(
        (choice.chosen.as_str(), reasons(&choice)),
        (other.chosen.as_str(), reasons(&other))
    );
    for (stage, last) in [("stage-1", 3), ("round-1", 5), ("round-2", 5)] {
        for name in ["trainable.safetensors", "optimizer.safetensors"] {
            let file = |place: &Place| {
                fs::read(place.path(&format!("out/{stage}/sft/checkpoint-{last}/{name}"))).unwrap()
            };
            assert!(file(&whole) == file(&killed), "{stage}: {name} differs");
        }
    }
}

#[test]
fn grpo_killed_and_resumed_equals_uninterrupted() {
    let place = || {
        let mut place = crate::grpo::place(["9", "9", "3", "3"])
            .with("max_steps", 6)
            .with("save_steps", 2)
            .with("beta", 0.05)
            .with("learning_rate", 3e-3);
        place.set(&[("per_device_train_batch_size", "4"), ("gradient_accumulation_steps", "1")]);
        place.write_keys();
        place
    };
    let (whole, killed) = (place(), place());
    grpo(&whole.config(&[]), Watch::nobody()).unwrap();
    for stop in [Stop::Step(3), Stop::Rollout(4), Stop::Step(6)] {
        run_and_kill(&killed, "grpo", stop);
    }
    grpo(&killed.config(&[]), Watch::nobody()).unwrap();
    assert_same(&whole, &killed, 6);
    // The buffer took part, and was restored to the bit.
    assert!(
        whole
            .metrics()
            .iter()
            .any(|step| { step["effective_fraction/after"] > step["effective_fraction/before"] })
    );
    let buffer =
        |place: &Place| fs::read(place.path("out/checkpoint-6/replay_buffer.json")).unwrap();
    assert!(buffer(&whole) == buffer(&killed) && buffer(&whole).len() > 100);
    // No line twice, none missing; samples are named by where their file is.
    let completions = |place: &Place| -> Vec<serde_json::Value> {
        let mut lines: Vec<serde_json::Value> = lines(&place.path("out/completions.jsonl"));
        for line in &mut lines {
            let sample = line["sample"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
            line["sample"] = sample.into();
        }
        lines
    };
    assert_eq!(completions(&whole), completions(&killed));
}

/// Kills a run again and again, wherever it happens to be, until it comes to its end.
fn kill_everywhere(least: u64, keys: &[(&str, &str)]) {
    let place = || {
        let mut place = crate::grpo::place(["9", "4", "3", "3"])
            .with("max_steps", 24)
            .with("save_steps", 8)
            .with("learning_rate", 3e-3);
        place.set(&[("per_device_train_batch_size", "4"), ("gradient_accumulation_steps", "1")]);
        // Measured at every checkpoint.
        let held_out = crate::common::quoted(&place.path("train.jsonl"));
        place.set(&[("eval_dataset", &held_out), ("eval_temperature", "1")]);
        place.set(keys);
        place.write_keys();
        place
    };
    let (whole, killed) = (place(), place());
    grpo(&whole.config(&[]), Watch::nobody()).unwrap();
    assert!(whole.metrics()[23].contains_key("eval/accuracy"));
    let (mut luck, mut num_kills) = (12_345u64, 0);
    loop {
        luck = luck.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if !is_killed(&killed, "grpo", Stop::Told(2 + (luck >> 33) % 40)) {
            break;
        }
        num_kills += 1;
        assert!(num_kills < 200, "no progress");
    }
    assert!(num_kills >= least, "{keys:?}: {num_kills} kills");
    assert_same(&whole, &killed, 24);
    let file =
        |place: &Place| fs::read(place.path("out/checkpoint-24/replay_buffer.json")).unwrap();
    assert!(file(&whole) == file(&killed), "{keys:?}");
}

#[test]
fn grpo_killed_anywhere_and_resumed_equals_uninterrupted() {
    kill_everywhere(20, &[]);
    // A rollout with several updates, with a checkpoint in its midst.
    kill_everywhere(5, &[("steps_per_generation", "3"), ("num_iterations", "1"), ("beta", "0.05")]);
}

#[test]
fn grpo_with_a_pool_and_rethinking_killed_anywhere_and_resumed_equals_uninterrupted() {
    let rethinking = "{share = 0.95, triggers = [\"\\n</think>\\n\\n\"]}";
    let shaped = "{repetition = 0.1, overlong = 0.1}";
    kill_everywhere(
        10,
        &[
            ("warm_start", "true"),
            ("rethinking", rethinking),
            ("reward_weights", shaped),
            ("soft_punish_cache", "8"),
            ("multi_objective_aggregation", "normalize_then_sum"),
            ("replay_unit", "group"),
            ("dynamic_sampling", "true"),
            ("max_num_gen_batches", "3"),
            ("max_completion_length", "40"),
        ],
    );
}

#[test]
fn grpo_that_draws_ahead_killed_anywhere_and_resumed_equals_uninterrupted() {
    kill_everywhere(5, &[("max_staleness", "2"), ("num_iterations", "2")]);
}

#[test]
fn what_is_in_flight_is_not_drawn_again() {
    let place = crate::grpo::place(["3"; 4]).with("max_steps", 1);
    place.write_keys();
    run_and_kill(&place, "grpo", Stop::Step(1));
    // Only the step is left: no token is drawn.
    let log = crate::common::Log::default();
    grpo(&place.config(&[]), log.watch()).unwrap();
    assert_eq!(log.lines("Rollout"), ["Rollout { done: 0, total: 0 }"]);
    assert_eq!(log.lines("step"), ["step 1"]);
}

#[test]
fn a_reward_model_killed_in_either_stage_and_resumed_equals_uninterrupted() {
    let place = || {
        let place = crate::reward_model::two_stages();
        place.write_keys();
        place
    };
    let (whole, killed) = (place(), place());
    reward_model(&whole.config(&[]), Watch::nobody).unwrap();
    // The first stage has 4 steps, the second 8.
    for stop in [3, 4, 5, 7] {
        run_and_kill(&killed, "reward_model", Stop::Step(stop));
    }
    reward_model(&killed.config(&[]), Watch::nobody).unwrap();
    for (stage, last) in [("stage-1", 4), ("stage-2", 8)] {
        for name in ["trainable.safetensors", "optimizer.safetensors"] {
            let file = |place: &Place| {
                fs::read(place.path(&format!("out/{stage}/checkpoint-{last}/{name}"))).unwrap()
            };
            assert!(file(&whole) == file(&killed), "{stage}: {name} differs");
        }
        let metrics = |place: &Place| crate::reward_model::metrics(place, stage);
        assert_eq!(metrics(&whole), metrics(&killed), "{stage}");
    }
}
