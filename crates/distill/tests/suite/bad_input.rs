//! Lines, images and settings that cannot be used.

use distill::{DistillConfig, Flaw, Items, Needs, Sieved, distill};
use judge::{Request, Scripted};
use serde_json::json;

use crate::fixture::{
    bmp, config, dataset, generator, line, lines, run, run_judged, verdict, words,
};

#[test]
fn bad_lines_are_set_aside_with_a_reason_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = dataset(folder.path(), &[]);
    let mut torn = bmp(16, |x, _| x as u8);
    torn.truncate(300);
    std::fs::write(folder.path().join("torn.bmp"), torn).unwrap();
    std::fs::write(folder.path().join("text.png"), "no image").unwrap();
    let with = |number: usize, changes: serde_json::Value| {
        let mut line = line(number);
        line.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        line
    };
    let told = |number: usize, text: &str| {
        let mut line = line(number);
        line["messages"]
            .as_array_mut()
            .unwrap()
            .push(json!({ "role": "assistant", "content": text }));
        line
    };
    let good =
        [line(1), told(2, "<think>\n2\n</think>\n\n\\boxed{3}"), told(4, "It must be five.")];
    let bad = [
        (json!({ "id": "x" }), Flaw::NotASample),
        (with(5, json!({ "messages": [] })), Flaw::NoQuestion),
        (
            with(5, json!({ "messages": [{ "role": "user", "content": "<image>\n" }] })),
            Flaw::NoQuestion,
        ),
        (with(5, json!({ "answer": "  " })), Flaw::NoAnswer),
        (with(5, json!({ "images": [] })), Flaw::ImageCount),
        (with(5, json!({ "images": ["no.png"] })), Flaw::Image),
        (with(5, json!({ "images": ["text.png"] })), Flaw::Image),
        (with(6, json!({ "images": ["torn.bmp"] })), Flaw::Image),
        (with(5, json!({ "images": ["http://localhost/a.png"] })), Flaw::Image),
        (told(7, "<think>\n7\n</think>\n\n\\boxed{9}"), Flaw::Contradiction),
        (with(8, json!({ "id": "a" })), Flaw::Contradiction),
        (with(8, json!({ "id": "b", "answer": "10" })), Flaw::Contradiction),
        (with(9, json!({ "id": "sum-1" })), Flaw::DuplicateId),
        (with(1, json!({ "id": "other" })), Flaw::Duplicate),
    ];
    let all = good.iter().chain(bad.iter().map(|(line, _)| line));
    let mut bytes: Vec<u8> = all.flat_map(|line| format!("{line}\n").into_bytes()).collect();
    bytes.extend(b"\n{\"messages\": \xff}\n{\"messages\": [\n");
    std::fs::write(&path, bytes).unwrap();
    let config = config(&path);
    let report = run(&config, &mut generator());
    assert_eq!((report.num_lines, report.count("kept")), (19, 3), "{:?}", report.outcomes);
    assert_eq!(report.count("quarantined"), 16);
    let quarantined = lines(&config, "quarantine.jsonl");
    let flaw =
        |line: usize| quarantined.iter().find(|q| q["line"] == line).unwrap()["flaw"].clone();
    for (number, (line, want)) in bad.iter().enumerate() {
        assert_eq!(flaw(number + 4), serde_json::to_value(want).unwrap(), "{line}");
    }
    assert_eq!((flaw(19), flaw(20)), (json!("not_utf8"), json!("not_a_sample")));
    assert_eq!(report.flaws[&Flaw::Image], 4);
    assert!(quarantined.iter().all(|q| !q["reason"].as_str().unwrap().is_empty()));
}

#[test]
fn a_conversation_to_learn_from_needs_no_answer_that_a_rule_checks() {
    let folder = tempfile::tempdir().unwrap();
    let told = |number: usize, text: &str, answer: serde_json::Value| {
        let mut line = line(number);
        line["answer"] = answer;
        let said = json!({ "role": "assistant", "content": text });
        line["messages"].as_array_mut().unwrap().push(said);
        line["id"] = json!(format!("{number} {text}"));
        line
    };
    let prose = "It has been a long day. ".repeat(1000);
    // A picture alone asks for its description.
    let mut picture = told(7, "A digit.", json!(null));
    picture["messages"][0]["content"] = json!("<image>");
    let path = dataset(
        folder.path(),
        &[
            told(1, &prose, json!(null)),
            told(1, "Two descriptions of one picture are no contradiction.", json!(null)),
            told(2, "<think>\n2\n</think>\n\n\\boxed{3}", json!("3")),
            line(3),
            told(4, "  ", json!("5")),
            told(5, "\\boxed{5}", json!("7")),
            told(6, "\\boxed{7}", json!("7")),
            told(6, "\\boxed{8}", json!("8")),
            picture,
            told(8, "It is red.", json!(" ")),
            told(9, "It is red.", json!(prose)),
        ],
    );
    let sieved = Sieved::read(&path, None, Needs::Response).unwrap();
    let flaws: Vec<_> = sieved.quarantined.iter().map(|one| (one.line, one.flaw)).collect();
    let want = [
        (4, Flaw::NoResponse),
        (5, Flaw::NoResponse),
        (6, Flaw::Contradiction),
        (7, Flaw::Contradiction),
        (8, Flaw::Contradiction),
        (10, Flaw::NoAnswer),
    ];
    assert_eq!((sieved.num_lines, &flaws[..]), (11, &want[..]));
    let samples: Vec<_> = sieved.samples().collect();
    assert_eq!(samples.len(), 5);
    assert!(std::path::Path::new(&samples[0].images[0]).is_absolute());
}

#[test]
fn a_judge_in_prose_is_reported_and_the_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&dataset(folder.path(), &(0..4).map(line).collect::<Vec<_>>()));
    let mut chatty = Scripted::new(|request: &Request<'_>| match words(request) {
        words if words.contains("Item 2:") && words.contains("{\"integration\"") => {
            Ok("What a lovely question!".to_owned())
        }
        words => Ok(verdict(&words)),
    });
    let report = run_judged(&config, &mut generator(), &mut chatty);
    assert_eq!((report.num_distilled(), report.flaws[&Flaw::JudgeProse]), (3, 1));
    let reason = lines(&config, "quarantine.jsonl")[0]["reason"].as_str().unwrap().to_owned();
    assert!(reason.starts_with("integration: ") && reason.contains("What a lovely"), "{reason}");
    // Asked again, it would say the same.
    let num_asked = chatty.num_requests;
    let again = run_judged(&config, &mut generator(), &mut chatty);
    assert_eq!((again, chatty.num_requests), (report, num_asked));
}

#[test]
fn text_alone_is_an_item_with_the_lowest_scores_of_its_image() {
    let folder = tempfile::tempdir().unwrap();
    let text = json!({
        "messages": [{ "role": "user", "content": "Item 8: what is the sum?" }], "answer": "0",
    });
    let config = config(&dataset(folder.path(), &[line(1), text]));
    let report =
        run(&config, &mut Scripted::new(|_: &Request<'_>| Ok("a</think>\\boxed{0}".to_owned())));
    assert_eq!((report.count("kept"), report.count("dropped")), (1, 1));
    let rows = lines(&config, "items.jsonl");
    assert_eq!((&rows[1]["vision"], &rows[1]["id"]), (&json!(0.0), &json!("2")));
}

#[test]
fn settings_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let good = config(&dataset(folder.path(), &[line(1)]));
    let broken = |change: fn(&mut DistillConfig)| {
        let mut config = good.clone();
        change(&mut config);
        config.validate().unwrap_err().to_string()
    };
    for (error, want) in [
        (broken(|c| c.alpha = -1.0), "alpha = -1"),
        (broken(|c| c.beta = f64::NAN), "beta = NaN"),
        (broken(|c| c.top_p = 0.0), "top_p = 0"),
        (broken(|c| c.penalty_step = 0.0), "penalty_step = 0"),
        (broken(|c| c.repetition_penalty = Some(0.9)), "repetition_penalty = 0.9"),
        (broken(|c| c.max_new_tokens = 0), "max_new_tokens = 0"),
        (broken(|c| c.limit = Some(0)), "limit = 0"),
        (broken(|c| c.blur_levels = [4.0, 3.0, 2.0, 1.0]), "blur_levels = [4"),
        (broken(|c| c.generator.model_name_or_path = None), "generator: give either"),
        (broken(|c| c.generator.timeout = Some(-1.0)), "generator: timeout = -1"),
    ] {
        assert!(error.contains(want), "{error}");
    }
    let missing = DistillConfig { dataset: "no/such.jsonl".into(), ..good };
    let teachers = distill::Teachers { generator: &mut generator(), judge: None };
    let error = distill(&missing, teachers, &mut |_| {}).unwrap_err().to_string();
    assert!(error.starts_with("no/such.jsonl"), "{error}");
    assert!(Items::read(&missing.dataset, None).is_err());
}
