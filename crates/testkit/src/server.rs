//! A server in this process, which says what a test wants it to say.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;

/// What the server does with a request.
pub enum Reply {
    /// A status and a body.
    Send(u16, String),
    /// A status, the seconds of `Retry-After`, and no body.
    Later(u16, f64),
    /// Silence for so long.
    Wait(Duration),
    /// The connection is closed after this much of a longer body.
    Break(String),
}

impl Reply {
    /// A success with this body.
    pub fn json(body: &Value) -> Self {
        Self::Send(200, body.to_string())
    }
}

/// Heads and bodies of requests, in the order in which they came.
type Requests = Arc<Mutex<Vec<(String, Value)>>>;
type Answer = dyn Fn(usize, &Value) -> Reply + Send + Sync;

/// Speaks enough of HTTP for a client that sends JSON; ends with the test.
pub struct Server {
    /// `http://127.0.0.1:port`.
    pub address: String,
    requests: Requests,
}

impl Server {
    /// Answers requests, numbered from 0, each in its own thread.
    pub fn start(answer: impl Fn(usize, &Value) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let requests = Requests::default();
        let (log, answer) = (Arc::clone(&requests), Arc::new(answer) as Arc<Answer>);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                // A client that hung up is its own affair.
                std::thread::spawn(move || drop(converse(stream, &log, answer.as_ref())));
            }
        });
        Self { address: format!("http://{address}"), requests }
    }

    /// The requests so far.
    pub fn requests(&self) -> MutexGuard<'_, Vec<(String, Value)>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many came so far.
    pub fn num_requests(&self) -> usize {
        self.requests().len()
    }
}

/// One request and its reply; the connection is closed after it.
fn converse(
    mut stream: TcpStream,
    log: &Mutex<Vec<(String, Value)>>,
    answer: &Answer,
) -> std::io::Result<()> {
    let (head, body) = request(&mut BufReader::new(stream.try_clone()?))?;
    let number = {
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        log.push((head, body.clone()));
        log.len() - 1
    };
    let (status, more, text, missing) = match answer(number, &body) {
        Reply::Send(status, text) => (status, String::new(), text, 0),
        Reply::Later(status, seconds) => {
            (status, format!("retry-after: {seconds}\r\n"), String::new(), 0)
        }
        Reply::Break(text) => (200, String::new(), text, 100),
        Reply::Wait(time) => {
            std::thread::sleep(time);
            return Ok(());
        }
    };
    let length = text.len() + missing;
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n{more}connection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(text.as_bytes())
}

fn request(reader: &mut impl BufRead) -> std::io::Result<(String, Value)> {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a client knows the length of its body");
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok((head, serde_json::from_slice(&body)?))
}
