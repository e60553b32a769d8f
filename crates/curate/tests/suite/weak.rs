//! Pairs that score too low or too near, and what becomes of them.

use curate::{CurateConfig, Dropped, Error, Helpers, curate};
use judge::{Request, Scripted};
use serde_json::json;

use crate::fixture::{Numbers, config, lines, pair, run, verdict, words};

fn scored(folder: &std::path::Path, lines: &[serde_json::Value]) -> CurateConfig {
    CurateConfig {
        reward_model: Some("numbers".to_owned()),
        min_chosen_score: Some(5.0),
        min_margin: Some(2.0),
        ..config(folder, lines)
    }
}

#[test]
fn weak_chosen_responses_are_written_anew_or_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let config = scored(
        folder.path(),
        &[
            pair("Fine?", "good 9", "bad 1"),
            pair("Low?", "good 4", "bad 1"),
            pair("Near?", "good 7", "bad 6"),
            pair("Lost?", "good 3", "bad 2"),
        ],
    );
    let mut scorer = Numbers(0);
    let alone = run(&config, None, Some(&mut scorer));
    assert_eq!((alone.num_kept, alone.count(Dropped::Weak), scorer.0), (1, 3, 4));
    let dropped = lines(&config, "dropped.jsonl");
    assert_eq!(dropped[0]["reason"], "chosen 4.000, rejected 1.000");

    let mut judge = Scripted::new(|request: &Request<'_>| match words(request) {
        words if words.contains("You compare") => Ok(verdict(&words, 5)),
        words if words.contains("Lost?") => Ok("good 4".to_owned()),
        words => Ok(if words.contains("Near?") { "good 12" } else { "good 8" }.to_owned()),
    });
    let mended = run(&config, Some(&mut judge), Some(&mut scorer));
    assert_eq!((mended.num_kept, mended.num_rewritten, mended.count(Dropped::Weak)), (3, 2, 1));
    // The first scores were kept, those of new responses were not there.
    assert_eq!((scorer.0, judge.num_requests), (4 + 3, 4 + 3));
    let pairs = lines(&config, "pairs.jsonl");
    let near = pairs.iter().find(|pair| pair["prompt"][0]["content"] == "Near?").unwrap();
    assert_eq!(
        (&near["chosen"][0]["content"], &near["score_chosen"]),
        (&json!("good 12"), &json!(12.0))
    );
    run(&config, Some(&mut judge), Some(&mut scorer));
    assert_eq!((scorer.0, judge.num_requests), (7, 7), "a rerun asks for nothing");
}

#[test]
fn a_new_response_has_to_be_new_and_right() {
    let known = json!({ "prompt": "3 + 4?", "chosen": "\\boxed{7}", "rejected": "\\boxed{9}", "answer": "7" });
    for reply in ["\\boxed{9}", "\\boxed{7}", "It is \\boxed{10}.", "", "<think>so"] {
        let folder = tempfile::tempdir().unwrap();
        let pairs = scored(folder.path(), std::slice::from_ref(&known));
        let config = CurateConfig { min_margin: Some(100.0), ..pairs };
        let mut judge = Scripted::new(|_: &Request<'_>| Ok(reply.to_owned()));
        let statistics = run(&config, Some(&mut judge), Some(&mut Numbers(0)));
        assert_eq!((statistics.count(Dropped::Weak), judge.num_requests), (1, 2), "{reply}");
    }
}

#[test]
fn a_pair_without_scores_stops_the_run_or_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let mut config =
        scored(folder.path(), &[pair("a?", "good 9", "bad 1"), pair("b?", "good", "bad 1")]);
    let helpers = Helpers { responders: vec![], judge: None, scorer: Some(&mut Numbers(0)) };
    let error = curate(&config, helpers, &mut |_| {}).unwrap_err();
    assert!(
        matches!(&error, Error::Score { place, .. } if place.ends_with("open.jsonl:2")),
        "{error}"
    );
    config.skip_unscored = true;
    let statistics = run(&config, None, Some(&mut Numbers(0)));
    assert_eq!((statistics.num_kept, statistics.count(Dropped::Failed)), (1, 1));
}

#[test]
fn another_surrogate_at_the_same_path_is_asked_anew() {
    let folder = tempfile::tempdir().unwrap();
    let surrogate = folder.path().join("surrogate");
    std::fs::create_dir(&surrogate).unwrap();
    let config = CurateConfig {
        reward_model: Some(surrogate.display().to_string()),
        ..scored(folder.path(), &[pair("Fine?", "good 9", "bad 1")])
    };
    let mut scorer = Numbers(0);
    for (weights, num_asked) in [("one", 1), ("one", 1), ("two", 2), ("one", 2)] {
        std::fs::write(surrogate.join("value_head.safetensors"), weights).unwrap();
        run(&config, None, Some(&mut scorer));
        assert_eq!(scorer.0, num_asked, "{weights}");
    }
}

#[test]
fn settings_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let good = config(folder.path(), &[]);
    let broken = |change: fn(&mut CurateConfig)| {
        let mut config = good.clone();
        change(&mut config);
        config.validate().unwrap_err().to_string()
    };
    for (error, want) in [
        (broken(|c| c.sources.clear()), "sources or prompts"),
        (broken(|c| c.prompts = Some("a".into())), "prompts needs responders"),
        (broken(|c| c.min_margin = Some(1.0)), "needs reward_model"),
        (broken(|c| c.near_duplicate = 0.0), "near_duplicate = 0"),
        (broken(|c| c.min_confidence = 6), "min_confidence = 6"),
        (broken(|c| c.num_generations = 0), "num_generations = 0"),
        (broken(|c| c.judge = Some(judge::TeacherConfig::default())), "judge: give either"),
    ] {
        assert!(error.contains(want), "{error}");
    }
}
