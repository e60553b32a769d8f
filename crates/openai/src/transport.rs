//! Asking a server: again after trouble, and never for ever.

use std::fmt;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use ureq::Agent;

use crate::Error;
use crate::error::excerpt;

/// A server that does not answer the telephone.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Waits between tries grow up to this.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// A server may ask for a longer wait, up to this.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(600);

/// A bearer token, which no message and no file of a run ever shows.
#[derive(Clone)]
pub struct ApiKey(String);

impl ApiKey {
    /// The key itself.
    pub fn new(key: &str) -> Self {
        Self(key.to_owned())
    }

    /// The key that an environment variable holds, without white space around it.
    ///
    /// # Errors
    /// When it is empty or not set, or holds what no header can carry.
    pub fn from_env(variable: &str) -> Result<Self, Error> {
        Self::read(variable, std::env::var(variable).ok().as_deref())
    }

    /// The key in the value of a variable.
    fn read(variable: &str, value: Option<&str>) -> Result<Self, Error> {
        let variable = variable.to_owned();
        match value.map(str::trim).filter(|key| !key.is_empty()) {
            None => Err(Error::NoKey { variable }),
            Some(key) if key.chars().any(char::is_control) => Err(Error::BadKey { variable }),
            Some(key) => Ok(Self::new(key)),
        }
    }

    /// Whether the value of an `Authorization` header brings this key. It takes as long for any wrong key of a length.
    pub fn is_borne_by(&self, header: &[u8]) -> bool {
        let Some(given) = header.strip_prefix(b"Bearer ") else { return false };
        let differences = given.iter().zip(self.0.as_bytes()).fold(0, |all, (a, b)| all | (a ^ b));
        given.len() == self.0.len() && differences == 0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

/// How long and how often a server is asked.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Longest wait for one reply.
    pub timeout: Duration,
    /// How often a request is sent before its server counts as unreachable.
    pub max_tries: usize,
    /// The wait before the second try; it doubles with each, less up to half of it by chance.
    pub first_wait: Duration,
    /// Longest reply that is read, in bytes.
    pub max_reply_bytes: u64,
}

impl Default for Patience {
    /// A minute for a reply, five tries, a second before the second, a mebibyte of reply.
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(60),
            max_tries: 5,
            first_wait: Duration::from_secs(1),
            max_reply_bytes: 1 << 20,
        }
    }
}

/// What a try came to, when it did not come to a reply.
#[derive(Debug)]
pub enum Trouble {
    /// Another try may help.
    Passing {
        /// What happened.
        reason: String,
        /// When the server wants to be asked again.
        retry_after: Option<Duration>,
        /// The status, when one came.
        status: Option<u16>,
        /// Whether the server may have done the work: it was silent too long, or broke off.
        may_be_charged: bool,
    },
    /// It will not.
    Lasting(Error),
}

impl Trouble {
    /// A reply that came with success and is of no use.
    pub fn spoilt(reason: String) -> Self {
        Self::Passing { reason, retry_after: None, status: Some(200), may_be_charged: true }
    }

    /// A request to `url` without a reply.
    fn silence(url: &str, error: &ureq::Error) -> Self {
        use ureq::Error as Silent;
        use ureq::Timeout::{Connect, Resolve};
        let reason = error.to_string();
        let is_unheard = match error {
            // What is wrong here is wrong before anything is sent, and will be.
            Silent::Http(_)
            | Silent::BadUri(_)
            | Silent::InvalidProxyUrl
            | Silent::Pem(_)
            | Silent::RequireHttpsOnly(_)
            | Silent::TlsRequired => {
                return Self::Lasting(Error::Unsent { url: url.to_owned(), reason });
            }
            Silent::Io(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
            Silent::ConnectionFailed
            | Silent::HostNotFound
            | Silent::ConnectProxyFailed(_)
            | Silent::Tls(_)
            | Silent::Rustls(_) => true,
            Silent::Timeout(timeout) => matches!(timeout, Connect | Resolve),
            _ => false,
        };
        Self::Passing { reason, retry_after: None, status: None, may_be_charged: !is_unheard }
    }
}

/// Sends JSON to one address.
#[derive(Debug)]
pub struct Transport {
    url: String,
    api_key: Option<ApiKey>,
    patience: Patience,
    agent: Agent,
}

impl Transport {
    /// A transport that has not sent anything yet.
    ///
    /// # Errors
    /// When the address is none of HTTP's.
    pub fn new(url: &str, api_key: Option<ApiKey>, patience: Patience) -> Result<Self, Error> {
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(Error::Url { url: url.to_owned() });
        }
        let config = Agent::config_builder()
            .timeout_connect(Some(CONNECT_TIMEOUT.min(patience.timeout)))
            .timeout_global(Some(patience.timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent("sightline")
            .build();
        Ok(Self { url: url.to_owned(), api_key, patience, agent: config.new_agent() })
    }

    /// The address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The bytes of a successful reply, after as many tries as patience allows.
    ///
    /// # Errors
    /// When no try succeeds.
    pub fn post(&self, body: &str) -> Result<Vec<u8>, Error> {
        self.persist(body, |_| self.post_once(body))
    }

    /// Tries, numbered from 1, until a try succeeds, cannot be bettered, or is the last.
    ///
    /// # Errors
    /// The lasting trouble, or the passing trouble of the last try.
    pub fn persist<T>(
        &self,
        body: &str,
        mut attempt: impl FnMut(usize) -> Result<T, Trouble>,
    ) -> Result<T, Error> {
        let (mut num_tries, mut wait) = (0, self.patience.first_wait);
        loop {
            num_tries += 1;
            match attempt(num_tries) {
                Ok(value) => return Ok(value),
                Err(Trouble::Lasting(error)) => return Err(error),
                Err(Trouble::Passing { reason, .. }) if num_tries >= self.patience.max_tries => {
                    return Err(Error::Unreachable { url: self.url.clone(), num_tries, reason });
                }
                Err(Trouble::Passing { retry_after, .. }) => {
                    let own = wait.mul_f64(jitter(body, num_tries));
                    // A server that asks for no wait at all gets ours.
                    std::thread::sleep(retry_after.map_or(own, |asked| asked.max(own)));
                }
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// One request: the bytes of a successful reply.
    ///
    /// # Errors
    /// What kept it from coming.
    pub fn post_once(&self, body: &str) -> Result<Vec<u8>, Trouble> {
        let mut request = self.agent.post(&self.url).header("content-type", "application/json");
        if let Some(ApiKey(key)) = &self.api_key {
            request = request.header("authorization", &format!("Bearer {key}"));
        }
        let response = request.send(body);
        let mut response = response.map_err(|error| Trouble::silence(&self.url, &error))?;
        let limit = self.patience.max_reply_bytes;
        let (status, retry_after) = (response.status().as_u16(), retry_after(&response));
        let bytes = match response.body_mut().with_config().limit(limit).read_to_vec() {
            Err(ureq::Error::BodyExceedsLimit(_)) => {
                let reason = format!("the reply is longer than {limit} bytes");
                return Err(Trouble::Lasting(self.misread(reason, &[])));
            }
            Err(error) => {
                return Err(Trouble::Passing {
                    reason: error.to_string(),
                    retry_after,
                    status: Some(status),
                    may_be_charged: status < 300,
                });
            }
            Ok(bytes) => bytes,
        };
        match status {
            200..=299 => Ok(bytes),
            // Too slow, too early, too many, or a server that may recover.
            408 | 409 | 425 | 429 | 500.. => {
                let reason = format!("status {status}: {}", excerpt(&bytes));
                let status = Some(status);
                Err(Trouble::Passing { reason, retry_after, status, may_be_charged: false })
            }
            _ => Err(Trouble::Lasting(Error::Refused {
                url: self.url.clone(),
                status,
                excerpt: excerpt(&bytes),
            })),
        }
    }

    /// The error of a reply that is not what it should be.
    pub fn misread(&self, reason: String, bytes: &[u8]) -> Error {
        Error::Reply { url: self.url.clone(), reason, excerpt: excerpt(bytes) }
    }
}

/// Seconds of the `Retry-After` header; a date there is not read, and our own wait serves instead.
fn retry_after(response: &ureq::http::Response<ureq::Body>) -> Option<Duration> {
    let text = response.headers().get("retry-after")?.to_str().ok()?;
    let seconds: f64 = text.trim().parse().ok().filter(|s| (0.0..=f64::MAX).contains(s))?;
    Some(Duration::from_secs_f64(seconds.min(LONGEST_RETRY_AFTER.as_secs_f64())))
}

/// A share of the wait between a half and all of it, which requests sent together do not share.
fn jitter(body: &str, num_tries: usize) -> f64 {
    let hash = Sha256::new().chain_update(body).chain_update(num_tries.to_le_bytes()).finalize();
    0.5 + f64::from(u16::from_le_bytes([hash[0], hash[1]])) / 131_072.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_differ_by_request_and_try() {
        let waits = [jitter("a", 1), jitter("a", 2), jitter("b", 1)];
        assert!(waits.iter().all(|wait| (0.5..1.0).contains(wait)), "{waits:?}");
        assert!(waits[0] != waits[1] && waits[0] != waits[2]);
    }

    #[test]
    fn a_key_does_not_show() {
        assert!(!format!("{:?}", ApiKey::new("secret")).contains("secret"));
        assert!(ApiKey::from_env("SIGHTLINE_NO_SUCH_KEY").is_err());
        let error = ApiKey::read("KEY", Some("sec\nret")).unwrap_err().to_string();
        assert!(
            error.starts_with("the environment variable KEY") && !error.contains("ret"),
            "{error}"
        );
        assert!(matches!(ApiKey::read("KEY", Some("\r\n")), Err(Error::NoKey { .. })));
        let key = ApiKey::read("KEY", Some(" secret\r\n")).unwrap();
        assert!(key.is_borne_by(b"Bearer secret"));
    }
}
