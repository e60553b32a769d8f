//! What a server allows.

use std::time::Duration;

use openai::ApiKey;

/// Most tokens of a completion by default.
pub const MAX_NEW_TOKENS: usize = 2048;
/// Requests at once by default.
pub const MAX_REQUESTS: usize = 256;
/// The largest body by default.
const MAX_BODY_BYTES: usize = 64 << 20;

/// How long requests under way may go on by default, once the server is to end.
const GRACE: Duration = Duration::from_secs(30);

/// What a server allows, and what it is called.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The model's name in requests and replies.
    pub name: String,
    /// The key that requests must bring as a bearer token; none asks for none.
    pub api_key: Option<ApiKey>,
    /// Most tokens of a completion where a request does not say.
    pub max_new_tokens: usize,
    /// Whether a thought is told apart from the answer, as `reasoning_content`.
    pub separate_reasoning: bool,
    /// Memory for keys and values.
    pub cache_bytes: usize,
    /// Requests that are answered or wait at once; further ones are refused.
    pub max_requests: usize,
    /// The largest body, in bytes, images included.
    pub max_body_bytes: usize,
    /// How long requests under way may go on once the server is to end.
    pub grace: Duration,
}

impl Settings {
    /// No key, thoughts as they are, half a gibibyte of keys and values, bodies of 64 MiB, half a minute to end.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            api_key: None,
            max_new_tokens: MAX_NEW_TOKENS,
            separate_reasoning: false,
            cache_bytes: rollout::CACHE_BYTES,
            max_requests: MAX_REQUESTS,
            max_body_bytes: MAX_BODY_BYTES,
            grace: GRACE,
        }
    }
}
