//! Reading typed values out of a JSON configuration, with errors that name the key.

use std::fmt::Display;

use serde_json::Value;

use crate::Error;

/// A JSON object and the path that leads to it, for messages.
#[derive(Clone, Copy)]
pub(crate) struct Keys<'a> {
    object: &'a Value,
    path: &'a str,
}

impl<'a> Keys<'a> {
    /// `path` is what stands before a key in messages, such as `llm_config.`; empty at the top.
    pub(crate) fn new(object: &'a Value, path: &'a str) -> Self {
        Self { object, path }
    }

    /// The value of `key`; `None` if it is absent or null.
    pub(crate) fn get(&self, key: &str) -> Option<&'a Value> {
        self.object.get(key).filter(|value| !value.is_null())
    }

    /// A whole number, or `None` if the key is absent or null.
    pub(crate) fn opt_usize(&self, key: &str) -> Result<Option<usize>, Error> {
        self.typed(key, "a whole number", |v| v.as_u64().and_then(|n| usize::try_from(n).ok()))
    }

    /// A whole number that must be there.
    pub(crate) fn usize(&self, key: &str) -> Result<usize, Error> {
        self.opt_usize(key)?.ok_or_else(|| self.missing(key))
    }

    /// A number, or `None` if the key is absent or null.
    pub(crate) fn opt_f64(&self, key: &str) -> Result<Option<f64>, Error> {
        self.typed(key, "a number", Value::as_f64)
    }

    /// A number that must be there.
    pub(crate) fn f64(&self, key: &str) -> Result<f64, Error> {
        self.opt_f64(key)?.ok_or_else(|| self.missing(key))
    }

    /// A truth value, or `None` if the key is absent or null.
    pub(crate) fn opt_bool(&self, key: &str) -> Result<Option<bool>, Error> {
        self.typed(key, "true or false", Value::as_bool)
    }

    /// A string, or `None` if the key is absent or null.
    pub(crate) fn opt_str(&self, key: &str) -> Result<Option<&'a str>, Error> {
        self.typed(key, "a string", Value::as_str)
    }

    /// The error for a key that is not there.
    pub(crate) fn missing(&self, key: &str) -> Error {
        Error::MissingKey { key: format!("{}{key}", self.path) }
    }

    /// The error for a value that cannot be used.
    pub(crate) fn wrong(&self, key: &str, value: impl Display, expected: &str) -> Error {
        Error::WrongValue {
            key: format!("{}{key}", self.path),
            value: value.to_string(),
            expected: expected.to_owned(),
        }
    }

    fn typed<T>(
        &self,
        key: &str,
        expected: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let Some(value) = self.get(key) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| self.wrong(key, value, expected))
    }
}
