//! Pairs from a policy's own responses: sampled, scored, chosen, taken up again, and trained on in rounds.

use std::fs;
use std::path::PathBuf;

use data::Preferences;
use judge::{Failure, Request, Respond, Scripted};
use recipes::mpo::{MpoConfig, rounds};
use recipes::preferences::{Assessors, PreferencesConfig, Statistics, build};
use recipes::run::{WEIGHTS_FILE, Watch};
use reward::{Asked, ScoreError, Scorer};
use serde_json::{Value, json};
use testkit::Golden;

use crate::common::{Log, Place, lines, quoted, sample, taught};

fn scored_by(scorer: &mut dyn Scorer) -> Assessors<'_> {
    Assessors { scorer: Some(scorer), judge: None }
}

fn judged_by(judge: &mut dyn Respond) -> Assessors<'_> {
    Assessors { scorer: None, judge: Some(judge) }
}

/// Prompts that [`taught`]'s model answers by 3 as often as by 4; `None` where the answer is not told.
fn place(answers: &[Option<&str>]) -> Place {
    let prompt = |(index, answer): (usize, &Option<&str>)| {
        let mut line = sample(Some(index % 4), "Sum?", answer.unwrap_or("0"));
        if answer.is_none() {
            line.as_object_mut().unwrap().remove("answer");
        }
        line
    };
    let prompts: Vec<Value> = answers.iter().enumerate().map(prompt).collect();
    Place::new(&prompts).with("model_name_or_path", quoted(taught())).with("seed", 5)
}

/// Two rounds of sampling and training over such prompts, by rule.
pub(crate) fn rounds_place(answers: &[Option<&str>]) -> Place {
    let mut place = place(answers);
    place.set(&[
        ("trainable", "adapter+llm"),
        ("learning_rate", "1e-4"),
        ("num_rounds", "2"),
        ("preferences", "{num_generations = 6, max_completion_length = 32}"),
    ]);
    place
}

fn config(place: &Place, keys: &[(&str, &str)]) -> PreferencesConfig {
    let dataset = quoted(&place.path("train.jsonl"));
    let output = quoted(&place.path("pairs"));
    let model = quoted(taught());
    let own = [
        ("model_name_or_path", model.as_str()),
        ("dataset", &dataset),
        ("output_dir", &output),
        ("num_generations", "6"),
        ("max_completion_length", "32"),
        ("seed", "5"),
    ];
    let keys = own.iter().chain(keys).map(|&(key, value)| (key.to_owned(), value.to_owned()));
    recipes::config::load(None, &keys.collect::<Vec<_>>()).unwrap()
}

fn scored() -> [(&'static str, &'static str); 1] {
    [("reward_model", "http://in.this.test/score")]
}

/// Likes 3 better than 4 by twenty points, and can be told to fail.
#[derive(Default)]
struct LikesThree {
    num_asked: usize,
    /// Fails from this question on.
    fails_at: Option<usize>,
    says_nan: bool,
}

impl Scorer for LikesThree {
    fn raw_scores(
        &mut self,
        asked: &Asked<'_>,
        responses: &[&str],
    ) -> Result<Vec<f64>, ScoreError> {
        assert!(asked.folder.join(&asked.prompt.images[0]).is_file());
        assert_eq!(asked.prompt.messages.len(), 1);
        self.num_asked += 1;
        if self.fails_at.is_some_and(|at| self.num_asked >= at) {
            return Err(ScoreError::Failed("the line is dead".into()));
        }
        let score = |text: &&str| match text.contains("{3}") {
            _ if self.says_nan => f64::NAN,
            true => 10.1,
            false => -10.1,
        };
        Ok(responses.iter().map(score).collect())
    }
}

fn pairs(place: &Place) -> Preferences {
    Preferences::read(place.path("pairs/pairs.jsonl"), None).unwrap()
}

/// Kinds of the pairs, counted.
fn kinds(pairs: &Preferences, kind: &str) -> usize {
    pairs.pairs.iter().filter(|pair| pair.prompt.extra["kind"] == kind).count()
}

#[test]
fn by_rule_the_right_answer_is_chosen() {
    let place = place(&[Some("3"), Some("4"), Some("99")]);
    let statistics = build(&config(&place, &[]), Assessors::default(), Watch::nobody()).unwrap();
    let written = pairs(&place);
    assert_eq!(written.report.num_left_out(), 0);
    assert!(kinds(&written, "rule") >= 2, "{statistics}");
    for pair in written.pairs.iter().filter(|pair| pair.prompt.extra["kind"] == "rule") {
        let gold = pair.prompt.answer.as_deref().unwrap();
        assert!(pair.chosen.contains(&format!("\\boxed{{{gold}}}")), "{pair:?}");
        assert!(!pair.rejected.contains(&format!("\\boxed{{{gold}}}")), "{pair:?}");
        assert!(pair.score_chosen.is_none());
    }
    assert_eq!((statistics.num_prompts, statistics.num_responses), (3, 18));
    assert_eq!(statistics.num_pairs(), written.pairs.len());
    assert!(statistics.num_without_pairs >= 1 && statistics.threshold.is_none());
    let text = fs::read_to_string(place.path("pairs/statistics.json")).unwrap();
    assert_eq!(serde_json::from_str::<Statistics>(&text).unwrap(), statistics);
}

#[test]
fn a_judge_leaves_out_what_is_not_consistent() {
    let place = place(&[Some("3"), Some("4"), Some("3")]);
    let config = config(&place, &[("dropout_ntp", "false")]);
    let all = build(&config, Assessors::default(), Watch::nobody()).unwrap();
    let (mut fours, mut asked) = (0, vec![]);
    for pair in &pairs(&place).pairs {
        fours += usize::from(pair.chosen.contains("{4}"));
    }
    assert!(fours > 0 && fours < all.num_pairs(), "{all}");
    let mut judge = Scripted::new(|request: &Request<'_>| {
        let words = format!("{:?} {:?}", request.prompt.messages, request.prompt.images);
        asked.push(words.clone());
        Ok(format!("{{\"consistent\": {}, \"claim\": \"\"}}", !words.contains("boxed{4}")))
    });
    for _ in 0..2 {
        let judged = build(&config, judged_by(&mut judge), Watch::nobody()).unwrap();
        assert_eq!((judged.num_inconsistent, judged.num_unjudged), (fours, 0));
        assert_eq!(judged.num_pairs(), all.num_pairs() - fours);
        assert!(pairs(&place).pairs.iter().all(|pair| !pair.chosen.contains("{4}")));
    }
    let distinct: std::collections::HashSet<_> = asked.iter().collect();
    assert_eq!(distinct.len(), asked.len(), "nothing is asked twice");
    let stopped = Failure::Stopped { reason: "no money".to_owned() };
    let mut judge = Scripted::new(|_: &Request<'_>| Err(stopped.clone()));
    let other = config_with_seed(&config, 6);
    let error = build(&other, judged_by(&mut judge), Watch::nobody()).unwrap_err();
    assert!(error.to_string().contains("no money"), "{error}");
}

/// The same in another folder, with other draws.
fn config_with_seed(config: &PreferencesConfig, seed: u64) -> PreferencesConfig {
    let mut other = config.clone();
    other.run.seed = seed;
    other.run.output_dir = config.run.output_dir.with_extension("other");
    other
}

#[test]
fn by_score_a_gap_of_tau_makes_a_pair() {
    let place = place(&[None, None]);
    let keys = [&scored()[..], &[("dropout_ntp", "false")]].concat();
    let mut scorer = LikesThree::default();
    let statistics =
        build(&config(&place, &keys), scored_by(&mut scorer), Watch::nobody()).unwrap();
    let written = pairs(&place);
    assert!(kinds(&written, "score") >= 1, "{statistics}");
    for pair in written.pairs.iter().filter(|pair| pair.prompt.extra["kind"] == "score") {
        assert!(pair.chosen.contains("{3}") && !pair.rejected.contains("{3}"));
        assert!((pair.margin().unwrap() - 20.2).abs() < 1e-12);
    }
    assert_eq!(statistics.threshold, Some(15.0));
    // Another threshold chooses anew from what was sampled: nobody is asked again.
    let keys = [&keys[..], &[("threshold", "21")]].concat();
    let mut unasked = LikesThree { fails_at: Some(0), ..LikesThree::default() };
    let statistics =
        build(&config(&place, &keys), scored_by(&mut unasked), Watch::nobody()).unwrap();
    assert_eq!((unasked.num_asked, statistics.num_score_pairs), (0, 0));
    assert!(statistics.num_below_threshold > 0);
    let keys = [&scored()[..], &[("dropout_ntp", "false"), ("threshold_quantile", "0.5")]].concat();
    let statistics =
        build(&config(&place, &keys), scored_by(&mut unasked), Watch::nobody()).unwrap();
    assert!((statistics.threshold.unwrap() - 20.2).abs() < 1e-12);
    assert!(statistics.num_score_pairs > 0);
}

#[test]
fn other_samples_are_not_mixed_in() {
    let place = place(&[Some("3")]);
    build(&config(&place, &[]), Assessors::default(), Watch::nobody()).unwrap();
    let refused = |keys: &[(&str, &str)], want: &str| {
        let error = build(&config(&place, keys), Assessors::default(), Watch::nobody());
        let error = error.unwrap_err().to_string();
        let want = format!("responses.jsonl was saved under other settings ({want}");
        assert!(error.contains(&want), "{error}");
    };
    refused(&[("temperature", "0.5")], "temperature: 1.0, now 0.5)");
    refused(&[("reward_model_name", "another")], "reward_model_name: ");
    // As many prompts at the same path may be other ones.
    let file = place.path("train.jsonl");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("Sum?", "Sums?")).unwrap();
    refused(&[], "dataset_sha256: ");
}

#[test]
fn another_model_at_the_same_path_is_another_setting() {
    let place = place(&[Some("3")]);
    let (reward, policy) = (place.path("reward"), place.path("policy"));
    fs::create_dir(&reward).unwrap();
    fs::create_dir(&policy).unwrap();
    for entry in fs::read_dir(taught()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), policy.join(entry.file_name())).unwrap();
    }
    let head = reward.join("value_head.safetensors");
    fs::write(&head, "one").unwrap();
    let (reward, model) = (quoted(&reward), quoted(&policy));
    let keys = [("reward_model", reward.as_str()), ("model_name_or_path", &model)];
    let build =
        || build(&config(&place, &keys), scored_by(&mut LikesThree::default()), Watch::nobody());
    build().unwrap();
    fs::write(&head, "one").unwrap();
    build().unwrap();
    fs::write(&head, "two").unwrap();
    let error = build().unwrap_err().to_string();
    assert!(error.contains("(reward_model_content: "), "{error}");
    fs::write(&head, "one").unwrap();
    fs::write(policy.join("generation_config.json"), "{}").unwrap();
    let error = build().unwrap_err().to_string();
    assert!(error.contains("(model_content: "), "{error}");
}

#[test]
fn a_prompt_longer_than_the_context_is_counted_and_passed_over() {
    let place = place(&[Some("3")]);
    let file = place.path("train.jsonl");
    let long = sample(Some(1), &"Sum? ".repeat(5000), "3");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{long}\n{text}")).unwrap();
    let log = Log::default();
    for _ in 0..2 {
        let statistics = build(&config(&place, &[]), Assessors::default(), log.watch()).unwrap();
        assert_eq!((statistics.num_prompts, statistics.num_too_long), (2, 1));
        assert_eq!((statistics.num_responses, statistics.num_unscored), (6, 0));
    }
    assert_eq!(log.lines("TooLong"), ["TooLong { count: 1, max_length: 4096 }"]);
}

#[test]
fn responses_of_an_earlier_build_are_scored() {
    let place = place(&[None, None, None]);
    let earlier = config(&place, &[("dropout_ntp", "false")]);
    build(&earlier, Assessors::default(), Watch::nobody()).unwrap();
    let from = quoted(&earlier.run.output_dir);
    let output = quoted(&place.path("scored"));
    let keys = [&scored()[..], &[("dropout_ntp", "false"), ("output_dir", &output)]].concat();
    let again = [&keys[..], &[("responses_from", &from)]].concat();
    let mut scorer = LikesThree::default();
    let taken = build(&config(&place, &again), scored_by(&mut scorer), Watch::nobody()).unwrap();
    assert!(scorer.num_asked == 3 && taken.num_score_pairs > 0, "{taken}");
    // The same as if they had been sampled anew; and what the other build lacks is.
    let texts = |folder: &str| -> Vec<Value> {
        let journal = fs::read_to_string(place.path(folder).join("responses.jsonl")).unwrap();
        let entries = journal.lines().skip(1).map(|line| serde_json::from_str(line).unwrap());
        entries.map(|entry: Value| entry["responses"][0]["text"].clone()).collect()
    };
    assert_eq!(texts("scored"), texts("pairs"));
    let journal = earlier.run.output_dir.join("responses.jsonl");
    let shorter: Vec<String> = fs::read_to_string(&journal)
        .unwrap()
        .lines()
        .take(3)
        .map(|line| format!("{line}\n"))
        .collect();
    fs::write(&journal, shorter.concat()).unwrap();
    let other = quoted(&place.path("other"));
    let again = [&again[..], &[("output_dir", &other)]].concat();
    let sampled = build(&config(&place, &again), scored_by(&mut scorer), Watch::nobody()).unwrap();
    assert_eq!((texts("other"), sampled), (texts("scored"), taken));
    // Samples under other settings are not taken for these.
    let elsewhere = quoted(&place.path("hot"));
    let hot = [("temperature", "0.5"), ("output_dir", elsewhere.as_str())];
    let hot = [&again[..], &hot].concat();
    let error = build(&config(&place, &hot), scored_by(&mut scorer), Watch::nobody());
    let error = error.unwrap_err().to_string();
    assert!(error.contains("temperature: 1.0, now 0.5"), "{error}");
}

#[test]
fn interrupted_and_taken_up_again_equals_uninterrupted() {
    let answers = [None; 35];
    let (whole, broken) = (place(&answers), place(&answers));
    let build_whole =
        build(&config(&whole, &scored()), scored_by(&mut LikesThree::default()), Watch::nobody());
    let want = build_whole.unwrap();
    // The scorer fails in the second batch of prompts, whose samples are lost.
    let mut failing = LikesThree { fails_at: Some(34), ..LikesThree::default() };
    let error = build(&config(&broken, &scored()), scored_by(&mut failing), Watch::nobody());
    let error = error.unwrap_err().to_string();
    assert!(error.contains("train.jsonl:34: the line is dead"), "{error}");
    let journal = broken.path("pairs/responses.jsonl");
    assert_eq!(fs::read_to_string(&journal).unwrap().lines().count(), 1 + 32);
    // A kill may tear the last line.
    let text = fs::read_to_string(&journal).unwrap();
    fs::write(&journal, &text[..text.len() - 9]).unwrap();
    let mut working = LikesThree::default();
    let found =
        build(&config(&broken, &scored()), scored_by(&mut working), Watch::nobody()).unwrap();
    assert_eq!((working.num_asked, &found), (4, &want));
    let body = |place: &Place| {
        let text = fs::read_to_string(place.path("pairs/responses.jsonl")).unwrap();
        text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(body(&whole), body(&broken));
    assert!(want.num_dropout_pairs + want.num_dropout_lost > 0);
}

#[test]
fn scores_that_are_none_stop_the_run_or_leave_the_prompt_out() {
    let place = place(&[None, None]);
    let mut nan = LikesThree { says_nan: true, ..LikesThree::default() };
    let error = build(&config(&place, &scored()), scored_by(&mut nan), Watch::nobody());
    let error = error.unwrap_err().to_string();
    assert!(error.contains("train.jsonl:1: the score of response 0 is NaN"), "{error}");
    let log = Log::default();
    let keys = [&scored()[..], &[("bad_scores", "skip")]].concat();
    let statistics = build(&config(&place, &keys), scored_by(&mut nan), log.watch()).unwrap();
    assert_eq!((statistics.num_unscored, statistics.num_without_pairs), (2, 2));
    // Neither one of forms nor one by dropout.
    assert_eq!(statistics.num_pairs(), 0);
    assert_eq!(log.lines("Unscored").len(), 2);
    // The next build asks again, and the one after it need not.
    for num_asked in [2, 0] {
        let mut working = LikesThree::default();
        let mended =
            build(&config(&place, &keys), scored_by(&mut working), Watch::nobody()).unwrap();
        assert_eq!((working.num_asked, mended.num_unscored), (num_asked, 0));
        assert!(mended.num_score_pairs > 0, "{mended}");
    }
}

#[test]
fn half_of_a_good_response_is_continued_without_the_image() {
    let place = place(&[None, None, Some("3")]);
    let keys = [&scored()[..], &[("require_format", "false")]].concat();
    build(&config(&place, &keys), scored_by(&mut LikesThree::default()), Watch::nobody()).unwrap();
    let entries: Vec<Value> = lines(&place.path("pairs/responses.jsonl"));
    let dropouts: Vec<&Value> = entries[1..].iter().map(|entry| &entry["dropout"]).collect();
    assert!(dropouts[2].is_null(), "the answer is known");
    for dropout in &dropouts[..2] {
        let [chosen, rejected] =
            [&dropout["chosen"], &dropout["rejected"]["text"]].map(|text| text.as_str().unwrap());
        let num_words = chosen.split_whitespace().count();
        let half: Vec<&str> = chosen.split_whitespace().take(num_words / 2).collect();
        assert!(rejected.split_whitespace().take(half.len()).eq(half.iter().copied()), "{dropout}");
    }
}

#[test]
fn each_round_begins_from_the_policy_that_the_last_one_made() {
    let place = rounds_place(&[Some("3"), Some("3"), Some("4")]);
    let config: MpoConfig = place.config(&[]);
    let log = Log::default();
    let policy = rounds(&config, Assessors::default(), &mut || log.watch()).unwrap();
    let out = place.path("out");
    let checkpoint = |round: usize| -> PathBuf {
        let entries = fs::read_dir(out.join(format!("round-{round}/mpo"))).unwrap();
        let names = entries.map(|entry| entry.unwrap().path());
        names.filter(|path| path.display().to_string().contains("checkpoint-")).max().unwrap()
    };
    let settings = |round: usize, stage: &str| -> toml::Table {
        let path = out.join(format!("round-{round}/{stage}/config.toml"));
        fs::read_to_string(path).unwrap().parse().unwrap()
    };
    assert!(!settings(1, "mpo").contains_key("adapter_name_or_path"));
    for stage in ["preferences", "mpo"] {
        let adapter = settings(2, stage)["adapter_name_or_path"].as_str().unwrap().to_owned();
        assert_eq!(PathBuf::from(adapter), checkpoint(1));
    }
    // Every round's reference is its own first policy: rewards begin at zero.
    for round in [1, 2] {
        let metrics: Vec<Value> = lines(&out.join(format!("round-{round}/mpo/metrics.jsonl")));
        assert_eq!(
            (&metrics[0]["rewards/margins"], &metrics[0]["epoch"].is_number()),
            (&json!(0.0), &true)
        );
        assert!(metrics.last().unwrap()["epoch"].as_f64().unwrap() >= 1.0);
    }
    // Run again it changes nothing.
    let again = Log::default();
    let same = rounds(&config, Assessors::default(), &mut || again.watch()).unwrap();
    assert_eq!((again.lines("step").len(), again.lines("Sampled").len()), (0, 0));
    let values = |policy: &recipes::policy::Policy| {
        policy.parameters().unwrap().iter().map(|(_, v)| v.as_slice().to_vec()).collect::<Vec<_>>()
    };
    assert_eq!(values(&policy), values(&same));
}

#[test]
fn the_last_round_ends_in_its_best_checkpoint() {
    let mut place = rounds_place(&[Some("3"); 3]);
    // Held-out pairs that want the opposite: every step is one for the worse.
    let pairs = crate::mpo::pairs("4", "3");
    let text: String = pairs.iter().map(|line| format!("{line}\n")).collect();
    fs::write(place.path("held_out.jsonl"), text).unwrap();
    let held_out = quoted(&place.path("held_out.jsonl"));
    place.set(&[("eval_dataset", &held_out), ("metric_for_best_model", "margins")]);
    place.set(&[("num_rounds", "1"), ("num_train_epochs", "4"), ("save_steps", "1")]);
    let policy = rounds(&place.config(&[]), Assessors::default(), &mut Watch::nobody).unwrap();
    let folder = place.path("out/round-1/mpo");
    let state = fs::read(folder.join("best/trainer_state.json")).unwrap();
    let state: Value = serde_json::from_slice(&state).unwrap();
    let metrics: Vec<Value> = lines(&folder.join("metrics.jsonl"));
    assert!(state["global_step"].as_u64().unwrap() < metrics.len() as u64, "{state}");
    let best = Golden::open(folder.join("best").join(WEIGHTS_FILE));
    for (name, values) in policy.parameters().unwrap().iter() {
        assert_eq!(values.as_slice(), best.f32(name), "{name}");
    }
}

#[test]
fn rounds_are_checked() {
    let place = place(&[Some("3")]);
    for (keys, want) in [
        (&[("num_rounds", "2")][..], "num_rounds = 2 and preferences is not set contradict"),
        (&[("num_rounds", "0")], "num_rounds = 0: expected at least 1"),
        (&[("preferences", "{num_generations = 1}")], "num_generations = 1: expected at least 2"),
        (&[("preferences", "{tau = 1}")], "unknown field `tau`"),
        (
            &[("preferences", "{threshold = 1.0, threshold_quantile = 0.5}")],
            "threshold = 1 and threshold_quantile = 0.5 contradict",
        ),
    ] {
        let error = place.try_config::<MpoConfig>(keys).unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
    }
}
