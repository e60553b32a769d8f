//! How rollouts are drawn: from a pool, until they fill an update, ahead of the policy, several updates to each.

use std::collections::BTreeMap;

use recipes::run::Watch;
use serde_json::Value;

use crate::common::{Log, Place, lines, quoted};
use crate::grpo::{grpo, place};

type Metrics = Vec<BTreeMap<String, f64>>;

fn run(place: &Place, keys: &[(&str, &str)]) -> (Log, Metrics) {
    let log = Log::default();
    grpo(&place.config(keys), log.watch()).unwrap();
    (log, place.metrics())
}

fn refusal(place: &Place, keys: &[(&str, &str)]) -> String {
    grpo(&place.config(keys), Watch::nobody()).map(drop).unwrap_err().to_string()
}

#[test]
fn a_warm_start_leaves_the_prompts_that_teach() {
    let first = place(["9", "3", "9", "3"]);
    let (log, metrics) = run(&first, &[("warm_start", "true"), ("max_steps", "2")]);
    assert!(log.lines("Pool")[0].contains("kept: 2, of: 4"), "{:?}", log.lines("Pool"));
    let pool = first.path("out/prompt_pool.jsonl");
    let passed: Vec<Value> = lines(&pool);
    assert_eq!(passed.len(), 5, "settings, and a line for each prompt");
    assert!(passed[1..].iter().all(|line| line["of"] == 4));
    // Of two prompts, a rollout of two groups is an epoch.
    assert_eq!(metrics[1]["epoch"], 2.0);
    let drawn: Vec<Value> = lines(&first.path("out/completions.jsonl"));
    assert!(drawn.iter().all(|line| line["answer"] == "3"));

    // The pool serves another run, which draws nothing for it.
    let second = place(["9", "3", "9", "3"]).with("prompt_pool", quoted(&pool));
    let (log, _) = run(&second, &[("max_steps", "1")]);
    assert_eq!((log.lines("Pool").len(), log.lines("Sampled").len()), (1, 0));

    // A pass that was cut short goes on; one of other data, or unfinished, is refused.
    let text = std::fs::read_to_string(&pool).unwrap();
    let half: String = text.lines().take(3).map(|line| format!("{line}\n")).collect();
    let path = first.path("half.jsonl");
    std::fs::write(&path, &half).unwrap();
    let keys = [("prompt_pool", quoted(&path))];
    let keys: Vec<(&str, &str)> = keys.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let message = refusal(&place(["9", "3", "9", "3"]), &keys);
    assert!(message.contains("its pass ended after 2 of 4"), "{message}");
    std::fs::write(&path, &text).unwrap();
    let message = refusal(&place(["3"; 4]), &keys);
    assert!(message.contains("questions: "), "{message}");
    std::fs::write(&path, text.replace("\"num_questions\":4", "\"num_questions\":7")).unwrap();
    let message = refusal(&place(["9", "3", "9", "3"]), &keys);
    assert!(message.contains("num_questions: 7, now 4"), "{message}");
    let message = refusal(&place(["9"; 4]), &[("warm_start", "true")]);
    assert!(message.contains("no prompt is answered both right and wrong"), "{message}");
}

#[test]
fn a_pool_is_not_drawn_again_for_what_does_not_shape_it() {
    let place = place(["9", "3", "9", "3"]).with("warm_start", "true").with("max_steps", "1");
    run(&place, &[]);
    let pool = std::fs::read(place.path("out/prompt_pool.jsonl")).unwrap();
    for (key, value, words) in
        [("learning_rate", "9e-5", "learning_rate: "), ("top_k", "7", "top_k: ")]
    {
        let message = refusal(&place, &[(key, value)]);
        assert!(message.contains(words), "{message}");
        assert!(std::fs::read(place.path("out/prompt_pool.jsonl")).unwrap() == pool, "{key}");
    }
}

#[test]
fn a_checkpoint_goes_on_with_its_own_questions_alone() {
    let place = place(["3", "4", "3", "4"]).with("save_steps", "1");
    run(&place, &[("max_steps", "1")]);
    let path = place.path("train.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.lines().rev().map(|line| format!("{line}\n")).collect::<String>())
        .unwrap();
    let message = refusal(&place, &[("max_steps", "1")]);
    assert!(
        message.contains("checkpoint-1 was saved") && message.contains("questions: "),
        "{message}"
    );
}

#[test]
fn dynamic_sampling_fills_the_update() {
    let keys = [("gradient_accumulation_steps", "1"), ("replay_staleness", "0")];
    let place = || place(["9", "9", "3", "3"]).with("dynamic_sampling", "true");
    let (log, metrics) = run(&place(), &keys);
    assert!(metrics.iter().all(|step| step["effective_fraction/after"] == 1.0));
    let num_rollouts: f64 = metrics.iter().map(|step| step["num_rollouts"]).sum();
    assert_eq!(num_rollouts as usize, 4 + log.lines("Redraw").len());
    assert!(num_rollouts > 4.0);
    // With the bound in the way, what there is has to do.
    let keys = [("gradient_accumulation_steps", "4"), ("max_num_gen_batches", "1")];
    let (_, metrics) = run(&place(), &keys);
    assert!(metrics.iter().all(|step| step["num_rollouts"] == 1.0));
    assert!(metrics[0]["effective_fraction/after"] <= 0.75);
}

#[test]
fn a_rollout_may_have_several_updates() {
    let keys = [
        ("gradient_accumulation_steps", "1"),
        ("steps_per_generation", "2"),
        ("num_iterations", "2"),
        ("learning_rate", "5e-3"),
        ("max_steps", "8"),
        ("delta", "2"),
    ];
    let (log, metrics) = run(&place(["3", "4", "3", "4"]), &keys);
    assert_eq!(log.lines("step").len(), 8);
    let of_rollouts = metrics.iter().filter(|step| step.contains_key("reward")).count();
    assert!((2..=4).contains(&of_rollouts), "{of_rollouts} rollouts in eight updates");
    assert_eq!(metrics[0]["clip_ratio/region_mean"], 0.0);
    let clipped = metrics.iter().any(|step| step["clip_ratio/region_mean"] > 0.0);
    assert!(clipped, "the policy moves away from the one that drew");
}

#[test]
fn drawing_ahead_gives_the_same_bits_twice() {
    let ahead = || {
        let place = place(["3", "4", "3", "4"]).with("max_staleness", 1).with("save_steps", 1);
        place.with("learning_rate", 5e-3)
    };
    let (one, other) = (ahead(), ahead());
    let ((_, first), (_, second)) = (run(&one, &[]), run(&other, &[]));
    assert_eq!(first, second);
    assert_eq!(one.trained(4), other.trained(4));
    let ratio = "sampling/importance_sampling_ratio/mean";
    assert!((first[0][ratio] - 1.0).abs() < 1e-4, "the first rollout is by the same policy");
    assert!((first[2][ratio] - 1.0).abs() > 1e-5, "{first:?}");
    // The first rollout is the one that is drawn in turn, the third is not.
    let (_, in_turn) = run(&place(["3", "4", "3", "4"]).with("learning_rate", 5e-3), &[]);
    assert_eq!(in_turn[0]["completions/mean_length"], first[0]["completions/mean_length"]);
    // What a checkpoint keeps was drawn one step before it, and is learned one step after.
    for step in 1..4 {
        let kept = std::fs::read(one.path(&format!("out/checkpoint-{step}/ahead.json"))).unwrap();
        let kept: Vec<Vec<Value>> = serde_json::from_slice(&kept).unwrap();
        assert_eq!((kept.len(), kept[0].len()), (1, 2));
        assert!(kept[0].iter().all(|group| group["origin"]["version"] == step - 1), "{step}");
    }
}

#[test]
fn fewer_bits_may_draw() {
    let place = place(["3", "4", "3", "4"]).with("rollout_dtype", "bfloat16");
    let (_, metrics) = run(&place, &[("max_steps", "2")]);
    let ratio = metrics[0]["sampling/importance_sampling_ratio/mean"];
    assert!(ratio != 1.0 && (ratio - 1.0).abs() < 0.2, "{ratio}");
    for key in [("temperature", "0.7"), ("repetition_penalty", "1.1")] {
        let message = place.try_config::<recipes::grpo::GrpoConfig>(&[key]);
        assert!(message.unwrap_err().to_string().contains("rollout_dtype"), "{key:?}");
    }
}

#[test]
fn responses_are_made_to_think_again() {
    let rethinking = "{share = 0.95, coefficient = 0.1, triggers = [\"\"]}";
    let error =
        place(["3"; 4]).try_config::<recipes::grpo::GrpoConfig>(&[("rethinking", rethinking)]);
    assert!(error.unwrap_err().to_string().contains("rethinking.triggers"));
    // With a trigger that looks like a thought's end, the tiny model goes on as it was taught to begin.
    let rethinking = "{share = 0.95, coefficient = 0.1, triggers = [\"\\n</think>\\n\\n\"]}";
    let place = place(["3"; 4]).with("max_completion_length", 48);
    let (_, metrics) = run(&place, &[("rethinking", rethinking), ("max_steps", "2")]);
    let kept = metrics.iter().filter_map(|step| step.get("num_rethought")).sum::<f64>();
    assert!(kept > 0.0 && kept <= 8.0, "two of each prompt at most, {kept} of four prompts");
}

#[test]
fn contradictions_are_named() {
    let place = place(["3"; 4]);
    for (key, value, words) in [
        ("steps_per_generation", "3", "multiple of gradient_accumulation_steps"),
        ("num_iterations", "0", "num_iterations = 0"),
        ("delta", "1.1", "above 1 + epsilon_high"),
        ("reward_weights", "{overlong = 1.0}", "soft_punish_cache is not set"),
        ("custom_reward", "{url = \"http://a\", command = [\"b\"]}", "either a url or a command"),
        ("custom_reward", "{path = \"a\"}", "path"),
        ("eval_steps", "3", "a multiple of save_steps"),
        ("early_stopping_patience", "2", "eval_dataset is not"),
        ("max_hallucination_rate", "0.2", "probe_dataset is not"),
        ("replay_unit", "batch", "batch"),
        ("max_staleness", "-1", "max_staleness"),
        ("critical_words", "[\"Wait\", \"\"]", "critical_words"),
        ("reward_weights", "{rule = -1.0}", "reward_weights.rule = -1"),
    ] {
        let error = place.try_config::<recipes::grpo::GrpoConfig>(&[(key, value)]);
        let message = error.map(drop).unwrap_err().to_string();
        assert!(message.contains(words), "{key} = {value}: {message}");
    }
    let both = [("warm_start", "true"), ("prompt_pool", "a.jsonl")];
    let error = place.try_config::<recipes::grpo::GrpoConfig>(&both).map(drop).unwrap_err();
    assert!(error.to_string().contains("the pool is either drawn or given"));
}
