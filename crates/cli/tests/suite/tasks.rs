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
    let gone = folder.path().join("gone");
    let paths = ["--data_dir", text(&gone), "--output_dir", data, "--max_new_tokens", "4"];
    let afresh = [&["eval", "--tasks", "mmmu"][..], &paths, &server].concat();
    fail(&afresh, 1, &["no files of mmmu", "not asked, offline"]);
    let nobody = [&["eval", "--tasks", "mmmu"][..], &common].concat();
    fail(&nobody, 2, &["base_url and served_model_name, or model_name_or_path"]);
    fails(&["--tasks", "pope", "--dataset", "x"], 2, &["unknown key `dataset`"]);
    fails(&["--tasks", "pope", "--scoring", "judge"], 2, &["scoring = \"judge\"", "no judge"]);
    fails(&["--tasks", "pope", "--temperature", "0"], 2, &["num_runs = 5", "temperature = 0"]);
    pope(folder.path());
    let ended = run(&words(&eval(&["--tasks", "pope", "--max_tries", "1"])));
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stderr.contains("pope: no response could be scored"), "{ended:?}");
    assert!(ended.stdout.contains("15 responses are missing"), "{ended:?}");
}

/// A server that says the first of these texts whose words occur in the prompt.
fn scripted(rules: &'static [(&'static str, &'static str)]) -> Server {
    Server::start(move |_, body| {
        let turns = body["messages"].to_string();
        let rule = rules.iter().find(|(words, _)| turns.contains(words));
        let (_, content) = rule.unwrap_or_else(|| panic!("no rule for {turns}"));
        let message = json!({"role": "assistant", "content": content});
        Reply::json(&json!({
            "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 20, "completion_tokens": 5},
        }))
    })
}

/// `eval` of these benchmarks behind a server, once each.
fn once<'a>(tasks: &'a str, folder: &'a Path, server: &'a Server) -> Vec<&'a str> {
    let folder = text(folder);
    let eval =
        ["eval", "--tasks", tasks, "--base_url", &server.address, "--served_model_name", "m"];
    let more = ["--data_dir", folder, "--max_new_tokens", "16", "--num_runs", "1"];
    [&eval[..], &more[..]].concat()
}

/// Rows as JSON lines, over one image that is one and one that is none.
fn write_rows(folder: &Path, file: &str, rows: &[Value]) {
    let path = folder.join(file);
    let parent = path.parent().expect("a folder");
    std::fs::create_dir_all(parent).expect("a folder");
    std::fs::copy(image(), parent.join("a.png")).expect("an image");
    std::fs::write(parent.join("bad.png"), "no image at all").expect("a file");
    let rows: String = rows.iter().map(|row| format!("{row}\n")).collect();
    std::fs::write(path, rows).expect("a file");
}

#[test]
fn rows_and_responses_that_are_no_good_are_told_one_by_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let row = |id: &str, more: Value| {
        let mut row = json!({"id": id, "question": format!("{id}: <image 1>"), "options": ["red", "blue"],
            "answer": "B", "image_1": "a.png"});
        row.as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        row
    };
    let rows = [
        row("validation_Art_1", json!({})),
        row("validation_Art_2", json!({"image_1": "bad.png"})),
        row("validation_Art_3", json!({"image_2": "a.png"})),
        row("validation_Art_4", json!({"question": "<image 2>"})),
        row("validation_Art_5", json!({"answer": "E"})),
        row("validation_Art_6", json!({"answer": null})),
        row("validation_Art_7", json!({})),
    ];
    write_rows(folder.path(), "mmmu/validation.jsonl", &rows);
    let model = scripted(&[("Art_1", ""), ("Art_7", "<think>It is B"), ("", "never asked")]);
    let judge = format!("{{base_url = {:?}, model = \"judge\"}}", model.address);
    let out = folder.path().join("out");
    let more = ["--judge", &judge, "--output_dir", text(&out)];
    let table = succeed(&[&once("mmmu", folder.path(), &model)[..], &more[..]].concat());
    assert!(table.contains("MMMU: 5 rows could not be asked"), "{table}");
    assert!(table.contains("MMMU: 1 responses were empty, and count as wrong"), "{table}");
    let reasons = [
        (":2: column `image_1`: ", "bad.png: an image that cannot be read: of no known format"),
        (":3: ", "2 images, but no tag <image 2>"),
        (":4: ", "tag <image 2>, but 1 images"),
        (":5: ", "answer \"E\" is none of 2 options"),
        (":6: ", "column `answer` is empty"),
    ];
    for (flaw, (line, reason)) in lines(&out.join("unasked.jsonl")).iter().zip(reasons) {
        let told = format!(
            "{}: {}",
            flaw["place"].as_str().unwrap_or(""),
            flaw["reason"].as_str().unwrap_or("")
        );
        assert!(told.contains(&format!("validation.jsonl{line}")), "{told}");
        assert!(told.ends_with(reason), "{told}");
    }
    let records = lines(&out.join("records.jsonl"));
    let of = |record: &Value| (record["flaw"].clone(), record["marks"]["strict"].clone());
    assert_eq!(of(&records[0]), (json!("an empty response"), json!(0.0)));
    assert_eq!(records[1]["marks"]["why"], "the thought was not closed");
    // Neither is put to the judge, in whatever words.
    assert!(records.iter().all(|record| record["judgement"]["reply"] == ""));
    assert_eq!(records[0]["matching"], Value::Null);

    // A column that no row has, and a file that is none.
    write_rows(folder.path(), "pope/test.jsonl", &[json!({"question": "Q?", "image": "a.png"})]);
    let pope = once("pope", folder.path(), &model);
    let pope = [&pope[..], &["--output_dir", text(&out)]].concat();
    fail(&pope, 1, &["none of its 1 items can be asked", "test.jsonl:1: no column `answer`"]);
    std::fs::write(folder.path().join("pope/test.jsonl"), "{\"question\": 1\n").expect("a file");
    fail(&pope, 1, &["test.jsonl:1: "]);
}

#[test]
fn vlmevalkit_has_the_judge_extract_in_its_own_words() {
    let folder = tempfile::tempdir().expect("a folder");
    let row = |id: usize, answer: &str| {
        json!({"pid": id, "question": format!("Question {id}: how many?"), "query":
        format!("Hint: an integer.\nQuestion: Question {id}: how many?"), "answer": answer, "question_type": "free_form",
        "answer_type": "integer", "image": "a.png", "metadata": {"task": "counting"}})
    };
    write_rows(
        folder.path(),
        "mathvista/testmini.jsonl",
        &[row(1, "14"), row(2, "15"), row(3, "16")],
    );
    let server = scripted(&[
        ("Known answer:", r#"{"correct": false, "reason": "not said"}"#),
        ("Model respone: There are 14 of them", "14"),
        ("Model respone: None", "0"),
        ("Question 1:", "There are 14 of them"),
        ("Question 2:", "15"),
        ("Question 3:", "None"),
    ]);
    let judge = format!("{{base_url = {:?}, model = \"judge\"}}", server.address);
    let out = folder.path().join("out");
    let kit = ["--scoring", "vlmevalkit", "--prompts", "vlmevalkit", "--output_dir", text(&out)];
    let eval = [&once("mathvista", folder.path(), &server)[..], &kit[..]].concat();
    fail(&eval, 2, &["mathvista: scoring = \"vlmevalkit\" asks a model, but there is no judge"]);
    assert_eq!(server.num_requests(), 0);
    let eval = [&eval[..], &["--judge", &judge]].concat();
    let table = succeed(&eval);
    assert!(table.contains("66.7 %"), "{table}");
    let num_asked = server.num_requests();
    succeed(&eval);
    assert_eq!(server.num_requests(), num_asked, "a rerun asks nothing");
    let records = lines(&out.join("records.jsonl"));
    let matching = |at: usize| &records[at]["matching"];
    assert_eq!(
        (&matching(0)["score"], &matching(0)["how"]),
        (&json!(1.0), &json!("extracted \"14\""))
    );
    assert_eq!((&matching(1)["how"], &matching(1)["steps"]), (&json!("by rule"), &Value::Null));
    let step = &matching(0)["steps"][0];
    assert_eq!((&step["reply"], &step["temperature"]), (&json!("14"), &json!(0.0)));
    let prompt = step["prompt"].as_str().expect("a prompt");
    assert!(
        prompt.starts_with("\nPlease read the following example.\nThen extract the answer"),
        "{prompt}"
    );
    let page = std::fs::read_to_string(out.join("report.html")).expect("a page");
    assert!(page.contains("VLMEvalKit, question 1"));
    let unknown = once("digits", folder.path(), &server);
    write_rows(
        folder.path(),
        "digits/held_out.jsonl",
        &[json!({"messages": [{"role": "user", "content": "1+1?"}], "answer": "2"})],
    );
    fail(&[&unknown[..], &kit[..]].concat(), 2, &["VLMEvalKit has no such benchmark"]);
}
