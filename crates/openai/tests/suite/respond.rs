//! The endpoint as a judge: what it is asked, and how its words are taken.

use judge::{Correctness, Decoding, Failure, Judge, Judging, judge_all};
use openai::{Endpoint, Ledger, Patience, Settings};
use serde_json::{Value, json};
use testkit::{Reply, Server};

fn ask(server: &Server, num_questions: usize) -> Vec<Result<bool, Failure>> {
    let patience = Patience { max_tries: 1, ..Patience::default() };
    let settings = Settings { patience, ..Settings::new(&server.address, "judge") };
    let mut endpoint = Endpoint::new(settings, Ledger::in_memory().unwrap()).unwrap();
    let response = |index| format!("It is \\boxed{{{index}0}}.");
    let responses: Vec<String> = (0..num_questions).map(response).collect();
    let question = |response| Correctness { question: "How many?", gold: "7", response };
    let questions: Vec<_> = responses.iter().map(|response| question(response)).collect();
    let judging = Judging { model: &mut endpoint, decoding: Decoding::greedy(64, 5) };
    let mut verdicts = vec![None; num_questions];
    judge_all(&mut Judge::Model(judging), &questions, &mut |index, judged| {
        let verdict = judged.map(|judged| judged.verdict.correct);
        assert!(verdicts[index].replace(verdict).is_none(), "{index} twice");
    });
    verdicts.into_iter().map(Option::unwrap).collect()
}

fn say(message: &Value) -> Reply {
    Reply::json(&json!({ "choices": [{ "message": message, "finish_reason": "stop" }] }))
}

#[test]
fn a_thought_of_the_judge_is_no_verdict() {
    let server = Server::start(|_, _| {
        let content = r#"{"correct": false, "reason": "0 is not 7"}"#;
        say(
            &json!({ "role": "assistant", "content": content, "reasoning_content": "{\"correct\": true" }),
        )
    });
    assert_eq!(ask(&server, 3), vec![Ok(false); 3]);
    let requests = server.requests();
    let body = &requests[0].1;
    assert_eq!((&body["max_tokens"], &body["seed"]), (&json!(64), &json!(5)));
    assert_eq!((&body["temperature"], body.get("repetition_penalty")), (&json!(0.0), None));
    assert!(body["messages"][1]["content"].as_str().unwrap().contains("Known answer:\n7"));
}

#[test]
fn prose_is_mended_or_reported() {
    let server = Server::start(|_, body| {
        let turns = body["messages"].as_array().unwrap();
        let asked = turns[1]["content"].as_str().unwrap();
        let content = match (turns.len(), asked.contains("boxed{10}")) {
            (2, _) | (_, true) => "I would say that it is not correct.",
            _ => r#"{"correct": false, "reason": ""}"#,
        };
        say(&json!({ "role": "assistant", "content": content }))
    });
    let verdicts = ask(&server, 3);
    assert_eq!((&verdicts[0], &verdicts[2]), (&Ok(false), &Ok(false)));
    let Err(Failure::Unreadable(prose)) = &verdicts[1] else { panic!("{:?}", verdicts[1]) };
    assert!(prose.verdict.excerpt.starts_with("I would"), "{prose:?}");
    assert_eq!(server.num_requests(), 6);
}

#[test]
fn a_refusal_stops_all_and_loses_none() {
    let server = Server::start(|_, _| Reply::Send(401, "no".into()));
    let verdicts = ask(&server, 100);
    assert!(verdicts.iter().all(|verdict| matches!(verdict, Err(Failure::Stopped { .. }))));
    assert!(server.num_requests() <= 8);
}
