//! `chat`: a conversation through a pipe.

use std::io::Write;
use std::process::Stdio;

use serde_json::Value;

use crate::models::{image, vlm};
use crate::run::{binary, fail, text};

/// What is said to these lines, and what is complained of.
fn talk(options: &[&str], lines: &str) -> (String, String) {
    let model = vlm();
    let start = ["chat", "--model", text(&model), "--max-new-tokens", "4"];
    let mut child = binary(&[&start[..], options].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let ended = child.wait_with_output().unwrap();
    let [said, told] =
        [ended.stdout, ended.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(ended.status.success(), "{told}");
    (said, told)
}

#[test]
fn answers_follow_their_questions_and_damage_ends_nothing() {
    let image = image();
    let lines = format!(
        "Hello\n/image missing.png\n/image {}\nWhat is it?\n/what\n/new\nHello\n/quit\nnever read\n",
        image.display()
    );
    let (said, told) = talk(&["--json"], &lines);
    let answers: Vec<Value> =
        serde_json::Deserializer::from_str(&said).into_iter().map(Result::unwrap).collect();
    assert_eq!(answers.len(), 3, "{said}");
    assert!(answers.iter().all(|answer| answer["token_ids"].as_array().unwrap().len() <= 4));
    // A new conversation begins as the first one did.
    assert_eq!(answers[0]["token_ids"], answers[2]["token_ids"]);
    assert!(told.contains("missing.png") && told.contains("/what: there are"), "{told}");
    let (plain, _) = talk(&[], "Hello\n");
    assert_eq!(plain.trim_end(), answers[0]["text"].as_str().unwrap().trim_end());
    let model = vlm();
    fail(&["chat", "--model", text(&model), "--num-samples", "2"], 2, &["one answer"]);
}
