//! A model that is no model: for tests, and for trying a pipeline out.

use crate::respond::{Done, Failure, Request, Respond, Response};

/// Says what a function makes of a request, and counts.
#[derive(Debug)]
pub struct Scripted<F> {
    /// What it says.
    pub say: F,
    /// How often it was asked.
    pub num_requests: usize,
}

impl<F: FnMut(&Request<'_>) -> Result<String, Failure>> Scripted<F> {
    /// A model that has not been asked yet.
    pub fn new(say: F) -> Self {
        Self { say, num_requests: 0 }
    }
}

impl<F: FnMut(&Request<'_>) -> Result<String, Failure>> Respond for Scripted<F> {
    fn identity(&self) -> String {
        "scripted".to_owned()
    }

    fn respond(&mut self, requests: &[Request<'_>], done: &mut Done<'_>) {
        for (index, request) in requests.iter().enumerate() {
            self.num_requests += 1;
            let said = (self.say)(request).map(|text| Response {
                completion_tokens: text.split_whitespace().count() as u64,
                text,
                model: "scripted".to_owned(),
                ..Response::default()
            });
            done(index, said);
        }
    }
}
