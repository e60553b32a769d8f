//! Generator and judge behind a server that spoils three replies in ten.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use distill::read_rows;
use openai::{Endpoint, Ledger, Patience, Settings};
use serde_json::{Value, json};
use testkit::{Reply, Server};

use crate::fixture::{answer, config, dataset, item, line, run_judged, verdict};

const NUM_ITEMS: usize = 1000;

/// Complete replies by the request they answer.
type Given = Mutex<HashMap<String, usize>>;

/// The words of a request, and whether it shows an image.
fn words(body: &Value) -> (String, bool) {
    let mut has_image = false;
    let turns = body["messages"].as_array().unwrap().iter().map(|turn| match &turn["content"] {
        Value::String(text) => text.clone(),
        parts => {
            has_image = true;
            parts[1]["text"].as_str().unwrap().to_owned()
        }
    });
    let text = turns.collect::<Vec<_>>().join("\n");
    (text, has_image)
}

/// What a good server says; the judge of every tenth item is chatty until it is told not to be.
fn say(body: &Value) -> String {
    let (text, has_image) = words(body);
    let is_judge = body["messages"][0]["role"] == "system";
    let is_first = !text.contains("That reply cannot be used");
    if !is_judge {
        return answer(&text, has_image);
    }
    if text.contains("Item ") && is_first && item(&text).is_multiple_of(10) {
        return "I would rather talk about it.".to_owned();
    }
    verdict(&text)
}

fn bad_server(given: &'static Given) -> Server {
    Server::start(move |number, body| match number * 7 % 20 {
        0 | 1 => Reply::Later(429, 0.001),
        2 => Reply::Send(500, "oops".into()),
        3 => Reply::Send(200, r#"{"choices": [{"message": {"role": "assis"#.into()),
        4 => Reply::Break("{".into()),
        5 if number < 300 => Reply::Wait(Duration::from_secs(60)),
        5 => Reply::Wait(Duration::ZERO),
        _ => {
            *given.lock().unwrap().entry(body.to_string()).or_insert(0) += 1;
            let message = json!({ "role": "assistant", "content": say(body) });
            let usage =
                json!({ "prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110 });
            let choices = json!([{ "index": 0, "message": message, "finish_reason": "stop" }]);
            Reply::json(&json!({ "model": "m", "choices": choices, "usage": usage }))
        }
    })
}

/// Every item is done or reported, none is lost, and nothing is paid twice, in one run or the next.
#[test]
fn a_thousand_items_survive_it() {
    let given: &'static Given = Box::leak(Box::default());
    let server = bad_server(given);
    let folder = tempfile::tempdir().unwrap();
    let config = config(&dataset(folder.path(), &(0..NUM_ITEMS).map(line).collect::<Vec<_>>()));
    let settings = |model: &str| Settings {
        patience: Patience {
            timeout: Duration::from_secs(3),
            max_tries: 4,
            first_wait: Duration::from_millis(1),
            ..Patience::default()
        },
        num_parallel: 32,
        ..Settings::new(&server.address, model)
    };
    let endpoint = |model: &str| {
        let ledger = Ledger::open(&config.output_dir.join(format!("{model}.sqlite"))).unwrap();
        Endpoint::new(settings(model), ledger).unwrap()
    };
    let mut num_failed = vec![];
    for _ in 0..2 {
        let report = run_judged(&config, &mut endpoint("generator"), &mut endpoint("judge"));
        assert_eq!(report.num_lines, NUM_ITEMS);
        assert_eq!(report.outcomes.values().sum::<usize>(), NUM_ITEMS, "{:?}", report.outcomes);
        assert_eq!(
            report.num_distilled() + report.count("failed"),
            NUM_ITEMS,
            "{:?}",
            report.flaws
        );
        num_failed.push(report.count("failed"));
    }
    assert!(num_failed[0] < 100 && num_failed[1] <= num_failed[0] / 2, "{num_failed:?}");
    assert_eq!(read_rows(&config.output_dir).unwrap().len(), NUM_ITEMS);
    let given = given.lock().unwrap();
    let twice: Vec<_> = given.iter().filter(|(_, times)| **times > 1).take(3).collect();
    assert!(given.len() > 6 * NUM_ITEMS && twice.is_empty(), "{} {twice:?}", given.len());
}
