//! What can go wrong between here and a server.

use std::path::PathBuf;

/// Why a server gave no usable reply.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address that is none.
    #[error("{url}: expected an address that begins with http:// or https://")]
    Url {
        /// The address.
        url: String,
    },
    /// The variable that should hold a key is not set.
    #[error("the environment variable {variable} is empty or not set")]
    NoKey {
        /// Its name.
        variable: String,
    },
    /// The variable holds something that is no key.
    #[error(
        "the environment variable {variable} holds characters that no key has, such as line ends"
    )]
    BadKey {
        /// Its name.
        variable: String,
    },
    /// The request cannot be sent at all: its address or its headers are not what they should be.
    #[error("{url}: not sent: {reason}")]
    Unsent {
        /// The address.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// An image cannot be read.
    #[error("{}: {source}", path.display())]
    Image {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No usable reply in any try: no connection, silence, or a server in trouble.
    #[error("{url}: no reply in {num_tries} tries: {reason}")]
    Unreachable {
        /// The address.
        url: String,
        /// How often it was tried.
        num_tries: usize,
        /// What happened in the last try.
        reason: String,
    },
    /// The server understood and declined; asking again would not help.
    #[error("{url}: refused with status {status}: {excerpt}")]
    Refused {
        /// The address.
        url: String,
        /// The status.
        status: u16,
        /// How the reply begins.
        excerpt: String,
    },
    /// A reply that is not what the route should give.
    #[error("{url}: {reason}; the reply begins {excerpt:?}")]
    Reply {
        /// The address.
        url: String,
        /// What is wrong with it.
        reason: String,
        /// How the reply begins.
        excerpt: String,
    },
    /// The request could cost more than is left, so it was not sent.
    #[error(
        "the budget ends here: {spent} of {limit} {unit} spent, the next request may take {needed}"
    )]
    Budget {
        /// Spent so far.
        spent: f64,
        /// The budget.
        limit: f64,
        /// Of what.
        unit: &'static str,
        /// What the request might take.
        needed: f64,
    },
    /// Nothing more is sent since an earlier request ended in an error that is final.
    #[error("not sent, since an earlier request ended so: {reason}")]
    Stopped {
        /// The earlier error.
        reason: String,
    },
    /// The ledger cannot be read or written.
    #[error("{}: {source}", path.display())]
    Ledger {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
}

impl Error {
    /// Whether every further request would end the same way: no money, no access, no ledger.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Budget { .. }
            | Self::Stopped { .. }
            | Self::Ledger { .. }
            | Self::Url { .. }
            | Self::NoKey { .. }
            | Self::BadKey { .. }
            | Self::Unsent { .. } => true,
            Self::Refused { status, .. } => [401, 402, 403, 404].contains(status),
            Self::Image { .. } | Self::Unreachable { .. } | Self::Reply { .. } => false,
        }
    }
}

/// The first words of a reply, for a message.
pub fn excerpt(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(200).collect()
}
