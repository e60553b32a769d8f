//! Servers on free ports of this machine, asked as their clients would.

mod chat;
mod scores;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use serde_json::Value;
use serve::{Served, Settings, serve_until};
use tokio::sync::oneshot::{Sender, channel};
use ureq::Agent;

/// Other crates' golden cases; the checkpoints are too large to keep twice.
fn golden(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// A server, ended when dropped.
struct Server {
    address: SocketAddr,
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start(served: Served, settings: Settings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (end, ended) = channel();
        let until = async move {
            let _: Result<(), _> = ended.await;
        };
        // As the binary has it: by a worker of the kernels' pool, which may be the only one.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool");
        let work = move || {
            let serve = || serve_until(listener, served, settings, until);
            pool.install(serve).expect("the server ends well");
        };
        Self { address, end: Some(end), thread: Some(std::thread::spawn(work)) }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Status and body of the reply.
    fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.post_with(path, body, &[])
    }

    fn post_with(&self, path: &str, body: &Value, headers: &[(&str, &str)]) -> (u16, Value) {
        let (status, text) = self.post_text(path, &body.to_string(), headers);
        (status, serde_json::from_str(&text).unwrap_or(Value::from(text)))
    }

    fn post_text(&self, path: &str, body: &str, headers: &[(&str, &str)]) -> (u16, String) {
        let request = agent().post(self.url(path)).content_type("application/json");
        let request =
            headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let mut reply = request.send(body).expect("a reply");
        (reply.status().as_u16(), reply.body_mut().read_to_string().expect("a body"))
    }

    fn get(&self, path: &str) -> (u16, String) {
        let mut reply = agent().get(self.url(path)).call().expect("a reply");
        (reply.status().as_u16(), reply.body_mut().read_to_string().expect("a body"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(end) = self.end.take() {
            let _ = end.send(());
        }
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking());
        }
    }
}

fn agent() -> Agent {
    Agent::config_builder().http_status_as_error(false).build().new_agent()
}

/// The file as a data URL.
fn data_url(path: &Path) -> String {
    openai::data_url(path.to_str().expect("plain text"), Path::new("")).expect("an image")
}
