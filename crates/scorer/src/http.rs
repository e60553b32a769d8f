//! Asking the server: in parallel, again after trouble, and never for ever.

use std::time::Duration;

use openai::{ApiKey, Patience, Transport};
use reward::{Asked, ScoreError, Scorer};
use serde_json::Value;

use crate::body::Turns;
use crate::own::{self, ImagesAs};
use crate::{Error, reply};

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
    pub api_key: Option<ApiKey>,
    /// Longest wait for one reply.
    pub timeout: Duration,
    /// How often a request is sent before its scorer counts as unreachable.
    pub max_tries: usize,
    /// The wait before the second try; it doubles with each, less up to half of it by chance.
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
    transport: Transport,
}

impl HttpScorer {
    /// A scorer that has not been asked yet.
    ///
    /// # Errors
    /// When the address names no route.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        let route = settings.route()?;
        Self::on(route, settings)
    }

    /// A reward of the user's own behind any address; the model's name is not used.
    ///
    /// # Errors
    /// When the address is not one of HTTP.
    pub fn own(settings: Settings) -> Result<Self, Error> {
        match settings.url.starts_with("http://") || settings.url.starts_with("https://") {
            true => Self::on(Route::Own, settings),
            false => Err(Error::OwnUrl { url: settings.url }),
        }
    }

    fn on(route: Route, settings: Settings) -> Result<Self, Error> {
        let patience = Patience {
            timeout: settings.timeout,
            max_tries: settings.max_tries,
            first_wait: settings.first_wait,
            max_reply_bytes: settings.max_reply_bytes,
        };
        let transport = Transport::new(&settings.url, settings.api_key.clone(), patience)?;
        Ok(Self { settings, route, transport })
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
        let bytes = self.transport.post(&body.to_string())?;
        let reply = serde_json::from_slice(&bytes).map_err(|error| error.to_string());
        reply
            .and_then(|reply| read(&reply))
            .map_err(|reason| self.transport.misread(reason, &bytes).into())
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
