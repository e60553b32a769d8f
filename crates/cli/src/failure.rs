//! From an error to what is printed and the code to exit with.

use std::fmt;

use anyhow::Error;

/// The command failed.
const FAILED: u8 = 1;
/// The command was not understood: wrong usage or configuration.
const USAGE: u8 = 2;

/// Marks an error in what the user asked for, as opposed to one in what was found or done.
#[derive(Debug)]
struct Usage(Error);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Usage {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// For `map_err`: the error lies in the options or the configuration.
pub(crate) fn usage(error: impl Into<Error>) -> Error {
    Usage(error.into()).into()
}

/// Nobody reads standard output any more: no reason to complain.
#[derive(Debug)]
pub(crate) struct StdoutClosed;

impl fmt::Display for StdoutClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("standard output is closed")
    }
}

impl std::error::Error for StdoutClosed {}

/// What to exit with, and what to say before, if anything.
pub(crate) fn verdict(error: &Error) -> (u8, Option<String>) {
    if error.is::<StdoutClosed>() {
        return (0, None);
    }
    let is_usage = error.chain().any(|cause| cause.is::<Usage>());
    (if is_usage { USAGE } else { FAILED }, Some(describe(error)))
}

/// The error and its causes, outermost first, none said twice: many messages quote their cause.
pub(crate) fn describe(error: &Error) -> String {
    let mut text = error.to_string().trim_end().to_owned();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        let cause = cause.trim_end();
        if !text.contains(cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::*;

    #[test]
    fn causes_follow_and_none_comes_twice() {
        let error = anyhow!("disk full").context("cannot write a: disk full").context("a.jsonl:3");
        assert_eq!(describe(&error), "a.jsonl:3: cannot write a: disk full");
        assert_eq!(verdict(&error).0, FAILED);
    }

    #[test]
    fn usage_is_seen_through_context() {
        let wrong: Result<(), _> = Err(usage(anyhow!("unknown key `a`").context("sft.toml")));
        let error = wrong.context("sft").unwrap_err();
        assert_eq!(verdict(&error), (USAGE, Some("sft: sft.toml: unknown key `a`".to_owned())));
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        assert_eq!(verdict(&StdoutClosed.into()), (0, None));
    }
}
