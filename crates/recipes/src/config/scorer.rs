//! What the recipes that ask a reward model have in common: defaults and ranges of its keys.

use super::in_range;
use crate::Error;

/// `reward_model_name` where none is given.
pub(crate) fn reward_model_name() -> String {
    "reward-model".to_owned()
}

/// `scorer_timeout` where none is given, in seconds.
pub(crate) fn timeout() -> f64 {
    60.0
}

/// `scorer_tries` where none is given.
pub(crate) fn tries() -> usize {
    5
}

/// Fails unless a server can be waited for so long and asked so often.
pub(crate) fn check(timeout: f64, tries: usize) -> Result<(), Error> {
    check_timeout("scorer_timeout", timeout)?;
    in_range(tries > 0, "scorer_tries", &0, "at least 1")
}

/// Fails unless the value of a key is a time to wait.
pub(crate) fn check_timeout(key: &'static str, seconds: f64) -> Result<(), Error> {
    in_range(seconds > 0.0 && seconds <= 86_400.0, key, &seconds, "seconds, up to a day")
}
