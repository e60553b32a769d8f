//! Reinforcement from rollout to update, on a model that was first taught to answer 3 or 4.

use std::collections::{BTreeMap, BTreeSet};

use model::vlm::Trainable;
use recipes::grpo::{GrpoConfig, Scorers};
use recipes::policy::Policy;
use recipes::run::Watch;
use serde_json::Value;

use crate::common::{Log, Place, lines, quoted, sample, samples, taught, values};

/// Four questions with these answers, of which the taught model says 3 and 4 alone.
pub(crate) fn place(answers: [&str; 4]) -> Place {
    let questions: Vec<Value> = (0..4).map(|i| sample(Some(i), "Sum?", answers[i])).collect();
    Place::new(&questions)
        .with("model_name_or_path", quoted(taught()))
        .with("num_generations", 4)
        .with("per_device_train_batch_size", 4)
        .with("gradient_accumulation_steps", 2)
        .with("max_completion_length", 24)
        .with("max_steps", 4)
}

/// A run whose rewards are all computed here.
pub(crate) fn grpo(config: &GrpoConfig, watch: Watch) -> Result<Policy, recipes::Error> {
    recipes::grpo::grpo(config, Scorers::default(), watch)
}

fn run(place: &Place, keys: &[(&str, &str)]) -> (Log, Vec<BTreeMap<String, f64>>) {
    let log = Log::default();
    grpo(&place.config(keys), log.watch()).unwrap();
    (log, place.metrics())
}

#[test]
fn a_run_is_logged_and_its_completions_are_kept() {
    let place = place(["3"; 4]).with("beta", 0.1);
    let (log, metrics) = run(&place, &[]);
    assert_eq!(log.lines("step").len(), 4);
    assert_eq!(log.lines("Encoding").len(), 4);
    assert!(log.lines("Rollout").contains(&"Rollout { done: 8, total: 8 }".to_owned()));
    let names: Vec<&str> = metrics[0].keys().map(String::as_str).collect();
    #[rustfmt::skip]
    assert_eq!(names, [
        "clip_ratio/high_mean", "clip_ratio/low_mean", "clip_ratio/region_mean",
        "completions/clipped_ratio", "completions/max_length", "completions/mean_length",
        "completions/mean_terminated_length", "completions/min_length", "completions/repetition_rate",
        "effective_fraction/after", "effective_fraction/before", "entropy", "epoch",
        "frac_groups_truncated", "frac_reward_zero_std", "grad_norm", "kl", "learning_rate", "loss", "num_rollouts",
        "num_sampled_tokens", "num_tokens", "replay_buffer/size", "reward", "reward_std",
        "rewards/format/mean", "rewards/format/std", "rewards/rule/mean", "rewards/rule/std", "step",
    ]);
    // On the policy that drew them, no ratio is clipped and nothing has moved from the reference.
    assert_eq!(metrics[0]["kl"], 0.0);
    assert_eq!(metrics[0]["clip_ratio/region_mean"], 0.0);
    assert!(metrics[3]["kl"] > 0.0);
    assert_eq!(metrics[3]["epoch"], 2.0);

    let completions: Vec<Value> = lines(&place.path("out/completions.jsonl"));
    assert_eq!(completions.len(), 4 * 8);
    for (step, line) in completions.iter().enumerate().map(|(index, line)| (index / 8, line)) {
        assert_eq!(line["step"], step + 1);
        assert!(line["sample"].as_str().unwrap().contains("train.jsonl:"), "{line}");
        let text = line["completion"].as_str().unwrap();
        let is_right = text.ends_with("\\boxed{3}");
        assert_eq!(line["rule"].as_f64().unwrap(), f64::from(u8::from(is_right)), "{line}");
        let reward = 0.8 * line["rule"].as_f64().unwrap() + 0.2 * line["format"].as_f64().unwrap();
        assert_eq!(line["reward"].as_f64().unwrap(), reward);
    }
    let rule = |line: &Value| line["rule"].as_f64().unwrap();
    let mean = completions[..8].iter().map(rule).sum::<f64>() / 8.0;
    assert_eq!(metrics[0]["rewards/rule/mean"], mean);
    assert!(mean > 0.0 && mean < 1.0, "the model was taught to be of two minds");
}

/// In 14 steps from 25 to 88 of 100, and about so with every seed.
#[test]
fn the_policy_learns_what_is_rewarded() {
    let place = place(["4"; 4]).with("learning_rate", 1e-2).with("max_steps", 14);
    let (_, metrics) = run(&place, &[("gradient_accumulation_steps", "4")]);
    let mean = |steps: &[BTreeMap<String, f64>]| {
        steps.iter().map(|step| step["rewards/rule/mean"]).sum::<f64>() / steps.len() as f64
    };
    let (first, last) = (mean(&metrics[..1]), mean(&metrics[10..]));
    assert!(first < 0.6 && last > first + 0.25, "{first} and {last}");
}

#[test]
fn a_step_without_mixed_groups_draws_again() {
    // One prompt a step: half of the draws are hopeless.
    let keys = [("gradient_accumulation_steps", "1"), ("replay_staleness", "0")];
    let (log, metrics) = run(&place(["9", "9", "3", "3"]), &keys);
    let num_rollouts: f64 = metrics.iter().map(|step| step["num_rollouts"]).sum();
    assert_eq!(num_rollouts as usize, 4 + log.lines("Redraw").len());
    let redrawn: Vec<_> = metrics.iter().filter(|step| step["num_rollouts"] > 1.0).collect();
    assert!(!redrawn.is_empty());
    for step in redrawn {
        // What was drawn in vain counts.
        assert_eq!(step["effective_fraction/before"], 1.0 / step["num_rollouts"]);
        assert_eq!(step["effective_fraction/after"], 1.0);
        assert_eq!(step["frac_reward_zero_std"], 1.0 - 1.0 / step["num_rollouts"]);
    }
    // The buffer saves such steps from drawing again, once it holds something.
    let (log, metrics) = run(&place(["9", "9", "3", "3"]), &keys[..1]);
    assert!(metrics.iter().any(|step| step["effective_fraction/before"] == 0.0));
    assert!(metrics.iter().all(|step| step["effective_fraction/after"] > 0.0));
    assert!(log.lines("Redraw").len() < num_rollouts as usize - 4);
}

#[test]
fn nothing_to_learn_ends_the_run() {
    let place = place(["9"; 4]).with("max_completion_length", 2);
    let message = grpo(&place.config(&[]), Watch::nobody()).map(drop).unwrap_err().to_string();
    assert!(message.starts_with("20 rollouts without a group of mixed outcomes"), "{message}");
    let completions: Vec<Value> = lines(&place.path("out/completions.jsonl"));
    assert_eq!(completions.len(), 20 * 8);
}

#[test]
fn what_was_learned_before_there_was_nothing_to_learn_is_kept() {
    let place = place(["3", "3", "9", "9"]).with("replay_staleness", 0).with("save_steps", 9);
    let place = place.with("max_num_gen_batches", 1).with("max_steps", 6);
    let mut ends = vec![];
    for _ in 0..30 {
        let done = grpo(&place.config(&[]), Watch::nobody());
        ends.push(done.map(drop).map_err(|error| error.to_string()));
        if ends.last() == Some(&Ok(())) {
            break;
        }
    }
    assert_eq!(ends.pop(), Some(Ok(())), "{ends:?}");
    assert!(!ends.is_empty() && ends.iter().all(|end| end.as_ref().unwrap_err().contains("mixed")));
    assert_eq!(place.metrics().len(), 6);
}

#[test]
fn each_setting_changes_exactly_its_tensors() {
    for trainable in Trainable::ALL {
        let place =
            place(["3"; 4]).with("trainable", trainable).with("max_steps", 2).with("beta", 0.01);
        let policy = grpo(&place.config(&[]), Watch::nobody()).unwrap();
        let saved = place.trained(2);
        let expected: BTreeSet<String> =
            policy.vlm.parameters(trainable).into_iter().map(|p| p.name).collect();
        assert_eq!(saved.keys().cloned().collect::<BTreeSet<_>>(), expected, "{trainable}");
        let mut before = model::vlm::Vlm::load(taught(), tensor::DType::F32).unwrap();
        if let Some(lora) = policy.vlm.llm.lora() {
            before.llm.add_lora(lora, 42);
        }
        for other in Trainable::ALL {
            let after = values(&policy.vlm, other);
            for (name, before) in values(&before, other) {
                assert_eq!(after[&name] != before, expected.contains(&name), "{trainable} {name}");
            }
        }
    }
}

#[test]
fn other_objectives_run() {
    for keys in [
        &[("loss_type", "dapo"), ("epsilon_high", "0.28")][..],
        &[("loss_type", "dr_grpo"), ("scale_rewards", "none")],
        &[("temperature", "0.8"), ("top_p", "0.95"), ("top_k", "20"), ("beta", "0.04")],
        &[("beta", "0.05"), ("kl_estimator", "k1"), ("delta", "2"), ("replay_capacity", "6")],
        &[("replay_unit", "group"), ("replay_importance_cap", "1.5"), ("num_iterations", "2")],
        &[("multi_objective_aggregation", "normalize_then_sum"), ("scale_rewards", "none")],
    ] {
        let (_, metrics) = run(&place(["3", "4", "9", "3"]).with("max_steps", 2), keys);
        assert!(metrics.iter().all(|step| step["loss"].is_finite() && step["grad_norm"] > 0.0));
    }
}

#[test]
fn a_finished_run_returns_at_once() {
    let place = place(["3"; 4]).with("max_steps", 1);
    run(&place, &[]);
    let log = Log::default();
    let policy = grpo(&place.config(&[]), log.watch()).unwrap();
    assert_eq!(values(&policy.vlm, Trainable::Adapter), place.trained(1));
    assert_eq!(log.lines(""), ["resumed 1"]);
}

#[test]
fn answers_are_needed_and_text_alone_is_refused() {
    let mut lines = samples();
    lines[2].as_object_mut().unwrap().remove("answer");
    let refusal = |lines: &[Value]| {
        let keys = [("num_generations", "2"), ("max_steps", "1")];
        let place = Place::new(lines);
        let config: GrpoConfig = place.config(&keys);
        grpo(&config, Watch::nobody()).map(drop).unwrap_err().to_string()
    };
    let message = refusal(&lines);
    assert!(message.ends_with("train.jsonl:3: the rule reward needs an `answer`"), "{message}");
    let message = refusal(&[sample(None, "What is 1 and 2?", "3")]);
    assert!(message.contains("no sample has an image"), "{message}");
    assert!(refusal(&[]).ends_with("train.jsonl: no samples"));
}
