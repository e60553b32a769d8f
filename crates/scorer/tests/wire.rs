//! The scorer against a server in this process: what it sends, what it makes of replies, and of their absence.

#![expect(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]

use std::path::Path;
use std::time::{Duration, Instant};

use reward::{Asked, Scorer};
use schema::Sample;
use scorer::{HttpScorer, ProcessScorer, Settings};
use serde_json::{Value, json};
use testkit::{Reply, Server};

fn connect(server: &Server, route: &str) -> HttpScorer {
    HttpScorer::new(settings(server, route)).unwrap()
}

fn settings(server: &Server, route: &str) -> Settings {
    Settings {
        timeout: Duration::from_secs(20),
        max_tries: 3,
        first_wait: Duration::from_millis(1),
        ..Settings::new(&format!("{}/{route}", server.address), "rm")
    }
}

fn prompt() -> Sample {
    let prompt = json!({
        "messages": [
            { "role": "system", "content": "Be right." },
            { "role": "user", "content": "<image>\nWhat is it?" },
        ],
        "images": ["a.png"],
    });
    serde_json::from_value(prompt).unwrap()
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.png"), b"\x89PNG").unwrap();
    folder
}

fn ask(scorer: &mut HttpScorer, responses: &[&str]) -> Result<Vec<f64>, String> {
    let (prompt, folder) = (prompt(), folder());
    let asked = Asked { prompt: &prompt, folder: folder.path() };
    scorer.scores(&asked, responses).map_err(|error| error.to_string())
}

/// The score of a conversation by the length of its last turn.
fn length(body: &Value) -> f64 {
    -(body["messages"].as_array().unwrap().last().unwrap()["content"].as_str().unwrap().len()
        as f64)
}

#[test]
fn classify_and_pooling_send_whole_conversations() {
    for route in ["classify", "pooling"] {
        let server = Server::start(move |_, body| {
            let score = length(body);
            let data = match route {
                "classify" => json!({ "index": 0, "probs": [score], "num_classes": 1 }),
                _ => json!({ "index": 0, "object": "pooling", "data": [[9.0], [score]] }),
            };
            Reply::json(&json!({ "object": "list", "data": [data] }))
        });
        let responses: Vec<String> = (0..20).map(|n| "x".repeat(20 - n)).collect();
        let responses: Vec<&str> = responses.iter().map(String::as_str).collect();
        let want: Vec<f64> = (0..20).map(|n| n as f64 - 20.0).collect();
        assert_eq!(ask(&mut connect(&server, route), &responses), Ok(want), "{route}");
        let requests = server.requests();
        assert_eq!(requests.len(), 20);
        let (head, body) = &requests[0];
        assert!(head.starts_with(&format!("POST /{route} HTTP/1.1")), "{head}");
        assert!(!head.to_lowercase().contains("authorization"));
        let image = json!({ "type": "image_url", "image_url": { "url": "data:image/png;base64,iVBORw==" } });
        let text = json!({ "type": "text", "text": "What is it?" });
        assert_eq!(body["messages"][0], json!({ "role": "system", "content": "Be right." }));
        assert_eq!(body["messages"][1], json!({ "role": "user", "content": [image, text] }));
        assert_eq!(body["messages"][2]["role"], "assistant");
        assert_eq!((&body["model"], &body["use_activation"]), (&json!("rm"), &json!(false)));
        assert_eq!(body["add_generation_prompt"], false);
    }
}

#[test]
fn score_sends_one_query_and_its_documents() {
    let server = Server::start(|_, body| {
        let documents = body["text_2"].as_array().unwrap();
        let score = |(index, text): (usize, &Value)| json!({ "index": index, "score": text.as_str().unwrap().len() });
        let data: Vec<Value> = documents.iter().enumerate().map(score).rev().collect();
        Reply::json(&json!({ "data": data }))
    });
    let settings =
        Settings { api_key: Some(openai::ApiKey::new("secret")), ..settings(&server, "v1/score") };
    let mut scorer = HttpScorer::new(settings).unwrap();
    assert_eq!(ask(&mut scorer, &["a", "bbb"]), Ok(vec![1.0, 3.0]));
    let plain = Sample { messages: prompt().messages[..1].to_vec(), ..Sample::default() };
    let asked = Asked { prompt: &plain, folder: Path::new("") };
    assert_eq!(scorer.scores(&asked, &["cc"]).unwrap(), [2.0]);
    let requests = server.requests();
    assert!(requests[0].0.to_lowercase().contains("authorization: bearer secret"));
    assert_eq!(requests[0].1["text_1"]["content"].as_array().unwrap().len(), 3);
    assert_eq!(requests[1].1["text_1"], "Be right.");
}

#[test]
fn passing_trouble_is_tried_again() {
    let server = Server::start(|number, body| match number {
        0 => Reply::Send(503, "loading".into()),
        1 => Reply::Break(r#"{"data": [{"#.into()),
        _ => Reply::json(&json!({ "data": [{ "probs": [length(body)] }] })),
    });
    assert_eq!(ask(&mut connect(&server, "classify"), &["four"]), Ok(vec![-4.0]));
    assert_eq!(server.num_requests(), 3);
}

#[test]
fn lasting_trouble_is_not() {
    let server = Server::start(|_, _| Reply::Send(400, "no such model".into()));
    let error = ask(&mut connect(&server, "classify"), &["a"]).unwrap_err();
    assert!(error.ends_with("refused with status 400: no such model"), "{error}");
    assert_eq!(server.num_requests(), 1);
}

#[test]
fn a_server_in_trouble_ends_in_an_error() {
    let server = Server::start(|_, _| Reply::Send(500, "out of memory".into()));
    let error = ask(&mut connect(&server, "classify"), &["a"]).unwrap_err();
    assert!(error.ends_with("no reply in 3 tries: status 500: out of memory"), "{error}");
    assert_eq!(server.num_requests(), 3);
}

#[test]
fn silence_ends_at_the_time_limit() {
    let server = Server::start(|_, _| Reply::Wait(Duration::from_secs(30)));
    let timeout = Duration::from_millis(100);
    let settings = Settings { timeout, max_tries: 2, ..settings(&server, "pooling") };
    let start = Instant::now();
    let error = ask(&mut HttpScorer::new(settings).unwrap(), &["a"]).unwrap_err();
    assert!(error.contains("no reply in 2 tries") && error.contains("timeout"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn garbage_is_an_error_that_quotes_it() {
    let cases = [
        ("classify", "<html>", "expected value"),
        ("classify", "NaN", "expected value"),
        ("classify", r#"{"data":[{"probs":[NaN]}]}"#, "expected value"),
        ("classify", r#"{"data":[{"probs":["NaN"]}]}"#, "no number"),
        ("classify", r#"{"data":[{"probs":[1e999]}]}"#, "number out of range"),
        ("classify", r#"{"data":[]}"#, "`data` has 0 entries, expected 1"),
        ("pooling", r#"{"data":[{"data":[[1.0,2.0]]}]}"#, "2 numbers for a token"),
        ("score", r#"{"data":[{"score":1.0}, {"score":2.0}]}"#, "`data` has 2 entries, expected 1"),
    ];
    for (route, reply, want) in cases {
        let server = Server::start(move |_, _| Reply::Send(200, reply.to_owned()));
        let error = ask(&mut connect(&server, route), &["a"]).unwrap_err();
        assert!(error.contains(want) && error.contains(&format!("{reply:?}")), "{reply}: {error}");
    }
}

#[test]
fn replies_are_bounded() {
    let server = Server::start(|_, _| Reply::Send(200, "x".repeat(5000)));
    let settings = Settings { max_reply_bytes: 1000, ..settings(&server, "classify") };
    let error = ask(&mut HttpScorer::new(settings).unwrap(), &["a"]).unwrap_err();
    assert!(error.contains("the reply is longer than 1000 bytes"), "{error}");
}

#[test]
fn what_cannot_be_sent_is_an_error() {
    for url in ["localhost/score", "http://localhost/rerank", "ftp://localhost/score"] {
        let error = HttpScorer::new(Settings::new(url, "rm")).unwrap_err().to_string();
        assert!(error.starts_with(url), "{error}");
    }
    let prompt = prompt();
    let asked = Asked { prompt: &prompt, folder: Path::new("no/such") };
    let mut scorer = HttpScorer::new(Settings::new("http://127.0.0.1:9/score", "rm")).unwrap();
    let error = scorer.scores(&asked, &["a"]).unwrap_err().to_string();
    assert!(error.starts_with("no/such/a.png: "), "{error}");
}

/// A question with columns of its own.
fn own_question() -> Sample {
    let mut sample = prompt();
    sample.answer = Some("7".to_owned());
    sample.extra.insert("difficulty".to_owned(), json!(3));
    sample
}

#[test]
fn a_reward_of_ones_own_is_asked_with_the_line_and_its_images() {
    let folder = folder();
    let server = Server::start(|_, _| Reply::Send(200, r#"{"rewards": [1, -0.5]}"#.to_owned()));
    let mut scorer = HttpScorer::own(settings(&server, "any/where")).unwrap();
    let sample = own_question();
    let asked = Asked { prompt: &sample, folder: folder.path() };
    assert_eq!(scorer.scores(&asked, &["a", "b"]).unwrap(), [1.0, -0.5]);
    let (head, body) = server.requests()[0].clone();
    assert!(head.starts_with("POST /any/where "), "{head}");
    assert_eq!(body["completions"], json!(["a", "b"]));
    assert_eq!((&body["answer"], &body["difficulty"]), (&json!("7"), &json!(3)));
    assert!(body["images"][0].as_str().unwrap().starts_with("data:image/png;base64,"), "{body}");
    assert_eq!(body["messages"][1]["role"], "user");
    assert!(HttpScorer::own(Settings::new("ftp://x", "")).is_err());
}

/// A program in the shell that answers its lines as `script` says.
fn program(script: &str, timeout: Duration) -> ProcessScorer {
    ProcessScorer::new(&["sh", "-c", script].map(str::to_owned), timeout).unwrap()
}

#[test]
fn a_program_answers_line_by_line() {
    let folder = folder();
    let log = folder.path().join("log");
    let script = format!(
        "while read -r line; do printf '%s\\n' \"$line\" >> {}; echo '{{\"rewards\": [0.25, 2]}}'; done",
        log.display()
    );
    let mut scorer = program(&script, Duration::from_secs(20));
    let sample = own_question();
    let asked = Asked { prompt: &sample, folder: folder.path() };
    for _ in 0..3 {
        assert_eq!(scorer.scores(&asked, &["a\nb", "c"]).unwrap(), [0.25, 2.0]);
    }
    let text = std::fs::read_to_string(log).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3, "one program for all questions");
    let image = lines[0]["images"][0].as_str().unwrap();
    assert!(Path::new(image).is_absolute() && Path::new(image).is_file(), "{image}");
    assert_eq!(lines[0]["completions"].as_array().unwrap().len(), 2);
}

#[test]
fn programs_that_fail_are_named_and_ended() {
    let folder = folder();
    let sample = own_question();
    let asked = Asked { prompt: &sample, folder: folder.path() };
    let short = Duration::from_millis(300);
    for (script, words) in [
        ("sleep 60", "gave no answer within 0.3 s"),
        ("exit 3", "ended without an answer"),
        ("read -r line; echo nonsense", "its line begins \"nonsense"),
        ("read -r line; echo '{\"rewards\": [1]}'", "1 scores for 2 responses"),
        ("read -r line; echo '{\"error\": \"no picture\"}'", "it says: \"no picture\""),
    ] {
        let started = Instant::now();
        let error = program(script, short).scores(&asked, &["a", "b"]).unwrap_err().to_string();
        assert!(error.contains(words), "{script}: {error}");
        assert!(started.elapsed() < Duration::from_secs(30));
    }
    let missing = ["/no/such/program".to_owned()];
    let mut scorer = ProcessScorer::new(&missing, short).unwrap();
    let error = scorer.scores(&asked, &["a"]).unwrap_err().to_string();
    assert!(error.contains("`/no/such/program` cannot be started"), "{error}");
    assert!(ProcessScorer::new(&[], short).is_err());
}
