//! What a server allows.

use openai::ApiKey;

/// What a server allows, and what it is called.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The model's name in requests and replies.
    pub name: String,
    /// The key that requests must bring as a bearer token; none asks for none.
    pub api_key: Option<ApiKey>,
    /// Most tokens of a completion where a request does not say.
    pub max_new_tokens: usize,
    /// Memory for keys and values.
    pub cache_bytes: usize,
    /// Requests that are answered or wait at once; further ones are refused.
    pub max_requests: usize,
    /// The largest body, in bytes, images included.
    pub max_body_bytes: usize,
}

impl Settings {
    /// No key, 2,048 tokens, half a gibibyte of keys and values, 256 requests, bodies of 64 MiB.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            api_key: None,
            max_new_tokens: 2048,
            cache_bytes: rollout::CACHE_BYTES,
            max_requests: 256,
            max_body_bytes: 64 << 20,
        }
    }
}
