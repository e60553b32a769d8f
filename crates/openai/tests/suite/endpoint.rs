//! What is sent, what is sent again, and what is never sent.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use openai::{
    ApiKey, Attempt, Budget, Call, ChatRequest, Endpoint, Error, Ledger, Message, Outcome, Part,
    Patience, Prices, Role, Settings, Usage,
};
use rusqlite::Connection;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use testkit::{Reply, Server};

fn settings(server: &Server) -> Settings {
    Settings {
        patience: Patience {
            timeout: Duration::from_secs(20),
            max_tries: 3,
            first_wait: Duration::from_millis(1),
            max_reply_bytes: 10_000,
        },
        ..Settings::new(&format!("{}/v1", server.address), "judge")
    }
}

fn endpoint(settings: Settings) -> Endpoint {
    Endpoint::new(settings, Ledger::in_memory().unwrap()).unwrap()
}

fn call(text: &str) -> Call<'static> {
    let messages = vec![Message::text(Role::User, text)];
    let request = ChatRequest { max_tokens: Some(10), ..ChatRequest::new(messages) };
    Call { prompt_version: "test/1", request }
}

/// The reply that repeats what was asked, for ten tokens in and five out.
fn echo(body: &Value) -> Reply {
    Reply::json(&completion(body["messages"][0]["content"].as_str().unwrap()))
}

fn completion(text: &str) -> Value {
    json!({
        "id": "1", "object": "chat.completion", "created": 0, "model": "judge-0613",
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": text }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15 },
    })
}

#[test]
fn a_reply_is_paid_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let server = Server::start(|_, body| echo(body));
    let prices = Prices { input: 1e5, output: 2e5 };
    let key = Some(ApiKey::new("secret"));
    let settings = Settings { prices, api_key: key, ..settings(&server) };
    for is_stored in [false, true, true] {
        let ledger = Ledger::open(&path).unwrap();
        let endpoint = Endpoint::new(settings.clone(), ledger).unwrap();
        let answered = endpoint.chat(&call("hello")).unwrap();
        assert_eq!((answered.reply.text(), answered.is_stored), ("hello", is_stored));
        assert_eq!((answered.cost, endpoint.spent().cost, endpoint.spent().tokens), (2.0, 2.0, 15));
    }
    let other = Settings { model: "other".into(), ..settings };
    Endpoint::new(other, Ledger::open(&path).unwrap()).unwrap().chat(&call("hello")).unwrap();
    let requests = server.requests();
    assert_eq!(requests.len(), 2, "another model is another question");
    let (head, body) = &requests[0];
    assert!(head.starts_with("POST /v1/chat/completions HTTP/1.1"), "{head}");
    assert!(head.to_lowercase().contains("authorization: bearer secret"));
    assert_eq!(body["model"], "judge");
    assert!(!std::fs::read(&path).unwrap().windows(6).any(|bytes| bytes == b"secret"));
}

#[test]
fn equal_requests_at_once_are_sent_once() {
    let server = Server::start(|_, body| {
        std::thread::sleep(Duration::from_millis(50));
        echo(body)
    });
    let (mut replies, mut num_stored) = (vec![], 0);
    endpoint(settings(&server)).chat_all(
        8,
        |index| Ok(call(["a", "b"][index % 2])),
        |index, answered| {
            let answered = answered.unwrap();
            num_stored += usize::from(answered.is_stored);
            replies.push((index, answered.reply.text().to_owned()));
        },
    );
    replies.sort();
    let want = (0..8).map(|index| (index, ["a", "b"][index % 2].to_owned()));
    assert_eq!(replies, want.collect::<Vec<_>>());
    assert_eq!((server.num_requests(), num_stored), (2, 6));
}

#[test]
fn passing_trouble_is_tried_again() {
    let server = Server::start(|number, body| match number {
        0 => Reply::Later(429, 0.2),
        1 => Reply::Send(200, r#"{"id":"1","choices":[{"mess"#.into()),
        2 => Reply::Break(r#"{"id":"#.into()),
        3 => Reply::Send(200, r#"{"error":{"message":"provider is down","code":502}}"#.into()),
        4 => Reply::Wait(Duration::from_secs(30)),
        5 => Reply::Send(503, "loading".into()),
        _ => echo(body),
    });
    let mut settings = settings(&server);
    settings.patience.max_tries = 7;
    settings.patience.timeout = Duration::from_millis(400);
    let endpoint = endpoint(settings);
    let start = Instant::now();
    assert_eq!(endpoint.chat(&call("a")).unwrap().reply.text(), "a");
    assert!(start.elapsed() >= Duration::from_millis(600), "Retry-After and the time limit");
    assert_eq!(server.num_requests(), 7);
    // 429 and 503 cost nothing for sure.
    assert_eq!(endpoint.ledger().num_attempts().unwrap(), [1, 2, 4]);
}

#[test]
fn a_server_that_asks_for_no_wait_is_not_pressed() {
    let server = Server::start(|number, body| match number {
        0..2 => Reply::Later(429, 0.0),
        _ => echo(body),
    });
    let mut settings = settings(&server);
    settings.patience.first_wait = Duration::from_millis(100);
    let start = Instant::now();
    assert_eq!(endpoint(settings).chat(&call("a")).unwrap().reply.text(), "a");
    assert!(start.elapsed() >= Duration::from_millis(150), "half of 100 and of 200 at least");
}

#[test]
fn what_is_never_sent_costs_nothing_and_is_not_tried_again() {
    let server = Server::start(|_, body| echo(body));
    let settings = Settings { api_key: Some(ApiKey::new("secret\r")), ..settings(&server) };
    let endpoint = endpoint(settings);
    let error = endpoint.chat(&call("a")).unwrap_err();
    assert!(matches!(error, Error::Unsent { .. }) && error.is_final(), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
    assert_eq!((server.num_requests(), endpoint.spent().tokens), (0, 0));
    assert_eq!(endpoint.ledger().num_attempts().unwrap(), [0, 1, 0]);
}

#[test]
fn an_absurd_count_of_tokens_ends_at_the_budget() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let server = Server::start(|_, _| {
        let mut reply = completion("7");
        reply["usage"]["prompt_tokens"] = json!(u64::MAX);
        Reply::json(&reply)
    });
    let budget = Budget { tokens: Some(1 << 40), cost: None };
    for text in ["a", "b"] {
        let settings = Settings { budget, ..settings(&server) };
        let endpoint = Endpoint::new(settings, Ledger::open(&path).unwrap()).unwrap();
        assert_eq!(endpoint.chat(&call(text)).is_ok(), text == "a");
        assert!(endpoint.spent().tokens > 1 << 60);
    }
}

#[test]
fn lasting_trouble_is_not() {
    let cases = [
        (400, "no such field", false),
        (401, "who are you?", true),
        (200, r#"{"choices":"none"}"#, false),
    ];
    for (status, text, is_final) in cases {
        let server = Server::start(move |_, _| Reply::Send(status, text.into()));
        let endpoint = endpoint(settings(&server));
        let error = endpoint.chat(&call("a")).unwrap_err();
        assert_eq!(error.is_final(), is_final, "{error}");
        let second = endpoint.chat(&call("b")).unwrap_err();
        assert_eq!(matches!(second, Error::Stopped { .. }), is_final, "{second}");
        assert_eq!(server.num_requests(), if is_final { 1 } else { 2 });
    }
}

#[test]
fn a_server_in_trouble_ends_in_an_error() {
    let server = Server::start(|_, _| Reply::Send(500, "out of memory".into()));
    let error = endpoint(settings(&server)).chat(&call("a")).unwrap_err().to_string();
    assert!(error.ends_with("no reply in 3 tries: status 500: out of memory"), "{error}");
    let server = Server::start(|_, _| Reply::Send(200, "x".repeat(20_000)));
    let error = endpoint(settings(&server)).chat(&call("a")).unwrap_err().to_string();
    assert!(error.contains("the reply is longer than 10000 bytes"), "{error}");
    assert!(Endpoint::new(Settings::new("localhost", "m"), Ledger::in_memory().unwrap()).is_err());
}

#[test]
fn a_budget_ends_the_run_before_it_is_passed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let server = Server::start(|_, body| echo(body));
    let budget = Budget { tokens: Some(200), cost: None };
    for _ in 0..2 {
        let settings = Settings { budget, ..settings(&server) };
        let endpoint = Endpoint::new(settings, Ledger::open(&path).unwrap()).unwrap();
        let (mut num_done, mut num_left) = (0, 0);
        endpoint.chat_all(
            50,
            |index| Ok(call(&index.to_string())),
            |_, answered| match answered {
                Ok(_) => num_done += 1,
                Err(error) if error.is_final() => num_left += 1,
                Err(error) => panic!("{error}"),
            },
        );
        assert_eq!(num_done + num_left, 50);
        assert!(endpoint.spent().tokens <= 200 && endpoint.spent().tokens > 150, "{num_done}");
        assert!(num_done <= 13);
    }
    let requests = server.num_requests();
    assert!((11..=13).contains(&requests), "{requests}: the second run pays for nothing anew");
}

#[test]
fn what_was_asked_is_kept_with_its_time_and_images_by_their_hashes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let server = Server::start(|_, _| Reply::json(&completion("a cat")));
    let endpoint = Endpoint::new(settings(&server), Ledger::open(&path).unwrap()).unwrap();
    let parts = vec![Part::text("What?"), Part::image("data:image/png;base64,iVBORw==")];
    let request = ChatRequest::new(vec![Message::parts(Role::User, parts)]);
    endpoint.chat(&Call { prompt_version: "test/1", request }).unwrap();
    let query = "SELECT body, at FROM attempts JOIN requests USING (hash)";
    let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?));
    let (body, at) = Connection::open(&path).unwrap().query_one(query, [], read).unwrap();
    let mut sent = server.requests()[0].1.clone();
    let image = &mut sent["messages"][0]["content"][1]["image_url"]["url"];
    assert_eq!(*image, "data:image/png;base64,iVBORw==");
    *image = format!("sha256:{}", stages::hex(&Sha256::digest(b"\x89PNG"))).into();
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), sent);
    assert!(at > 1_700_000_000, "{at}");
}

#[test]
fn an_older_ledger_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let columns = "id INTEGER PRIMARY KEY, hash TEXT NOT NULL, prompt_version TEXT NOT NULL, url TEXT NOT NULL, \
                   model TEXT NOT NULL, seed INTEGER, attempt INTEGER NOT NULL, outcome TEXT NOT NULL, \
                   status INTEGER, prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, \
                   cost REAL NOT NULL, raw TEXT NOT NULL";
    let row = "1, 'old', 'test/1', 'u', 'm', NULL, 1, 'reply', 200, 10, 5, 2.0, 'hello'";
    let older = Connection::open(&path).unwrap();
    let sql = format!("CREATE TABLE attempts ({columns}); INSERT INTO attempts VALUES ({row});");
    older.execute_batch(&sql).unwrap();
    drop(older);
    for num_before in [1, 2] {
        let ledger = Ledger::open(&path).unwrap();
        assert_eq!(ledger.reply("old").unwrap().as_deref(), Some("hello"));
        assert_eq!(ledger.num_attempts().unwrap(), [num_before, 0, 0]);
        let attempt = Attempt {
            hash: "new",
            body: "{}",
            prompt_version: "test/1",
            url: "u",
            model: "m",
            seed: None,
            attempt: 1,
            outcome: Outcome::Reply,
            status: Some(200),
            usage: Usage::default(),
            cost: 0.0,
            raw: "again",
        };
        ledger.record(&attempt).unwrap();
    }
}

#[test]
fn a_ledger_that_is_none_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text.sqlite");
    std::fs::write(&path, "this is no database, whatever its name may say of it".repeat(40))
        .unwrap();
    let error = Ledger::open(&path).unwrap_err();
    assert!(error.to_string().starts_with(&path.display().to_string()), "{error}");
    assert!(Ledger::open(Path::new("no/such/folder/a.sqlite")).is_err());
}

/// A thousand items, three replies in ten spoilt: all are answered or reported, and no reply is given twice.
#[test]
fn a_thousand_items_survive_a_bad_server() {
    let given: &'static Mutex<HashMap<String, usize>> = Box::leak(Box::default());
    let server = Server::start(move |number, body| match number * 7 % 20 {
        0 | 1 => Reply::Later(429, 0.001),
        2 => Reply::Send(500, "oops".into()),
        3 => Reply::Send(200, completion("cut").to_string()[..40].into()),
        4 => Reply::Break("{".into()),
        // Few enough that waiting for them takes no more than seconds.
        5 if number < 400 => Reply::Wait(Duration::from_secs(60)),
        5 => Reply::Wait(Duration::ZERO),
        _ => {
            let text = body["messages"][0]["content"].as_str().unwrap().to_owned();
            *given.lock().unwrap().entry(text).or_insert(0) += 1;
            echo(body)
        }
    });
    let mut settings = settings(&server);
    settings.patience.timeout = Duration::from_secs(2);
    settings.num_parallel = 32;
    let endpoint = endpoint(settings);
    let (mut done, mut failed) = (vec![false; 1000], vec![]);
    endpoint.chat_all(
        1000,
        |index| Ok(call(&index.to_string())),
        |index, answered| match answered {
            Ok(answered) => {
                assert_eq!(answered.reply.text(), index.to_string());
                assert!(!std::mem::replace(&mut done[index], true));
            }
            Err(error) => failed.push((index, error.to_string())),
        },
    );
    assert_eq!(done.iter().filter(|done| **done).count() + failed.len(), 1000);
    assert!(failed.iter().all(|(_, error)| error.contains("no reply in 3 tries")), "{failed:?}");
    let given = given.lock().unwrap();
    assert!(given.values().all(|&times| times == 1), "paid twice");
}
