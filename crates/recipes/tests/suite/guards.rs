//! What watches a reinforcement run: held-out questions, the hallucination probe, and what ends it.

use std::collections::BTreeMap;
use std::fs;

use recipes::grpo::{GrpoConfig, Scorers};
use recipes::run::Watch;
use reward::{Asked, ScoreError, Scorer};
use serde_json::Value;

use crate::common::{Log, Place, lines, quoted, sample};
use crate::grpo::{grpo, place};

/// A run with held-out questions of this answer, and a probe.
fn guarded(answer: &str) -> Place {
    let place = place(["3"; 4]).with("save_steps", 1).with("eval_temperature", 1);
    let write = |name: &str, lines: &[Value]| {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        fs::write(place.path(name), text).unwrap();
        quoted(&place.path(name))
    };
    let held_out: Vec<Value> = (0..4).map(|i| sample(Some(i), "Sum?", answer)).collect();
    let probe = [sample(Some(0), "Sum?", "yes"), sample(Some(1), "Sum?", "no")];
    let (held_out, probe) = (write("held_out.jsonl", &held_out), write("probe.jsonl", &probe));
    place.with("eval_dataset", held_out).with("probe_dataset", probe)
}

fn run(place: &Place, keys: &[(&str, &str)]) -> (Log, Vec<BTreeMap<String, f64>>) {
    let log = Log::default();
    grpo(&place.config(keys), log.watch()).unwrap();
    (log, place.metrics())
}

#[test]
fn held_out_questions_are_answered_and_the_best_checkpoint_stays() {
    let place = guarded("3");
    let keys = [("save_steps", "2"), ("save_total_limit", "1"), ("critical_words", "[\"boxed\"]")];
    let (log, metrics) = run(&place, &keys);
    for (step, metrics) in metrics.iter().enumerate() {
        assert_eq!(metrics.contains_key("eval/accuracy"), step % 2 == 1);
    }
    let last = &metrics[3];
    assert!((0.0..=1.0).contains(&last["eval/accuracy"]));
    assert!(last["eval/well_formed"] > 0.0 && last["eval/mean_length"] > 1.0);
    // It says 3 or 4 whatever it is asked.
    assert_eq!((last["eval/hallucination_rate"], last["eval/probe_yes_rate"]), (0.0, 0.0));
    assert!(last["eval/num_critical_tokens"] >= 1.0 && last["eval/critical_entropy"] >= 0.0);
    assert!(place.path("out/best/trainable.safetensors").is_file());
    assert!(!log.lines("Best").is_empty());
}

#[test]
fn a_run_without_progress_ends_and_stays_ended() {
    let place = guarded("9");
    let (log, metrics) = run(&place, &[("early_stopping_patience", "2")]);
    assert_eq!(metrics.len(), 3, "the first is the best, and two more are not better");
    assert_eq!(log.lines("EarlyStop").len(), 1);
    let log = Log::default();
    grpo(&place.config(&[("early_stopping_patience", "2")]), log.watch()).unwrap();
    assert_eq!(log.lines("step").len(), 0);
}

#[test]
fn a_reward_that_held_out_questions_do_not_bear_out_ends_the_run() {
    let place = guarded("9");
    let keys = [("max_reward_gap", "0.05"), ("alarms", "{window = 1}")];
    let (log, metrics) = run(&place, &keys);
    assert_eq!(metrics.len(), 1);
    assert!(log.lines("Stopped")[0].contains("reward above held-out accuracy"));
}

#[test]
fn a_probe_asks_for_yes_or_no() {
    let place = guarded("3");
    let held_out = quoted(&place.path("held_out.jsonl"));
    let config: GrpoConfig = place.config(&[("probe_dataset", &held_out)]);
    let message = grpo(&config, Watch::nobody()).map(drop).unwrap_err().to_string();
    assert!(
        message.ends_with("held_out.jsonl:1: the answer is \"3\", expected yes or no"),
        "{message}"
    );
}

#[test]
fn a_probe_asks_for_something_absent() {
    let place = guarded("3");
    let probe = quoted(&place.path("yes.jsonl"));
    fs::write(place.path("yes.jsonl"), format!("{}\n", sample(Some(0), "Sum?", "yes"))).unwrap();
    let config: GrpoConfig = place.config(&[("probe_dataset", &probe)]);
    let message = grpo(&config, Watch::nobody()).map(drop).unwrap_err().to_string();
    assert!(message.contains("no `no` among its first 1 answers"), "{message}");
}

#[test]
fn divergence_is_measured_where_an_alarm_asks_for_it() {
    let place = place(["3"; 4]);
    let (_, metrics) = run(&place, &[("alarms", "{kl = 0.1}")]);
    assert_eq!(metrics[0]["kl"], 0.0);
    assert!(metrics[3]["kl"] > 0.0);
}

/// Likes short responses, and refuses those that hold a four, unless all of a group do.
struct Picky;

impl Scorer for Picky {
    fn raw_scores(&mut self, _: &Asked<'_>, responses: &[&str]) -> Result<Vec<f64>, ScoreError> {
        let num_fours = responses.iter().filter(|text| text.contains('4')).count();
        match num_fours == 0 || (responses.len() > 1 && num_fours == responses.len()) {
            true => Ok(responses.iter().map(|text| -(text.len() as f64)).collect()),
            false => Err(ScoreError::Failed("no fours".into())),
        }
    }
}

#[test]
fn a_response_that_the_scorer_refuses_is_the_worst_of_its_group() {
    let place = place(["3"; 4]).with("reward_model", "\"anything\"");
    let log = Log::default();
    let scorers = Scorers { model: Some(&mut Picky), custom: None };
    recipes::grpo::grpo(&place.config(&[]), scorers, log.watch()).unwrap();
    let drawn: Vec<Value> = lines(&place.path("out/completions.jsonl"));
    let mut num_refused = 0;
    for group in drawn.chunks(4) {
        let has_four = |line: &&Value| line["completion"].as_str().unwrap().contains('4');
        let (refused, scored): (Vec<&Value>, Vec<&Value>) = group.iter().partition(has_four);
        let score = |line: &Value| line["model"].as_f64().unwrap();
        let worst = scored.iter().map(|line| score(line)).fold(0.0, f64::min);
        assert!(scored.is_empty() || refused.iter().all(|line| score(line) == worst), "{group:?}");
        num_refused += usize::from(!scored.is_empty() && !refused.is_empty());
    }
    assert!(num_refused > 0);
    assert_eq!(log.lines("Refused").len(), num_refused);
    assert!(log.lines("Refused")[0].contains("no fours"));
}

/// Likes threes, and fails when it has been asked too often.
struct Moody {
    num_left: usize,
}

impl Scorer for Moody {
    fn raw_scores(&mut self, _: &Asked<'_>, responses: &[&str]) -> Result<Vec<f64>, ScoreError> {
        let failed = || ScoreError::Failed("no patience".into());
        self.num_left = self.num_left.checked_sub(1).ok_or_else(failed)?;
        Ok(responses.iter().map(|text| if text.contains('3') { 2.5 } else { -2.5 }).collect())
    }
}

#[test]
fn a_scorer_that_fails_costs_no_score_twice() {
    let place = place(["3"; 4]).with("reward_model", "\"anything\"");
    let run = |num_left| {
        let mut moody = Moody { num_left };
        let scorers = Scorers { model: Some(&mut moody), custom: None };
        recipes::grpo::grpo(&place.config(&[]), scorers, Watch::nobody())
            .map(drop)
            .map_err(|error| error.to_string())
    };
    let message = run(3).unwrap_err();
    assert!(message.contains("train.jsonl:") && message.contains("no model reward: no patience"));
    // Eight groups in all, three of them scored before.
    assert_eq!(run(5), Ok(()));
    let metrics = place.metrics();
    assert!(metrics[0]["rewards/correlation/rule_model"] > 0.9);
    let scored: Vec<Value> = lines(&place.path("out/completions.jsonl"));
    assert_eq!(scored.len(), 4 * 8);
    assert!(scored.iter().all(|line| line["model"].as_f64().unwrap().abs() == 2.5));
}
