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
}
