//! Asking the server: in parallel, again after trouble, and never for ever.

use std::sync::atomic::{AtomicBool, Ordering};

use openai::{ApiKey, Patience, Transport, in_parallel};
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
    /// How long and how often the server is asked.
    pub patience: Patience,
    /// Requests on the way at once.
    pub num_parallel: usize,
}

impl Settings {
    /// No key, eight requests at once.
    pub fn new(url: &str, model: &str) -> Self {
        Self {
            url: url.to_owned(),
            model: model.to_owned(),
            api_key: None,
            patience: Patience::default(),
            num_parallel: 8,
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
        Self::on(Route::Own, settings)
    }

    fn on(route: Route, settings: Settings) -> Result<Self, Error> {
        let transport = Transport::new(&settings.url, settings.api_key.clone(), settings.patience)?;
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

    /// One request for each response, `num_parallel` of them at once, and no more after one that failed.
    fn each(
        &self,
        responses: &[&str],
        ask: impl Fn(&str) -> Result<f64, Error> + Sync,
    ) -> Result<Vec<f64>, Error> {
        let has_failed = AtomicBool::new(false);
        let one = |index: usize| {
            let score = (!has_failed.load(Ordering::Relaxed)).then(|| ask(responses[index]));
            has_failed.fetch_or(matches!(score, Some(Err(_))), Ordering::Relaxed);
            score
        };
        let mut scores = vec![0.0; responses.len()];
        let mut failure = None;
        in_parallel(responses.len(), self.settings.num_parallel, one, |index, score| match score {
            Some(Ok(score)) => scores[index] = score,
            Some(Err(error)) => failure = failure.take().or(Some(error)),
            None => {}
        });
        failure.map_or(Ok(scores), Err)
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
