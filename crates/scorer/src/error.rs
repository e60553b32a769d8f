//! What can go wrong between here and a scorer.

use std::path::PathBuf;

/// Why a scorer gave no scores.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address that names no known route.
    #[error("{url}: expected an http or https address that ends in /score, /classify or /pooling")]
    Url {
        /// The address.
        url: String,
    },
    /// An image of the prompt cannot be read.
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
    /// An address of a reward of one's own that is none.
    #[error("{url}: expected an http or https address")]
    OwnUrl {
        /// The address.
        url: String,
    },
    /// No program to ask.
    #[error("the command of a reward names no program")]
    NoProgram,
    /// A program that cannot be started.
    #[error("`{command}` cannot be started: {source}")]
    Start {
        /// The program with its arguments.
        command: String,
        /// Why.
        source: std::io::Error,
    },
    /// A program that ended or closed its streams before it had answered.
    #[error("`{command}` ended without an answer: {reason}")]
    Ended {
        /// The program with its arguments.
        command: String,
        /// How it ended.
        reason: String,
    },
    /// A program that took too long.
    #[error("`{command}` gave no answer within {seconds} s")]
    Slow {
        /// The program with its arguments.
        command: String,
        /// How long it had.
        seconds: f64,
    },
    /// A line that holds no rewards.
    #[error("`{command}`: {reason}; its line begins {excerpt:?}")]
    Line {
        /// The program with its arguments.
        command: String,
        /// What is wrong with it.
        reason: String,
        /// How the line begins.
        excerpt: String,
    },
}

/// The first words of a reply, for a message.
pub(crate) fn excerpt(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(200).collect()
}
