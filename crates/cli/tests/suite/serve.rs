//! `serve`: the binary listens, answers, and ends well when told to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::models::{golden, vlm};
use crate::run::{binary, fail, text};

/// A server on a free port, killed when dropped.
struct Server {
    child: Child,
    address: String,
    said: String,
}

impl Server {
    fn start(arguments: &[&str]) -> Self {
        let arguments = [&["serve", "--port", "0"], arguments].concat();
        let mut child = binary(&arguments).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut said = String::new();
        let stdout = child.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut said).expect("a line");
        let address = said.strip_prefix("http://").expect("an address").split(": ").next();
        let address = address.expect("an address").to_owned();
        Self { child, address, said }
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        let (body, host) = (body.to_string(), &self.address);
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len(),
        )
        .expect("it listens");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).expect("it answers");
        let (_, body) = reply.split_once("\r\n\r\n").expect("a body");
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {reply}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_model_answers_over_http_until_it_is_told_to_end() {
    let model = vlm();
    let mut server = Server::start(&["--model", text(&model), "--served-model-name", "tiny"]);
    assert!(server.said.contains(": tiny at /v1/chat/completions"), "{}", server.said);
    let request = json!({
        "model": "tiny", "max_tokens": 4, "temperature": 0, "messages": [{ "role": "user", "content": "3 + 4?" }],
    });
    let reply = server.post("/v1/chat/completions", &request);
    assert_eq!(reply["usage"]["completion_tokens"], 4, "{reply}");
    let kill = Command::new("kill").arg(server.child.id().to_string()).status().unwrap();
    assert!(kill.success() && server.child.wait().unwrap().success());
}

#[test]
fn a_reward_model_scores_over_http() {
    let model = golden("reward-tiny");
    let server = Server::start(&["--model", text(&model)]);
    assert!(server.said.contains("reward-tiny at /score, /classify, /pooling"), "{}", server.said);
    let query = json!({ "text_1": "3 + 4?", "text_2": ["7", "8"] });
    let reply = server.post("/score", &query);
    assert_eq!(reply["data"].as_array().map(Vec::len), Some(2), "{reply}");
}

#[test]
fn what_cannot_be_served_is_said() {
    let model = vlm();
    let arguments = ["serve", "--model", text(&model)];
    let with = |more: &[&'static str]| [&arguments[..], more].concat();
    fail(&with(&["--api-key-env", "NO_SUCH_VARIABLE"]), 1, &["NO_SUCH_VARIABLE"]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let message = format!("cannot listen on 127.0.0.1:{port}");
    fail(&[&arguments[..], &["--port", &port]].concat(), 1, &[&message]);
    fail(&["serve", "--port", "0", "--model", "/nonexistent"], 1, &["/nonexistent"]);
}
