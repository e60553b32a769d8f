//! Fine-tuning in rounds: what each learns from, what is measured, chosen and kept for reinforcement.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use judge::{Failure, Request, Scripted};
use recipes::Error;
use recipes::choice::{Choice, Weighed};
use recipes::config::{Recipe as _, load};
use recipes::iterative_sft::{Callers, IterativeSftConfig, Quality, Refresh, iterative_sft};
use recipes::run::Watch;
use reward::{Asked, ScoreError, Scorer};
use serde_json::{Value, json};

use crate::common::{Log, Place, lines, quoted, sample, taught};

/// Six questions that the taught model answers by 3 or 4, the same each time; each sample has a score in a column.
pub(crate) fn place() -> Place {
    let answers = ["3", "4", "9", "3", "4", "9"];
    let scored = |(index, answer): (usize, &&str)| {
        let mut line = sample(Some(index % 4), "Sum?", answer);
        line["quality"] = json!(index);
        line
    };
    let samples: Vec<Value> = answers.iter().enumerate().map(scored).collect();
    let place = Place::new(&samples);
    let held_out = place.path("held_out.jsonl");
    let some: String = [("3", 0), ("4", 1), ("3", 2)]
        .map(|(answer, picture)| format!("{}\n", sample(Some(picture), "Sum?", answer)))
        .concat();
    fs::write(&held_out, some).unwrap();
    let mut place =
        place.with("model_name_or_path", quoted(taught())).with("eval_dataset", quoted(&held_out));
    place.set(&[
        ("trainable", "adapter+llm"),
        ("score_column", "quality"),
        ("num_rounds", "2"),
        ("score_thresholds", "[2, 5]"),
        ("learning_rate", "1e-5"),
        ("round_learning_rates", "[1e-4, 3e-5]"),
        ("max_steps", "3"),
        ("round_max_steps", "5"),
        ("save_steps", "2"),
        ("max_completion_length", "24"),
    ]);
    place
}

fn run(config: &IterativeSftConfig, log: &Log) -> Result<Choice, Error> {
    let watch = &mut || log.watch();
    iterative_sft(config, Callers { scorer: None, judge: None, refresh: None, watch })
}

/// The settings without the column of scores, as a file.
fn without_column(place: &Place) -> PathBuf {
    let mut config: IterativeSftConfig = place.config(&[]);
    config.scores.score_column = None;
    let path = place.path("without_column.toml");
    fs::write(&path, toml::to_string(&config).unwrap()).unwrap();
    path
}

fn ids(place: &Place, file: &str, keep: impl Fn(&Value) -> bool) -> BTreeSet<u64> {
    let lines: Vec<Value> = lines(&place.path(file));
    lines.iter().filter(|line| keep(line)).map(|line| line["quality"].as_u64().unwrap()).collect()
}

#[test]
fn rounds_learn_from_better_samples_and_from_mistakes() {
    let (place, log) = (place(), Log::default());
    let choice = run(&place.config(&[]), &log).unwrap();
    for (round, threshold) in [(1, 2), (2, 5)] {
        let answers: Vec<Value> = lines(&place.path(&format!("out/round-{round}/answers.jsonl")));
        let wrong: BTreeSet<u64> = answers[1..]
            .iter()
            .filter(|answer| answer["correct"] == false)
            .map(|answer| answer["sample"].as_u64().unwrap())
            .collect();
        // Nobody answers 9.
        assert!(wrong.contains(&2) && wrong.contains(&5), "{wrong:?}");
        let good: BTreeSet<u64> = (threshold..6).collect();
        let train = format!("out/round-{round}/train.jsonl");
        assert_eq!(ids(&place, &train, |_| true), &good | &wrong, "round {round}");
        assert_eq!(ids(&place, &train, |line| line["misclassified"] == true), wrong);
        let notice = &log.lines("Selected")[round - 1];
        let want = format!("num_scored: {}, num_misclassified: {}", good.len(), wrong.len());
        assert!(notice.contains(&want), "{notice}");
    }
    let rate = |stage: &str| {
        let metrics: Vec<Value> = lines(&place.path(&format!("out/{stage}/sft/metrics.jsonl")));
        (metrics.len(), metrics[0]["learning_rate"].as_f64().unwrap())
    };
    assert_eq!(
        [rate("stage-1"), rate("round-1"), rate("round-2")],
        [(3, 1e-5), (5, 1e-4), (5, 3e-5)]
    );
    // Each begins where the last one ended.
    let start = fs::read_to_string(place.path("out/round-2/sft/config.toml")).unwrap();
    assert!(start.contains("round-1/sft/checkpoint-5"), "{start}");

    assert_eq!(ids(&place, "out/top_scored.jsonl", |_| true), BTreeSet::from([5]));
    let names: Vec<&str> =
        choice.candidates.iter().map(|one| one.candidate.name.as_str()).collect();
    assert_eq!(names, ["stage-1", "round-1", "round-2"]);
    for one in &choice.candidates {
        let figures = one.candidate.figures.unwrap();
        assert_eq!(figures.num_items, 3);
        assert!(figures.accuracy > 0.0 && figures.quality <= figures.complete, "{figures:?}");
    }
    let written: Choice =
        serde_json::from_slice(&fs::read(place.path("out/choice.json")).unwrap()).unwrap();
    assert_eq!(written, choice);
    let weights = |folder: PathBuf| fs::read(folder.join("trainable.safetensors")).unwrap();
    assert!(weights(place.path("out/chosen")) == weights(choice.checkpoint));
}

#[test]
fn finished_rounds_are_not_run_again_and_other_settings_are_refused() {
    let (place, log) = (place().with("num_rounds", 1), Log::default());
    let first = run(&place.config(&[]), &Log::default()).unwrap();
    assert_eq!(run(&place.config(&[]), &log).unwrap(), first);
    // How patiently scores are asked for shapes nothing.
    let patience = [("scorer_timeout", "5.0"), ("bad_scores", "stop")];
    assert_eq!(run(&place.config(&patience), &log).unwrap(), first);
    assert!(log.lines("").is_empty(), "{:?}", log.lines(""));
    let error = run(&place.config(&[("round_max_steps", "4")]), &log).unwrap_err().to_string();
    assert!(error.contains("round_max_steps: 5, now 4"), "{error}");
    let never = [("resume_from_checkpoint", "never")];
    let error = run(&place.config(&never), &log).unwrap_err().to_string();
    assert!(error.contains("2 finished stages"), "{error}");
}

/// Scores by the length of the response.
struct ByLength(usize);

impl Scorer for ByLength {
    fn raw_scores(&mut self, asked: &Asked<'_>, texts: &[&str]) -> Result<Vec<f64>, ScoreError> {
        assert!(asked.prompt.answer.is_some());
        self.0 += texts.len();
        Ok(texts.iter().map(|text| text.len() as f64).collect())
    }
}

#[test]
fn a_reward_model_scores_each_sample_once_and_completions_too() {
    let place = place();
    let mut keys = vec![
        ("reward_model", "http://in.this.test/score"),
        ("score_levels", "[1, 2, 3, 4, 100]"),
        ("quality", "scores"),
    ];
    let path = without_column(&place);
    let load = |keys: &[(&str, &str)]| {
        let keys = keys.iter().map(|&(key, value)| (key.to_owned(), value.to_owned()));
        load::<IterativeSftConfig>(Some(&path), &keys.collect::<Vec<_>>())
    };
    let (mut scorer, log, config) = (ByLength(0), Log::default(), load(&keys).unwrap());
    let watch = &mut || log.watch();
    let callers = Callers { scorer: Some(&mut scorer), judge: None, refresh: None, watch };
    let choice = iterative_sft(&config, callers).unwrap();
    // Six samples, and three completions of each of three stages.
    assert_eq!(scorer.0, 6 + 9);
    // All are longer than 4 and shorter than 100.
    let quality = |one: &Weighed| one.candidate.figures.unwrap().quality;
    assert!(choice.candidates.iter().all(|one| (quality(one) - 0.8).abs() < 1e-12));
    assert_eq!(fs::read_to_string(place.path("out/top_scored.jsonl")).unwrap(), "");
    keys[1] = ("score_levels", "[5, 4, 3, 2, 1]");
    let error = load(&keys);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("score_levels") && error.contains("rising"), "{error}");
}

#[test]
fn a_judge_scores_by_its_rubric_and_a_budget_that_ends_stops_the_run() {
    let place = place().with("num_rounds", 1);
    let path = without_column(&place);
    // Two are scored before the budget ends, and are not paid for again when it is raised.
    let run = |most: usize, budget: &str| {
        let judge = format!(
            "{{base_url = 'http://in.this.test/v1', model = 'a judge', input_price = 1.0, output_price = 1.0, {budget}}}"
        );
        let config: IterativeSftConfig = load(Some(&path), &[("judge".to_owned(), judge)]).unwrap();
        let mut num_left = most;
        let mut judge = Scripted::new(|_: &Request<'_>| {
            match num_left.checked_sub(1).map(|left| num_left = left) {
                None => Err(Failure::Stopped { reason: "the budget is spent".to_owned() }),
                Some(()) => Ok(r#"{"score": 3, "reason": "terse"}"#.to_owned()),
            }
        });
        let watch = &mut Watch::nobody;
        let callers = Callers { scorer: None, judge: Some(&mut judge), refresh: None, watch };
        let ended = iterative_sft(&config, callers).map(drop);
        ended.map(|()| judge.num_requests)
    };
    let error = run(2, "max_cost = 0.1").unwrap_err().to_string();
    assert!(error.contains("the budget is spent"), "{error}");
    assert_eq!(run(99, "max_cost = 5.0, num_parallel = 2").unwrap(), 4);
    let train: Vec<Value> = lines(&place.path("out/round-1/train.jsonl"));
    assert!(train.len() == 6 && train.iter().all(|line| line["score"] == 3.0), "{train:?}");
    assert_eq!(fs::read_to_string(place.path("out/top_scored.jsonl")).unwrap(), "");
}

/// Makes the data set anew, with so many question marks.
fn make_anew(place: &Place, refresh: &Refresh<'_>, number: usize) -> PathBuf {
    fs::create_dir_all(&refresh.output_dir).unwrap();
    let path = refresh.output_dir.join("new.jsonl");
    let text = fs::read_to_string(refresh.dataset).unwrap();
    let text = text.replace("Sum?", &format!("Sum{}", "?".repeat(number)));
    let images = format!("\"images\":[\"{}/", place.folder.path().display());
    fs::write(&path, text.replace("\"images\":[\"", &images)).unwrap();
    path
}

#[test]
fn each_stage_may_have_its_data_made_anew() {
    let place = place();
    let mut asked = Vec::new();
    let mut refresh = |refresh: &Refresh<'_>| {
        let adapter = refresh.model.adapter_name_or_path.clone();
        let adapter = adapter.map(|path| path.display().to_string());
        asked.push((adapter, refresh.shared_dir.clone(), refresh.seed));
        Ok(make_anew(&place, refresh, asked.len()))
    };
    let config: IterativeSftConfig = place.config(&[]);
    let watch = &mut Watch::nobody;
    let callers = Callers { scorer: None, judge: None, refresh: Some(&mut refresh), watch };
    iterative_sft(&config, callers).unwrap();
    let [first, second, third] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!(first.0, None);
    assert!(second.0.as_ref().unwrap().ends_with("stage-1/sft/checkpoint-3"), "{second:?}");
    assert!(third.0.as_ref().unwrap().ends_with("round-1/sft/checkpoint-5"), "{third:?}");
    // What was asked before one stage need not be asked before the next.
    assert_eq!((&first.1, first.2), (&third.1, third.2));
    let last = fs::read_to_string(place.path("out/round-2/train.jsonl")).unwrap();
    assert!(last.contains("Sum???"), "{last}");
}

#[test]
fn mistakes_are_looked_for_in_what_a_new_data_set_leaves_out_too() {
    let place = place().with("num_rounds", 1).with("score_thresholds", "[4]");
    let mut refresh = |refresh: &Refresh<'_>| {
        let path = make_anew(&place, refresh, 2);
        let all: Vec<Value> = lines(&path);
        let numbered = all.into_iter().enumerate().map(|(index, mut line)| {
            line["id"] = json!((index + 1).to_string());
            line
        });
        // Two that nobody answers rightly, and one that somebody may.
        let left = numbered.filter(|line| ![0, 2, 5].contains(&line["quality"].as_u64().unwrap()));
        fs::write(&path, left.map(|line| format!("{line}\n")).collect::<String>()).unwrap();
        Ok(path)
    };
    let config: IterativeSftConfig = place.config(&[]);
    let watch = &mut Watch::nobody;
    let callers = Callers { scorer: None, judge: None, refresh: Some(&mut refresh), watch };
    iterative_sft(&config, callers).unwrap();
    assert_eq!(ids(&place, "out/stage-1/data/new.jsonl", |_| true), BTreeSet::from([1, 3, 4]));
    let train = "out/round-1/train.jsonl";
    let learned = ids(&place, train, |_| true);
    assert!(learned.is_superset(&BTreeSet::from([2, 4, 5])), "{learned:?}");
    // A high score does nothing for what is left out.
    assert!(ids(&place, train, |line| line["misclassified"] == false).is_subset(&[4].into()));
    let lines: Vec<Value> = lines(&place.path(train));
    let of = |quality: u64| lines.iter().find(|line| line["quality"] == quality).unwrap();
    let asked = |quality: u64| of(quality)["messages"][0]["content"].as_str().unwrap().to_owned();
    assert!(asked(4).ends_with("Sum??") && asked(5).ends_with("Sum?"), "{}", asked(5));
    assert_eq!((&of(4)["score"], &of(5)["score"]), (&json!(4.0), &Value::Null));
}

#[test]
fn a_round_that_is_taken_up_again_keeps_the_data_it_began_with() {
    let place = place().with("num_rounds", 1);
    let keys = [("judge".to_owned(), "{model_name_or_path = 'a judge'}".to_owned())];
    let config: IterativeSftConfig = load(Some(&without_column(&place)), &keys).unwrap();
    let mut num_made = 0;
    let mut run = |is_judged: bool| {
        let mut judge = Scripted::new(|_: &Request<'_>| match is_judged {
            true => Ok(r#"{"score": 3, "reason": "terse"}"#.to_owned()),
            false => Err(Failure::Stopped { reason: "nobody is there".to_owned() }),
        });
        let mut refresh = |refresh: &Refresh<'_>| {
            num_made += 1;
            Ok(make_anew(&place, refresh, num_made))
        };
        let watch = &mut Watch::nobody;
        let (judge, refresh) = (&mut judge, &mut refresh);
        let callers = Callers { scorer: None, judge: Some(judge), refresh: Some(refresh), watch };
        iterative_sft(&config, callers).map(drop)
    };
    let error = run(false).unwrap_err().to_string();
    assert!(error.contains("nobody is there"), "{error}");
    let data = place.path("out/round-1/data/new.jsonl");
    let text = fs::read_to_string(&data).unwrap();
    fs::write(&data, text.replace("Sum??", "Sum!!")).unwrap();
    let error = run(true).unwrap_err().to_string();
    assert!(error.contains("round-1 began with other samples"), "{error}");
    fs::write(&data, &text).unwrap();
    run(true).unwrap();
    // Once before each stage.
    assert_eq!(num_made, 2);
    let train = fs::read_to_string(place.path("out/round-1/train.jsonl")).unwrap();
    assert!(train.contains("Sum??") && !train.contains("Sum???"), "{train}");
}

#[test]
fn settings_are_checked() {
    let place = place();
    for (keys, want) in [
        (&[("score_thresholds", "[6]")][..], "6: expected a number from 0 to 5"),
        (&[("score_thresholds", "[]")], "score_thresholds"),
        (&[("round_learning_rates", "[-1]")], "round_learning_rates"),
        (&[("reward_model", "rm")], "score_column and reward_model contradict"),
        (&[("score_levels", "[1, 2, 3]")], "score_levels"),
        (&[("score_levels", "[1,2,3,4,5]"), ("score_quantiles", "[0,0,0,0,1]")], "one way"),
        (&[("accuracy_tolerance", "2")], "accuracy_tolerance"),
        (&[("distill", "{max_new_tokens = 8}")], "score_column and distill contradict"),
        (&[("quality", "scores")], "quality = \"scores\" and score_column contradict"),
        (
            &[("quality", "scores"), ("score_quantiles", "[0,0,0,0,1]")],
            "in place of score_quantiles",
        ),
        (&[("gamma", "3")], "unknown key `gamma`"),
    ] {
        let error = place.try_config::<IterativeSftConfig>(keys).unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
    }
    let mut config: IterativeSftConfig = place.config(&[]);
    (config.scores.score_column, config.answers.eval_dataset) = (None, None);
    config.answers.quality = Quality::Scores;
    let error = config.validate().unwrap_err().to_string();
    assert!(error.contains("no eval_dataset contradict"), "{error}");
}
