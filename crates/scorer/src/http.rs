//! Asking the server: in parallel, again after trouble, and never for ever.

use std::time::Duration;

use reward::{Asked, ScoreError, Scorer};
use serde_json::Value;
use ureq::Agent;

use crate::body::Turns;
use crate::error::excerpt;
use crate::own::{self, ImagesAs};
use crate::{Error, reply};

/// A server that does not answer the telephone.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Waits between tries grow up to this.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Which of vLLM's routes is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// `/score`: a query and its documents, in one request.
    Score,
    /// `/classify`: a conversation, for `*ForSequenceClassification` with one class.
    Classify,
    /// `/pooling`: a conversation, for a reward model that gives a number for each token.
    Pooling,
    /// None of vLLM's: a server of the user's own, which is sent the data set's line with the responses as
    /// `completions`, images as data URLs, and replies `{"rewards": […]}`.
    Own,
}

/// Where the scorer is and how patiently it is asked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The whole address; its last segment is the route.
    pub url: String,
    /// The model's name on the server.
    pub model: String,
    /// Sent as a bearer token.
    pub api_key: Option<String>,
    /// Longest wait for one reply.
    pub timeout: Duration,
    /// How often a request is sent before its scorer counts as unreachable.
    pub max_tries: usize,
    /// The wait before the second try; it doubles with each.
    pub first_wait: Duration,
    /// Requests on the way at once.
    pub num_parallel: usize,
    /// Longest reply that is read, in bytes.
    pub max_reply_bytes: u64,
}

impl Settings {
    /// A minute for a reply, five tries, eight requests at once, a mebibyte of reply.
    pub fn new(url: &str, model: &str) -> Self {
        Self {
            url: url.to_owned(),
            model: model.to_owned(),
            api_key: None,
            timeout: Duration::from_secs(60),
            max_tries: 5,
            first_wait: Duration::from_secs(1),
            num_parallel: 8,
            max_reply_bytes: 1 << 20,
        }
    }

    /// The route that the address names.
    ///
    /// # Errors
    /// When it names none.
    pub fn route(&self) -> Result<Route, Error> {
        let is_http = self.url.starts_with("http://") || self.url.starts_with("https://");
        match self.url.rsplit('/').next() {
            Some("score") if is_http => Ok(Route::Score),
            Some("classify") if is_http => Ok(Route::Classify),
            Some("pooling") if is_http => Ok(Route::Pooling),
            _ => Err(Error::Url { url: self.url.clone() }),
        }
    }
}

/// A reward model behind a server.
#[derive(Debug)]
pub struct HttpScorer {
    settings: Settings,
    route: Route,
    agent: Agent,
}

/// What a try came to, when it did not come to a reply.
enum Trouble {
    /// Another try may help.
    Passing(String),
    /// It will not.
    Lasting(Error),
}

impl HttpScorer {
    /// A scorer that has not been asked yet.
    ///
    /// # Errors
    /// When the address names no route.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        let route = settings.route()?;
        Ok(Self::on(route, settings))
    }

    /// A reward of the user's own behind any address; the model's name is not used.
    ///
    /// # Errors
    /// When the address is not one of HTTP.
    pub fn own(settings: Settings) -> Result<Self, Error> {
        match settings.url.starts_with("http://") || settings.url.starts_with("https://") {
            true => Ok(Self::on(Route::Own, settings)),
            false => Err(Error::OwnUrl { url: settings.url }),
        }
    }

    fn on(route: Route, settings: Settings) -> Self {
        let config = Agent::config_builder()
            .timeout_connect(Some(CONNECT_TIMEOUT.min(settings.timeout)))
            .timeout_global(Some(settings.timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent("sightline")
            .build();
        Self { settings, route, agent: config.new_agent() }
    }

    fn ask(&self, asked: &Asked<'_>, responses: &[&str]) -> Result<Vec<f64>, Error> {
        let model = &self.settings.model;
        let each = |read: fn(&Value) -> Result<f64, String>| {
            let turns = Turns::read(asked)?;
            self.each(responses, |one| self.post(&turns.conversation(model, one), read))
        };
        match self.route {
            Route::Score => {
                let body = Turns::read(asked)?.query(model, responses);
                self.post(&body, |reply| reply::scores(reply, responses.len()))
            }
            Route::Classify => each(reply::class),
            Route::Pooling => each(reply::pooled),
            Route::Own => {
                let body = own::question(asked, responses, ImagesAs::DataUrls)?;
                self.post(&body, own::rewards)
            }
        }
    }

    /// One request for each response, `num_parallel` of them at once.
    fn each(
        &self,
        responses: &[&str],
        ask: impl Fn(&str) -> Result<f64, Error> + Sync,
    ) -> Result<Vec<f64>, Error> {
        let share = responses.len().div_ceil(self.settings.num_parallel.max(1)).max(1);
        let ask = |part: &[&str]| part.iter().map(|one| ask(one)).collect();
        let parts: Vec<Result<Vec<f64>, Error>> = std::thread::scope(|scope| {
            let ask = &ask;
            let start = |part| scope.spawn(move || ask(part));
            let started: Vec<_> = responses.chunks(share).map(start).collect();
            started
                .into_iter()
                .map(|thread| thread.join().expect("asking does not panic"))
                .collect()
        });
        Ok(parts.into_iter().collect::<Result<Vec<_>, _>>()?.concat())
    }

    /// The scores that the server's reply holds.
    fn post<T>(
        &self,
        body: &Value,
        read: impl Fn(&Value) -> Result<T, String>,
    ) -> Result<T, Error> {
        let url = self.settings.url.clone();
        let bytes = self.persist(body)?;
        let reply = serde_json::from_slice(&bytes).map_err(|error| error.to_string());
        reply.and_then(|reply| read(&reply)).map_err(|reason| Error::Reply {
            url,
            reason,
            excerpt: excerpt(&bytes),
        })
    }

    /// Tries until a try succeeds, cannot be bettered, or is the last.
    fn persist(&self, body: &Value) -> Result<Vec<u8>, Error> {
        let (mut num_tries, mut wait) = (0, self.settings.first_wait);
        loop {
            num_tries += 1;
            match self.try_once(body) {
                Ok(bytes) => return Ok(bytes),
                Err(Trouble::Lasting(error)) => return Err(error),
                Err(Trouble::Passing(reason)) if num_tries >= self.settings.max_tries => {
                    let url = self.settings.url.clone();
                    return Err(Error::Unreachable { url, num_tries, reason });
                }
                Err(Trouble::Passing(_)) => std::thread::sleep(wait),
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// One request: the bytes of a successful reply.
    fn try_once(&self, body: &Value) -> Result<Vec<u8>, Trouble> {
        let passing = |error: ureq::Error| Trouble::Passing(error.to_string());
        let mut request =
            self.agent.post(&self.settings.url).header("content-type", "application/json");
        if let Some(key) = &self.settings.api_key {
            request = request.header("authorization", &format!("Bearer {key}"));
        }
        let mut response = request.send(body.to_string()).map_err(passing)?;
        let limit = self.settings.max_reply_bytes;
        let bytes = response.body_mut().with_config().limit(limit).read_to_vec();
        let url = || self.settings.url.clone();
        let bytes = match bytes {
            Err(ureq::Error::BodyExceedsLimit(_)) => {
                let reason = format!("the reply is longer than {limit} bytes");
                let error = Error::Reply { url: url(), reason, excerpt: String::new() };
                return Err(Trouble::Lasting(error));
            }
            bytes => bytes.map_err(passing)?,
        };
        match response.status().as_u16() {
            200..=299 => Ok(bytes),
            // Too slow, too many, or a server that may recover.
            status @ (408 | 429 | 500..) => {
                Err(Trouble::Passing(format!("status {status}: {}", excerpt(&bytes))))
            }
            status => Err(Trouble::Lasting(Error::Refused {
                url: url(),
                status,
                excerpt: excerpt(&bytes),
            })),
        }
    }
}

impl Scorer for HttpScorer {
    fn raw_scores(
        &mut self,
        asked: &Asked<'_>,
        responses: &[&str],
    ) -> Result<Vec<f64>, ScoreError> {
        self.ask(asked, responses).map_err(|error| ScoreError::Failed(Box::new(error)))
    }
}
