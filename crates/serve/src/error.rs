//! The one error type of this crate.

/// Why a server did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused a socket, a thread or a signal.
    #[error("cannot serve: {0}")]
    Io(#[from] std::io::Error),
}
