//! `/v1/chat/completions` against the reference, against itself in other company, and against bad clients.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use model::vlm::Vlm;
use openai::{ApiKey, Call, ChatRequest, Endpoint, Ledger, Message, Role};
use preprocess::Processor;
use serde_json::{Value, json};
use serve::{Served, Settings};
use tensor::DType;

use super::{Server, agent, data_url, golden};

const ROUTE: &str = "/v1/chat/completions";

fn start(settings: Settings) -> Server {
    let folder = golden("model/tests/golden/internvl-six-b");
    let vlm = Vlm::load(&folder, DType::F32).expect("the checkpoint loads");
    Server::start(
        Served::chat(vlm, Processor::load(&folder).expect("the tokenizer loads")),
        settings,
    )
}

fn text_request(text: &str, settings: &Value) -> Value {
    let mut request = json!({ "messages": [{ "role": "user", "content": text }] });
    let fields = settings.as_object().expect("as the API has it").clone();
    request.as_object_mut().expect("as the API has it").extend(fields);
    request
}

fn contents(reply: &Value) -> Vec<&str> {
    let choices = reply["choices"].as_array().unwrap_or_else(|| panic!("{reply}"));
    choices
        .iter()
        .map(|choice| choice["message"]["content"].as_str().expect("as the API has it"))
        .collect()
}

/// The request of the reference: an image of three tiles and a question.
fn picture_request() -> (Value, Value) {
    let reference = testkit::json(golden("model/tests/golden/internvl-six-b/reference.json"));
    let question =
        reference["question"].as_str().expect("as the API has it").replace("<image>\n", "");
    let image = data_url(&golden("preprocess/tests/golden/internvl-six-b/image.png"));
    let request = json!({
        "messages": [{ "role": "user", "content": [
            { "type": "image_url", "image_url": { "url": image } },
            { "type": "text", "text": question },
        ]}],
        "max_completion_tokens": 24,
        "temperature": 0,
    });
    (request, reference["greedy_text"].clone())
}

#[test]
fn a_picture_is_answered_as_the_reference_does() {
    let server = start(Settings::new("tiny"));
    let (request, expected) = picture_request();
    let (status, reply) = server.post(ROUTE, &request);
    assert_eq!(status, 200, "{reply}");
    let expected = expected.as_str().unwrap();
    assert!(contents(&reply)[0].ends_with(expected), "{reply}");
    assert_eq!(reply["choices"][0]["finish_reason"], "length");
    assert_eq!((&reply["model"], &reply["object"]), (&json!("tiny"), &json!("chat.completion")));
    assert_eq!(reply["usage"]["completion_tokens"], 24);
    let streamed = streamed(&server, &request);
    assert_eq!(streamed.contents, contents(&reply));
    assert_eq!(streamed.usage, reply["usage"]);
}

#[test]
fn a_thought_is_told_apart_where_it_is_wanted() {
    let (request, expected) = picture_request();
    let server = start(Settings { separate_reasoning: true, ..Settings::new("tiny") });
    let reply = server.post(ROUTE, &request).1;
    // The prompt opens the thought, and the reference does not end it.
    let message = &reply["choices"][0]["message"];
    assert_eq!(message["reasoning_content"], expected.as_str().unwrap().trim(), "{reply}");
    assert_eq!(message.get("content"), Some(&Value::Null), "{reply}");
    let streamed = streamed(&server, &request);
    assert_eq!(message["reasoning_content"], streamed.thoughts[0]);
    assert_eq!(streamed.contents, [""]);
}

/// What a stream said.
struct Streamed {
    contents: Vec<String>,
    thoughts: Vec<String>,
    reasons: Vec<Value>,
    num_pieces: usize,
    usage: Value,
}

fn streamed(server: &Server, request: &Value) -> Streamed {
    let mut request = request.clone();
    request["stream"] = json!(true);
    request["stream_options"] = json!({ "include_usage": true });
    let n = request["n"].as_u64().unwrap_or(1) as usize;
    let (status, text) = server.post_text(ROUTE, &request.to_string(), &[]);
    assert_eq!(status, 200, "{text}");
    let mut events: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    assert_eq!(events.pop(), Some("[DONE]"), "{text}");
    let mut streamed = Streamed {
        contents: vec![String::new(); n],
        thoughts: vec![String::new(); n],
        reasons: vec![Value::Null; n],
        num_pieces: 0,
        usage: Value::Null,
    };
    for event in events {
        let chunk: Value = serde_json::from_str(event).expect("as the API has it");
        assert_eq!(chunk["object"], "chat.completion.chunk");
        for choice in chunk["choices"].as_array().expect("as the API has it") {
            let index = choice["index"].as_u64().expect("as the API has it") as usize;
            assert!(streamed.reasons[index].is_null(), "{index} goes on after its end: {text}");
            let delta = |field: &str| choice["delta"][field].as_str().unwrap_or_default();
            streamed.contents[index] += delta("content");
            streamed.thoughts[index] += delta("reasoning_content");
            streamed.reasons[index] = choice["finish_reason"].clone();
            streamed.num_pieces += 1;
        }
        if chunk["choices"] == json!([]) {
            streamed.usage = chunk["usage"].clone();
        }
    }
    streamed
}

/// Requests that have nothing in common.
fn varied() -> Vec<Value> {
    let settings = [
        json!({ "temperature": 0, "max_tokens": 40 }),
        json!({ "seed": 1, "max_tokens": 9, "n": 3 }),
        json!({ "seed": 1, "temperature": 0.5, "top_p": 0.8, "max_tokens": 30 }),
        json!({ "temperature": 0, "repetition_penalty": 1.5, "max_tokens": 30 }),
        json!({ "seed": 7, "top_k": 5, "max_tokens": 25, "stop": "e" }),
        json!({ "seed": 9, "max_tokens": 1, "n": 2, "stop": ["a", "on"] }),
    ];
    let texts = ["What is it?", "Count.", "Say something long, please.", "Why?"];
    let of = |(i, settings): (usize, &Value)| text_request(texts[i % texts.len()], settings);
    let mut requests: Vec<Value> = settings.iter().enumerate().map(of).collect();
    requests.push(picture_request().0);
    requests
}

#[test]
fn company_changes_no_answer() {
    // Room for few: requests wait for rows, and for each other.
    let server = start(Settings { cache_bytes: 1 << 18, ..Settings::new("tiny") });
    let requests = varied();
    let alone: Vec<Value> =
        requests.iter().map(|request| server.post(ROUTE, request).1["choices"].clone()).collect();
    assert!(alone.iter().all(Value::is_array), "{alone:?}");
    std::thread::scope(|scope| {
        let again = |i: usize| {
            let (request, alone, server) = (&requests[i], &alone[i], &server);
            scope.spawn(move || {
                assert_eq!(server.post(ROUTE, request).1["choices"], *alone, "{request}");
                let streamed = streamed(server, request);
                let reply = json!({ "choices": alone });
                assert_eq!(streamed.contents, contents(&reply), "{request}");
                let reasons = alone.as_array().unwrap().iter().map(|c| c["finish_reason"].clone());
                assert_eq!(streamed.reasons, reasons.collect::<Vec<_>>());
            });
        };
        (0..3).flat_map(|_| 0..requests.len()).for_each(again);
    });
}

#[test]
fn a_stream_comes_in_pieces_that_hold_stop_strings_back() {
    let server = start(Settings::new("tiny"));
    let long = text_request("Say something.", &json!({ "temperature": 0, "max_tokens": 32 }));
    let whole = streamed(&server, &long);
    assert!(whole.num_pieces > 8, "{}", whole.num_pieces);
    // A text that the answer holds, cut inside it: none of it may have been told before it was known to be a stop.
    let text = &whole.contents[0];
    let start = text.floor_char_boundary(text.len() / 2);
    let stop: String = text[start..].chars().take(4).collect();
    let mut stopped = long.clone();
    stopped["stop"] = json!([stop]);
    let cut = streamed(&server, &stopped);
    let first = text.find(&stop).unwrap();
    assert_eq!((cut.contents[0].as_str(), &cut.reasons[0]), (&text[..first], &json!("stop")));
}

#[test]
fn our_own_client_reads_it() {
    let server = start(Settings::new("tiny"));
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&folder.path().join("ledger.sqlite")).unwrap();
    let endpoint =
        Endpoint::new(openai::Settings::new(&server.url("/v1"), "tiny"), ledger).unwrap();
    let messages = vec![Message::text(Role::User, "3 + 4?")];
    let request =
        ChatRequest { max_tokens: Some(8), temperature: Some(0.0), ..ChatRequest::new(messages) };
    let answered = endpoint.chat(&Call { prompt_version: "test/1", request }).unwrap();
    let plain = text_request("3 + 4?", &json!({ "temperature": 0, "max_tokens": 8 }));
    assert_eq!(answered.reply.text(), contents(&server.post(ROUTE, &plain).1)[0]);
}

#[test]
fn what_cannot_be_answered_is_refused_with_its_field() {
    let server = start(Settings { max_body_bytes: 1 << 16, ..Settings::new("tiny") });
    let with = |settings: Value| text_request("?", &settings);
    let image = |url: &str| {
        let part = json!({ "type": "image_url", "image_url": { "url": url } });
        json!({ "messages": [{ "role": "user", "content": [part] }] })
    };
    let picture = golden("preprocess/tests/golden/internvl-six-b/image.png");
    for (request, status, param) in [
        (with(json!({ "model": "other" })), 404, "model"),
        (with(json!({ "n": 0 })), 400, "n"),
        (with(json!({ "n": 1000 })), 400, "n"),
        (with(json!({ "temperature": -1 })), 400, "temperature"),
        (with(json!({ "stop": vec!["x"; 17] })), 400, "stop"),
        (with(json!({ "stop": "x".repeat(257) })), 400, "stop"),
        (with(json!({ "stop": ["x", ""] })), 400, "stop"),
        (with(json!({ "repetition_penalty": 1e-39 })), 400, "repetition_penalty"),
        (with(json!({ "top_p": 0 })), 400, "top_p"),
        (with(json!({ "max_tokens": 0 })), 400, "max_tokens"),
        (with(json!({ "tools": [{ "type": "function" }] })), 400, "tools"),
        (with(json!({ "logprobs": true })), 400, "logprobs"),
        (with(json!({ "stop_token_ids": [7] })), 400, "stop_token_ids"),
        (with(json!({ "temprature": 0.5 })), 400, "temprature"),
        (with(json!({ "max_tokens": "many" })), 400, "body"),
        (json!({ "messages": [] }), 400, "messages"),
        (json!({ "messages": [{ "role": "assistant", "content": "So" }] }), 400, "messages"),
        (json!({}), 400, "body"),
        (image(picture.to_str().unwrap()), 400, "messages"),
        (image("http://127.0.0.1:1/a.png"), 400, "messages"),
        (image("data:image/png;base64,AAAA"), 400, "messages"),
        (image("data:image/png;base64,?"), 400, "messages"),
        // A row for a feature that there is none of.
        (text_request("<IMG_CONTEXT> what?", &json!({})), 400, "messages"),
        (text_request(&"word ".repeat(9000), &json!({})), 400, "messages"),
    ] {
        let (found, reply) = server.post(ROUTE, &request);
        let shown: String = request.to_string().chars().take(200).collect();
        assert_eq!((found, &reply["error"]["param"]), (status, &json!(param)), "{shown}: {reply}");
        assert!(!reply["error"]["message"].as_str().unwrap().is_empty());
    }
    assert_eq!(server.post_text(ROUTE, "{", &[]).0, 400);
    assert_eq!(server.post(ROUTE, &text_request(&"word ".repeat(20_000), &json!({}))).0, 413);
    assert_eq!(server.get("/v1/other").0, 404);
    // What is harmless passes, and the server goes on.
    let harmless = with(json!({
        "max_tokens": 1, "top_k": -1, "tools": [], "tool_choice": "none", "logprobs": false,
        "response_format": { "type": "text" }, "user": "me", "frequency_penalty": 0, "seed": -1,
        "stop": "x".repeat(256),
    }));
    let (status, reply) = server.post(ROUTE, &harmless);
    assert_eq!(status, 200, "{reply}");
    // A tag in a text is text.
    let (status, reply) =
        server.post(ROUTE, &text_request("<image>?", &json!({ "max_tokens": 1 })));
    assert_eq!(status, 200, "{reply}");
}

/// A picture of one colour, as a data URL.
fn picture(width: u32, height: u32) -> String {
    let mut png = std::io::Cursor::new(Vec::new());
    let picture = image::GrayImage::new(width, height);
    picture.write_to(&mut png, image::ImageFormat::Png).expect("room in memory");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("picture.png");
    std::fs::write(&path, png.into_inner()).expect("room on disk");
    data_url(&path)
}

#[test]
fn a_picture_that_is_a_line_is_refused() {
    let server = start(Settings::new("tiny"));
    for (width, height, status) in [(100_000, 1, 400), (1, 300, 400), (100, 1, 200)] {
        let url = picture(width, height);
        let part = json!({ "type": "image_url", "image_url": { "url": url } });
        let messages = json!([{ "role": "user", "content": [part] }]);
        let (found, reply) = server.post(ROUTE, &json!({ "messages": messages, "max_tokens": 1 }));
        assert_eq!(found, status, "{reply}");
        let message = reply["error"]["message"].as_str().unwrap_or_default();
        assert_eq!(message.contains("a side over"), status == 400, "{reply}");
    }
}

#[test]
fn requests_without_a_seed_are_never_answered_alike() {
    let settings = |n: usize| json!({ "n": n, "max_tokens": 24 });
    let mut all: Vec<String> = Vec::new();
    for _ in 0..2 {
        let server = start(Settings::new("tiny"));
        for n in [4, 1, 1, 4, 1] {
            let reply = server.post(ROUTE, &text_request("Say something.", &settings(n))).1;
            all.extend(contents(&reply).into_iter().map(str::to_owned));
        }
    }
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 2 * 11);
}

#[test]
fn a_key_opens_all_but_health() {
    let settings = Settings { api_key: Some(ApiKey::new("sesame")), ..Settings::new("tiny") };
    let server = start(settings);
    let request = text_request("?", &json!({ "max_tokens": 1 }));
    for wrong in [&[][..], &[("authorization", "Bearer other!")], &[("authorization", "sesame")]] {
        let (status, reply) = server.post_with(ROUTE, &request, wrong);
        assert_eq!((status, &reply["error"]["type"]), (401, &json!("authentication_error")));
    }
    assert_eq!(server.post_with(ROUTE, &request, &[("authorization", "Bearer sesame")]).0, 200);
    assert_eq!((server.get("/health").0, server.get("/v1/models").0), (200, 401));
}

#[test]
fn a_full_server_refuses_and_a_client_that_goes_makes_room() {
    let server = start(Settings { max_requests: 1, ..Settings::new("tiny") });
    // Greedily this one never ends by itself: it would take its 4,000 tokens.
    let long = |limit: usize| {
        text_request("Say something.", &json!({ "temperature": 0, "max_tokens": limit }))
    };
    let whole = server.post(ROUTE, &long(1000)).1;
    assert_eq!(whole["choices"][0]["finish_reason"], "length");
    let mut body = long(4000);
    body["stream"] = json!(true);
    let body = body.to_string();
    let reader = first_event(begun(&server, &body, body.len()));
    let short = text_request("?", &json!({ "max_tokens": 1 }));
    let (status, reply) = server.post(ROUTE, &short);
    assert_eq!((status, &reply["error"]["type"]), (429, &json!("rate_limit_error")));
    let refused = agent().post(server.url(ROUTE)).send(short.to_string()).unwrap();
    assert_eq!(refused.headers()["retry-after"], "1");
    drop(reader);
    while server.post(ROUTE, &short).0 == 429 {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(server.post(ROUTE, &short).0, 200);
}

/// Sends the head of a request and some of its body.
fn begun(server: &Server, body: &str, length: usize) -> TcpStream {
    let mut client = TcpStream::connect(server.address).expect("a connection");
    write!(
        client,
        "POST {ROUTE} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}",
    )
    .expect("a server that listens");
    client
}

/// Reads a stream up to its first event.
fn first_event(client: TcpStream) -> BufReader<TcpStream> {
    let mut reader = BufReader::new(client);
    let mut line = String::new();
    while !line.starts_with("data: ") {
        line.clear();
        assert!(reader.read_line(&mut line).expect("a line") > 0, "the stream ended");
    }
    reader
}

#[test]
fn a_client_that_goes_while_it_is_told_nothing_makes_room() {
    // Two long answers do not have room at once: the second has nothing to tell but who speaks.
    let cache_bytes = 6000 * 768;
    let server = start(Settings { max_requests: 2, cache_bytes, ..Settings::new("tiny") });
    let long = json!({ "temperature": 0, "max_tokens": 4000, "stream": true });
    let long = text_request("Say something.", &long).to_string();
    let _first = first_event(begun(&server, &long, long.len()));
    drop(first_event(begun(&server, &long, long.len())));
    let short = text_request("?", &json!({ "max_tokens": 1 }));
    while server.post(ROUTE, &short).0 == 429 {
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn half_a_request_does_not_keep_the_server_from_ending() {
    let settings = Settings { grace: Duration::ZERO, ..Settings::new("tiny") };
    let server = start(settings);
    let _half = begun(&server, "{", 100);
    let long = text_request("?", &json!({ "temperature": 0, "max_tokens": 4000, "stream": true }));
    let long = long.to_string();
    let _long = first_event(begun(&server, &long, long.len()));
    // Ends here, or never.
    drop(server);
}

#[test]
fn the_model_is_named() {
    let server = start(Settings::new("tiny"));
    let mut reply = agent().get(server.url("/v1/models")).call().unwrap();
    let models: Value = serde_json::from_str(&reply.body_mut().read_to_string().unwrap()).unwrap();
    assert_eq!(models["data"][0]["id"], "tiny");
}
