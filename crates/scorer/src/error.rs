//! What can go wrong between here and a scorer.

/// Why a scorer gave no scores.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address that names no known route.
    #[error("{url}: expected an http or https address that ends in /score, /classify or /pooling")]
    Url {
        /// The address.
        url: String,
    },
    /// The server could not be asked, or its reply not be read.
    #[error(transparent)]
    Server(#[from] openai::Error),
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
