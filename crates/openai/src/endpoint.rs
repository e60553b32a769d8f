//! A model behind a server: asked in parallel, within a budget, and never twice for the same.

use std::collections::HashSet;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use judge::estimate_text;
use sha2::{Digest as _, Sha256};

use crate::account::Account;
use crate::content::without_image_bytes;
use crate::parallel::in_parallel;
use crate::wire::{Content, Part};
use crate::{
    ApiKey, Attempt, Budget, ChatReply, ChatRequest, Error, ErrorBody, Ledger, Outcome, Patience,
    Prices, Spending, Transport, Trouble, Usage,
};

/// Longest wait for a completion: that of OpenAI's own clients.
const REPLY_TIMEOUT: Duration = Duration::from_secs(600);
/// Tokens around each turn.
const TURN_TOKENS: u64 = 8;
/// Tokens of a completion without a limit, for the estimate.
const UNLIMITED: u64 = 4096;

/// Where a model is, how patiently it is asked, and what that may cost.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The address before `/chat/completions`, such as `https://api.openai.com/v1`.
    pub base_url: String,
    /// The model's name on the server.
    pub model: String,
    /// Sent as a bearer token.
    pub api_key: Option<ApiKey>,
    /// How long and how often the server is asked.
    pub patience: Patience,
    /// Requests on the way at once.
    pub num_parallel: usize,
    /// What tokens cost.
    pub prices: Prices,
    /// What may be spent, earlier runs on the same ledger included.
    pub budget: Budget,
    /// Tokens an image is taken to have before the server has counted them.
    pub image_tokens: u64,
    /// Send `max_completion_tokens` in place of `max_tokens`.
    pub has_completion_limit: bool,
    /// Send neither temperature nor `top_p`.
    pub has_fixed_sampling: bool,
}

impl Settings {
    /// No key, eight requests at once, no budget, no prices; ten minutes for a reply, since thoughts are long.
    pub fn new(base_url: &str, model: &str) -> Self {
        Self {
            base_url: base_url.to_owned(),
            model: model.to_owned(),
            api_key: None,
            patience: Patience { timeout: REPLY_TIMEOUT, ..Patience::default() },
            num_parallel: 8,
            prices: Prices::default(),
            budget: Budget::default(),
            image_tokens: 1105,
            has_completion_limit: false,
            has_fixed_sampling: false,
        }
    }
}

impl Settings {
    /// What names the model behind the endpoint: its replies are its own.
    pub fn identity(&self) -> String {
        format!("{} {}", self.base_url.trim_end_matches('/'), self.model)
    }
}

/// A request and the prompt that made it.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// Name and version of the prompt, for the audit.
    pub prompt_version: &'a str,
    /// What is asked; the endpoint puts its own model in.
    pub request: ChatRequest,
}

/// A reply, and how it was come by.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    /// The reply.
    pub reply: ChatReply,
    /// What it took, by the server's count or by ours when it gives none.
    pub usage: Usage,
    /// What that cost, whenever it was paid.
    pub cost: f64,
    /// Whether it was in the ledger, so that nothing was sent.
    pub is_stored: bool,
}

/// A model behind a server.
#[derive(Debug)]
pub struct Endpoint {
    settings: Settings,
    transport: Transport,
    ledger: Ledger,
    account: Account,
    /// Hashes of requests on the way: their equals wait for them.
    flying: Mutex<HashSet<String>>,
    landed: Condvar,
    /// Why nothing more is sent.
    stopped: OnceLock<String>,
}

impl Endpoint {
    /// An endpoint that has not been asked yet.
    ///
    /// # Errors
    /// When the address is none, or the ledger cannot be read.
    pub fn new(settings: Settings, ledger: Ledger) -> Result<Self, Error> {
        let url = format!("{}/chat/completions", settings.base_url.trim_end_matches('/'));
        let transport = Transport::new(&url, settings.api_key.clone(), settings.patience)?;
        let account = Account::new(settings.budget, ledger.spent()?);
        let (flying, landed, stopped) = (Mutex::default(), Condvar::new(), OnceLock::new());
        Ok(Self { settings, transport, ledger, account, flying, landed, stopped })
    }

    /// The settings it was made with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Where its attempts are kept.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Spent so far, earlier runs on the same ledger included.
    pub fn spent(&self) -> Spending {
        self.account.spent()
    }

    /// The reply to a request: from the ledger, or else from the server. After an error that is
    /// [final](Error::is_final) nothing more is sent, and only stored replies are given.
    ///
    /// # Errors
    /// When no reply could be had, or the budget does not allow the request.
    pub fn chat(&self, call: &Call<'_>) -> Result<Answered, Error> {
        let request = ChatRequest { model: self.settings.model.clone(), ..call.request.clone() };
        let body = serde_json::to_string(&request).expect("a request has a JSON form");
        let hash = self.hash(&body);
        let _flight = self.take_off(&hash);
        if let Some(stored) = self.ledger.reply(&hash)? {
            let reply = serde_json::from_str(&stored)
                .map_err(|e| self.transport.misread(e.to_string(), stored.as_bytes()))?;
            return Ok(self.answered(reply, &request, true));
        }
        if let Some(reason) = self.stopped.get() {
            return Err(Error::Stopped { reason: reason.clone() });
        }
        let kept = without_image_bytes(request.clone());
        let kept = serde_json::to_string(&kept).expect("a request has a JSON form");
        let asked = Asked { hash: &hash, body: &body, kept: &kept, request: &request, call };
        let answered = self.transport.persist(&body, |attempt| self.attempt(&asked, attempt));
        answered.inspect_err(|error| {
            if error.is_final() {
                // The first reason is the one that is told.
                drop(self.stopped.set(error.to_string()));
            }
        })
    }

    /// Replies to requests, `num_parallel` of them on the way at once; each is made when its turn comes, and given to
    /// `on_done` with its number as it is answered.
    pub fn chat_all<'a>(
        &self,
        num_calls: usize,
        make: impl Fn(usize) -> Result<Call<'a>, Error> + Sync,
        on_done: impl FnMut(usize, Result<Answered, Error>),
    ) {
        let ask = |index| make(index).and_then(|call| self.chat(&call));
        in_parallel(num_calls, self.settings.num_parallel, ask, on_done);
    }

    /// What a request may take at most, as far as can be told before it is sent.
    pub fn estimate(&self, request: &ChatRequest) -> Usage {
        let part = |part: &Part| match part {
            Part::Text { text } => estimate_text(text),
            Part::ImageUrl { .. } => self.settings.image_tokens,
        };
        let turn = |content: &Option<Content>| match content {
            Some(Content::Text(text)) => estimate_text(text),
            Some(Content::Parts(parts)) => parts.iter().map(part).sum(),
            None => 0,
        };
        let prompt_tokens = request.messages.iter().map(|m| turn(&m.content) + TURN_TOKENS).sum();
        let each = request.token_limit().map_or(UNLIMITED, u64::from);
        let completion_tokens = each * u64::from(request.n.unwrap_or(1));
        Usage { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens }
    }

    /// One request on the wire, written down whatever comes of it.
    fn attempt(&self, asked: &Asked<'_>, attempt: usize) -> Result<Answered, Trouble> {
        let most = self.settings.prices.spending(self.estimate(asked.request));
        self.account.reserve(most).map_err(Trouble::Lasting)?;
        let came = self.transport.post_once(asked.body).and_then(|bytes| self.read(&bytes));
        let (outcome, usage) = match &came {
            Ok((reply, _)) => (Outcome::Reply, self.usage(reply, asked.request)),
            Err(trouble) if may_be_charged(trouble) => {
                (Outcome::Uncertain, self.estimate(asked.request))
            }
            Err(_) => (Outcome::Failed, Usage::default()),
        };
        self.account.settle(most, self.settings.prices.spending(usage));
        let (status, raw) = match &came {
            Ok((_, raw)) => (Some(200), raw.clone()),
            Err(Trouble::Passing { reason, status, .. }) => (*status, reason.clone()),
            Err(Trouble::Lasting(error)) => (None, error.to_string()),
        };
        let record = Attempt {
            hash: asked.hash,
            body: asked.kept,
            prompt_version: asked.call.prompt_version,
            url: self.transport.url(),
            model: &self.settings.model,
            seed: asked.request.seed,
            attempt,
            outcome,
            status,
            usage,
            cost: self.settings.prices.cost(usage),
            raw: &raw,
        };
        self.ledger.record(&record).map_err(Trouble::Lasting)?;
        came.map(|(reply, _)| self.answered(reply, asked.request, false))
    }

    /// A reply and its text. One that was cut off is trouble that passes, and so is an error in its place.
    fn read(&self, bytes: &[u8]) -> Result<(ChatReply, String), Trouble> {
        let raw = String::from_utf8_lossy(bytes).into_owned();
        match serde_json::from_str(&raw) {
            Ok(reply) => Ok((reply, raw)),
            Err(error) if error.is_data() => match serde_json::from_str::<ErrorBody>(&raw) {
                Ok(body) => Err(Trouble::spoilt(body.error.message)),
                Err(_) => Err(Trouble::Lasting(self.transport.misread(error.to_string(), bytes))),
            },
            Err(error) => {
                Err(Trouble::spoilt(self.transport.misread(error.to_string(), bytes).to_string()))
            }
        }
    }

    fn answered(&self, reply: ChatReply, request: &ChatRequest, is_stored: bool) -> Answered {
        let usage = self.usage(&reply, request);
        Answered { cost: self.settings.prices.cost(usage), reply, usage, is_stored }
    }

    /// The server's count, as far as the ledger can hold it, or ours where it gives none.
    fn usage(&self, reply: &ChatReply, request: &ChatRequest) -> Usage {
        let most = |tokens: u64| tokens.min(i64::MAX.cast_unsigned());
        let counted = |usage: Usage| Usage {
            prompt_tokens: most(usage.prompt_tokens),
            completion_tokens: most(usage.completion_tokens),
            total_tokens: most(usage.total_tokens),
        };
        reply.usage.map(counted).unwrap_or_else(|| {
            let completion_tokens = estimate_text(reply.text());
            let prompt_tokens = self.estimate(request).prompt_tokens;
            let total_tokens = prompt_tokens + completion_tokens;
            Usage { prompt_tokens, completion_tokens, total_tokens }
        })
    }

    /// What names a request: who is asked, and every byte of what.
    fn hash(&self, body: &str) -> String {
        let hash = Sha256::new().chain_update(self.transport.url()).chain_update("\n");
        stages::hex(&hash.chain_update(body).finalize())
    }

    /// Waits until no equal request is on its way.
    fn take_off<'a>(&'a self, hash: &'a str) -> Flight<'a> {
        let mut flying = self.flying();
        while !flying.insert(hash.to_owned()) {
            flying = self.landed.wait(flying).unwrap_or_else(PoisonError::into_inner);
        }
        Flight { endpoint: self, hash }
    }

    fn flying(&self) -> MutexGuard<'_, HashSet<String>> {
        self.flying.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request, as it is sent.
struct Asked<'a> {
    hash: &'a str,
    body: &'a str,
    /// The body as the ledger keeps it.
    kept: &'a str,
    request: &'a ChatRequest,
    call: &'a Call<'a>,
}

/// A request on its way, until it is dropped.
struct Flight<'a> {
    endpoint: &'a Endpoint,
    hash: &'a str,
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.endpoint.flying().remove(self.hash);
        self.endpoint.landed.notify_all();
    }
}

/// Whether the server may have done the work though we have no reply: it was silent, or began to speak.
fn may_be_charged(trouble: &Trouble) -> bool {
    match trouble {
        Trouble::Passing { may_be_charged, .. } => *may_be_charged,
        Trouble::Lasting(error) => matches!(error, Error::Reply { .. }),
    }
}
