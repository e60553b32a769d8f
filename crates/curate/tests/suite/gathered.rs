//! Open pairs: read, cleaned, judged.

use curate::{CurateConfig, Dropped};
use judge::{Failure, Request, Scripted, TeacherConfig};
use serde_json::json;

use crate::fixture::{config, lines, pair, pixel, run, verdict, words};

#[test]
fn flaws_and_duplicates_are_dropped_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.png"), pixel(1)).unwrap();
    std::fs::write(folder.path().join("same.png"), pixel(1)).unwrap();
    std::fs::write(folder.path().join("b.png"), pixel(2)).unwrap();
    let long = |end: &str| {
        let start =
            "the cat sits on the mat beside the old red lamp and looks out of the window at";
        format!("{start} {}", end.repeat(8))
    };
    let shown = |image: &str, chosen: &str| json!({ "question": "What is it?", "image": image, "chosen": chosen, "rejected": "a dog" });
    let all = [
        shown("a.png", &long("birds ")),
        // The same image under another name.
        shown("same.png", &long("birds ")),
        // One word is another.
        shown("a.png", &format!("{} today", long("birds "))),
        // Another image: the same words say something else.
        shown("b.png", &long("birds ")),
        shown("a.png", "a lamp, and nothing that could be mistaken for a cat of any kind"),
        pair("What?", "same", "same"),
        pair("What?", "", "bad"),
        json!({ "prompt": "What?" }),
        shown("no.png", "x"),
    ];
    let config = config(folder.path(), &all);
    let statistics = run(&config, None, None);
    assert_eq!((statistics.num_in(), statistics.num_kept, statistics.num_with_image), (9, 3, 3));
    let count = |why| statistics.count(why);
    assert_eq!(count(Dropped::BadLine), 4);
    assert_eq!((count(Dropped::Duplicate), count(Dropped::NearDuplicate)), (1, 1));
    let pairs = lines(&config, "pairs.jsonl");
    assert_eq!(
        (&pairs[0]["source"], pairs[0]["images"][0].as_str().unwrap().ends_with("a.png")),
        (&json!("open"), true)
    );
    let parted = ["multimodal.jsonl", "text.jsonl"].map(|name| lines(&config, name));
    assert!(parted[0].iter().all(|pair| !pair["images"].as_array().unwrap().is_empty()));
    assert_eq!(parted.concat().len(), pairs.len());
    let dropped = lines(&config, "dropped.jsonl");
    assert!(
        dropped.iter().any(|d| d["reason"].as_str().unwrap().contains("open.jsonl:1")),
        "{dropped:?}"
    );
    // The threshold is a setting.
    let strict = CurateConfig { near_duplicate: 1.0, ..config };
    assert_eq!(run(&strict, None, None).count(Dropped::NearDuplicate), 0);
}

#[test]
fn the_judge_drops_what_is_equal_unsure_or_reversed() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(
        folder.path(),
        &[
            pair("Sure?", "a good one", "a bad one"),
            pair("Reversed?", "a bad one", "a good one"),
            pair("Equal?", "a good one", "a good two"),
            pair("Unsure?", "a good one", "a bad one"),
            pair("Chatty?", "a good one", "a bad one"),
            pair("Broken?", "a good one", "a bad one"),
        ],
    );
    config.judge =
        Some(TeacherConfig { model_name_or_path: Some("x".into()), ..TeacherConfig::default() });
    let mut judge = Scripted::new(|request: &Request<'_>| match words(request) {
        words if words.contains("Chatty?") => Ok("Hard to say.".to_owned()),
        words if words.contains("Broken?") => Err(Failure::Failed { reason: "gone".to_owned() }),
        words if words.contains("Unsure?") => Ok(verdict(&words, 3)),
        words => Ok(verdict(&words, 5)),
    });
    let statistics = run(&config, Some(&mut judge), None);
    assert_eq!(statistics.num_kept, 1);
    for why in
        [Dropped::Equal, Dropped::Reversed, Dropped::Unsure, Dropped::JudgeProse, Dropped::Failed]
    {
        assert_eq!(statistics.count(why), 1, "{why:?}");
    }
    assert_eq!(judge.num_requests, 7, "and one repair");
    // A rerun asks for what failed. Prose is an answer: asked again, a judge says the same.
    let mut again = Scripted::new(|request: &Request<'_>| Ok(verdict(&words(request), 5)));
    let statistics = run(&config, Some(&mut again), None);
    assert_eq!((again.num_requests, statistics.num_kept), (1, 2));
}

#[test]
fn a_known_answer_needs_no_judge() {
    let folder = tempfile::tempdir().unwrap();
    let known = |chosen: &str, rejected: &str| json!({ "prompt": "3 + 4?", "chosen": chosen, "rejected": rejected, "answer": "7" });
    let config = config(
        folder.path(),
        &[
            known("It is \\boxed{7}.", "It is \\boxed{8}."),
            known("\\boxed{9}", "\\boxed{7}"),
            known("a", "b"),
        ],
    );
    let statistics = run(&config, None, None);
    assert_eq!((statistics.num_kept, statistics.count(Dropped::Reversed)), (2, 1));
}

#[test]
fn a_stop_is_told_and_taken_up() {
    let folder = tempfile::tempdir().unwrap();
    let lines: Vec<_> =
        (0..6).map(|n| pair(&format!("Question {n}?"), "a good one", "a bad one")).collect();
    let config = config(folder.path(), &lines);
    let mut left = 4;
    let mut judge = Scripted::new(|request: &Request<'_>| {
        left -= 1;
        match left {
            0.. => Ok(verdict(&words(request), 5)),
            _ => Err(Failure::Stopped { reason: "the budget ends here".to_owned() }),
        }
    });
    let statistics = run(&config, Some(&mut judge), None);
    assert_eq!((statistics.num_kept, statistics.count(Dropped::Stopped)), (4, 2));
    assert_eq!(statistics.stopped.as_deref(), Some("the budget ends here"));
    let mut judge = Scripted::new(|request: &Request<'_>| Ok(verdict(&words(request), 5)));
    let statistics = run(&config, Some(&mut judge), None);
    assert_eq!((statistics.num_kept, judge.num_requests, statistics.stopped), (6, 2, None));
}
