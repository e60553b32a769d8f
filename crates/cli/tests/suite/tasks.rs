//! `eval --tasks`, `eval compare` and `eval gate`: behind a server and in this process.

use std::path::Path;

use serde_json::{Value, json};
use testkit::{Reply, Server};

use crate::models::{image, plain_vlm};
use crate::run::{fail, lines, run, succeed, succeed_json, text};

/// POPE-like questions over one image, and one row whose image is missing.
fn pope(folder: &Path) {
    let pope = folder.join("pope");
    std::fs::create_dir_all(&pope).expect("a folder");
    std::fs::copy(image(), pope.join("a.png")).expect("an image");
    let row = |id: usize, answer: &str, image: &str| json!({"id": id, "question": format!("Question {id}?"), "answer": answer, "category": "random", "image": image});
    let rows = [
        row(1, "yes", "a.png"),
        row(2, "no", "a.png"),
        row(3, "no", "a.png"),
        row(4, "no", "gone.png"),
    ];
    let rows: String = rows.iter().map(|row| format!("{row}\n")).collect();
    std::fs::write(pope.join("test.jsonl"), rows).expect("a file");
}

/// A model that says what `said` makes of a question's number, and a judge that finds everything right.
fn server(said: fn(&str) -> &'static str) -> Server {
    Server::start(move |_, body| {
        let turns = body["messages"].to_string();
        let content = match turns.contains("Known answer:") {
            true => json!({"correct": true, "reason": "so it is"}).to_string(),
            false => {
                let (_, rest) = turns.split_once("Question ").expect("a question of ours");
                said(&rest[..1]).to_owned()
            }
        };
        let message = json!({"role": "assistant", "content": content});
        Reply::json(&json!({
            "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 20, "completion_tokens": 5},
        }))
    })
}

fn arguments(folder: &Path, server: &Server, name: &str) -> Vec<String> {
    let judge = format!("{{base_url = {:?}, model = \"judge\"}}", server.address);
    let pairs = [
        ("--tasks", "pope".to_owned()),
        ("--base_url", server.address.clone()),
        ("--served_model_name", "m".to_owned()),
        ("--judge", judge),
        ("--data_dir", text(folder).to_owned()),
        ("--output_dir", text(&folder.join(name)).to_owned()),
        ("--max_new_tokens", "16".to_owned()),
        ("--num_runs", "2".to_owned()),
    ];
    let words = pairs.into_iter().flat_map(|(key, value)| [key.to_owned(), value]);
    ["eval".to_owned()].into_iter().chain(words).collect()
}

fn words(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

#[test]
fn a_server_is_asked_once_compared_and_held_to_thresholds() {
    let folder = tempfile::tempdir().expect("a folder");
    pope(folder.path());
    let right = server(|number| if number == "1" { "Answer: \\boxed{Yes}" } else { "No" });
    let wrong = server(|number| if number == "1" { "I think no" } else { "It is not so, no" });
    let eval = arguments(folder.path(), &right, "right");
    let plan = succeed(&[&words(&eval)[..], &["--dry-run"]].concat());
    assert!(plan.contains("pope: 3 items, 6 responses; 1 rows cannot be asked"), "{plan}");
    let table = succeed(&words(&eval));
    assert!(
        table.contains("POPE: 1 rows could not be asked") && table.contains("100.0 %"),
        "{table}"
    );
    let num_asked = right.num_requests();
    assert_eq!(num_asked, 6 + 3, "equal responses of two runs are judged once");
    succeed(&words(&eval));
    assert_eq!(right.num_requests(), num_asked, "a rerun asks nothing");

    let out = folder.path().join("right");
    let records: Vec<Value> = lines(&out.join("records.jsonl"));
    let first = &records[0];
    assert_eq!(
        (records.len(), &first["marks"]["strict"], &first["run"]),
        (6, &json!(1.0), &json!(0))
    );
    assert_eq!(
        (&first["judgement"]["score"], &first["judgement"]["reason"]),
        (&json!(1.0), &json!("so it is"))
    );
    let unasked = lines(&out.join("unasked.jsonl"));
    assert!(
        unasked[0]["reason"].as_str().expect("a reason").ends_with("gone.png: no such image"),
        "{unasked:?}"
    );
    let page = std::fs::read_to_string(out.join("report.html")).expect("a page");
    assert!(page.contains("data:image/png;base64,") && page.contains("Question 1?"));
    assert!(out.join("summary.csv").is_file() && out.join("config.toml").is_file());

    succeed(&words(&arguments(folder.path(), &wrong, "wrong")));
    let other = folder.path().join("wrong");
    let compared = succeed_json(&["eval", "compare", text(&out), text(&other)]);
    // Strictly, "It is not so, no" has not the form asked for.
    assert_eq!((&compared[0]["num_items"], &compared[0]["difference"]), (&json!(3), &json!(-1.0)));
    let lenient =
        succeed_json(&["eval", "compare", text(&out), text(&other), "--scoring", "lenient"]);
    assert_eq!((&lenient[0]["num_worse"], &lenient[0]["p_value"]), (&json!(1), &json!(1.0)));

    succeed(&["eval", "gate", text(&out), "--require", "pope>=99", "--require", "*.clipped<=0%"]);
    fail(
        &["eval", "gate", text(&other), "--require", "pope>=50"],
        1,
        &["1 of 1 checks do not pass"],
    );
    fail(&["eval", "gate", text(&out), "--require", "mmmu>=50"], 1, &["checks do not pass"]);
    fail(&["eval", "gate", text(&other), "--baseline", text(&out)], 1, &["checks do not pass"]);
    succeed(&["eval", "gate", text(&out), "--baseline", text(&other), "--max-drop", "1"]);
    fail(&["eval", "gate", text(&out), "--require", "pope=50"], 2, &["pope=50"]);
}

#[test]
fn a_model_of_ours_answers_in_this_process() {
    let folder = tempfile::tempdir().expect("a folder");
    pope(folder.path());
    let model = plain_vlm(folder.path());
    let out = folder.path().join("eval");
    let eval = [
        "eval",
        "--tasks",
        "pope",
        "--model",
        text(&model),
        "--data_dir",
        text(folder.path()),
        "--output_dir",
        text(&out),
        "--max_new_tokens",
        "4",
        "--num_runs",
        "2",
        "--temperature",
        "1.0",
    ];
    succeed(&eval);
    let before = lines(&out.join("records.jsonl"));
    assert!(before.iter().all(|record| record["num_tokens"].as_u64() > Some(0)), "{before:?}");
    assert!(before[0]["response"] != before[3]["response"], "two runs have two seeds");
    succeed(&eval);
    assert_eq!(lines(&out.join("records.jsonl")), before);
}

#[test]
fn what_cannot_be_asked_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = text(folder.path());
    let common = ["--data_dir", data, "--output_dir", data, "--max_new_tokens", "4"];
    let server = ["--base_url", "http://127.0.0.1:9", "--served_model_name", "m"];
    let eval = |more: &[&'static str]| {
        let words = [&["eval"], more, &common[..], &server[..]].concat();
        words.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let fails = |more: &[&'static str], code, said: &[&str]| fail(&words(&eval(more)), code, said);
    fails(&["--tasks", "poems"], 2, &["no task `poems`", "mmmu"]);
    fails(&["--tasks", "mmmu"], 1, &["no files of mmmu", "not asked, offline"]);
    fails(&["--tasks", "digits"], 1, &["no files of digits"]);
    fails(&["--tasks", "pope", "--dataset", "x"], 2, &["unknown key `dataset`"]);
    fails(&["--tasks", "pope", "--scoring", "judge"], 2, &["scoring = \"judge\"", "no judge"]);
    fails(&["--tasks", "pope", "--temperature", "0"], 2, &["num_runs = 5", "temperature = 0"]);
    pope(folder.path());
    let ended = run(&words(&eval(&["--tasks", "pope", "--max_tries", "1"])));
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stderr.contains("pope: no response could be scored"), "{ended:?}");
    assert!(ended.stdout.contains("15 responses are missing"), "{ended:?}");
}
