//! A program of the user's own that scores: one JSON line in, one out, for as long as the run lasts.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use openai::excerpt;
use reward::{Asked, ScoreError, Scorer};
use serde_json::Value;

use crate::Error;
use crate::own::{ImagesAs, question, rewards};

/// Longest line that is read.
const MAX_LINE: u64 = 1 << 24;

/// A program that reads questions from its standard input and writes rewards to its standard output. What it writes to
/// standard error is shown as it is.
///
/// A program that answers late, wrongly or not at all is ended; the next question starts it again.
#[derive(Debug)]
pub struct ProcessScorer {
    command: Vec<String>,
    timeout: Duration,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    questions: ChildStdin,
    /// Lines of the program's output, read by a thread of their own so that waiting can end.
    replies: Receiver<std::io::Result<Vec<u8>>>,
}

impl ProcessScorer {
    /// A scorer whose program, with its arguments, starts at the first question and has `timeout` for each.
    ///
    /// # Errors
    /// Without a program.
    pub fn new(command: &[String], timeout: Duration) -> Result<Self, Error> {
        match command.first().is_some_and(|program| !program.is_empty()) {
            true => Ok(Self { command: command.to_vec(), timeout, running: None }),
            false => Err(Error::NoProgram),
        }
    }

    fn ask(&mut self, asked: &Asked<'_>, completions: &[&str]) -> Result<Vec<f64>, Error> {
        let question = question(asked, completions, ImagesAs::Paths)?;
        let mut running = match self.running.take() {
            Some(running) => running,
            None => self.start()?,
        };
        // Whatever goes wrong from here drops, and so ends, the program.
        let reply = self.converse(&mut running, &question)?;
        self.running = Some(running);
        Ok(reply)
    }

    fn converse(&self, running: &mut Running, question: &Value) -> Result<Vec<f64>, Error> {
        let line = format!("{question}\n");
        let sent = running.questions.write_all(line.as_bytes());
        sent.and_then(|()| running.questions.flush())
            .map_err(|error| self.ended(running, &error))?;
        let bytes = match running.replies.recv_timeout(self.timeout) {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(error)) => return Err(self.ended(running, &error)),
            Err(RecvTimeoutError::Timeout) => {
                return Err(Error::Slow {
                    command: self.name(),
                    seconds: self.timeout.as_secs_f64(),
                });
            }
            Err(RecvTimeoutError::Disconnected) => {
                let silent = std::io::Error::other("its output ended");
                return Err(self.ended(running, &silent));
            }
        };
        let reply = serde_json::from_slice(&bytes).map_err(|error| error.to_string());
        reply.and_then(|reply| rewards(&reply)).map_err(|reason| Error::Line {
            command: self.name(),
            reason,
            excerpt: excerpt(&bytes),
        })
    }

    fn start(&self) -> Result<Running, Error> {
        let started = Command::new(&self.command[0])
            .args(&self.command[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = started.map_err(|source| Error::Start { command: self.name(), source })?;
        let questions = child.stdin.take().expect("it is piped");
        let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
        let (send, replies) = channel();
        std::thread::spawn(move || {
            loop {
                let mut line = Vec::new();
                let read = (&mut output).take(MAX_LINE).read_until(b'\n', &mut line);
                let is_last = !matches!(read, Ok(count) if count > 0);
                let message = match read {
                    Ok(0) => return,
                    Ok(_) => Ok(line),
                    Err(error) => Err(error),
                };
                if send.send(message).is_err() || is_last {
                    return;
                }
            }
        });
        Ok(Running { child, questions, replies })
    }

    /// The error of a program that no longer talks, with how it ended where that is known.
    fn ended(&self, running: &mut Running, error: &std::io::Error) -> Error {
        // A moment for a program that has closed its output to end.
        std::thread::sleep(Duration::from_millis(50));
        let reason = match running.child.try_wait() {
            Ok(Some(status)) => status.to_string(),
            _ => error.to_string(),
        };
        Error::Ended { command: self.name(), reason }
    }

    fn name(&self) -> String {
        self.command.join(" ")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already, which is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Scorer for ProcessScorer {
    fn raw_scores(
        &mut self,
        asked: &Asked<'_>,
        responses: &[&str],
    ) -> Result<Vec<f64>, ScoreError> {
        self.ask(asked, responses).map_err(|error| ScoreError::Failed(Box::new(error)))
    }
}
