//! Which model a stage asks: the settings, opened elsewhere.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A model behind a server (`base_url`, `model`), or one in this process (`model_name_or_path`). A table of a recipe.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TeacherConfig {
    /// Address before `/chat/completions`, such as `https://api.openai.com/v1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// The model's name on the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The environment variable that holds the key; without it none is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key_env: Option<String>,
    /// Folder of an assembled model of ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_name_or_path: Option<PathBuf>,
    /// A checkpoint, or its file of trained values, to use in place of that model's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapter_name_or_path: Option<PathBuf>,
    /// Storage of that model's weights: `float32` by default, or `bfloat16`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dtype: Option<String>,
    /// Seconds before a request counts as lost; 600 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<f64>,
    /// Times a request is sent before it counts as failed; 5 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tries: Option<usize>,
    /// Seconds before the second try; they double with each; 1 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_wait: Option<f64>,
    /// Requests on the way at once; 8 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_parallel: Option<usize>,
    /// Price of a million tokens of prompts; 0 by default. A `max_cost` needs both prices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_price: Option<f64>,
    /// Price of a million tokens of completions; 0 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_price: Option<f64>,
    /// Most tokens that may be spent, earlier runs in the same folder included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_total_tokens: Option<u64>,
    /// Most money that may be spent, earlier runs in the same folder included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_cost: Option<f64>,
    /// Tokens an image is taken to have before the server has counted them; 1105 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_tokens: Option<u64>,
    /// Send `max_completion_tokens` in place of `max_tokens`, as newer models of OpenAI want it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub max_completion_tokens: bool,
    /// Send no temperature and no `top_p`, as reasoning models of OpenAI want it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub fixed_sampling: bool,
}

/// Where a teacher is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TeacherKind<'a> {
    /// Behind a server.
    Server {
        /// Its address.
        base_url: &'a str,
        /// The model's name there.
        model: &'a str,
    },
    /// In this process.
    Local(&'a PathBuf),
}

/// Settings of a teacher that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TeacherError {
    /// No place, or two.
    #[error("give either base_url and model, or model_name_or_path")]
    Place,
    /// A value out of its range.
    #[error("{key} = {value}, expected {expected}")]
    Value {
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What is allowed.
        expected: &'static str,
    },
    /// A key that says nothing of a model at this place.
    #[error("{key} is no key of a model {place}")]
    Foreign {
        /// The key.
        key: &'static str,
        /// Where the model is.
        place: &'static str,
    },
    /// A limit on money, and nothing costs any.
    #[error("max_cost never ends a run without input_price and output_price")]
    NoPrices,
}

impl TeacherConfig {
    /// Where the teacher is.
    ///
    /// # Errors
    /// When the settings name no place or two, a number makes no sense, or a key is of the other kind of model.
    pub fn kind(&self) -> Result<TeacherKind<'_>, TeacherError> {
        self.check_numbers()?;
        match (&self.base_url, &self.model, &self.model_name_or_path) {
            (Some(base_url), Some(model), None) => {
                self.check_server()?;
                Ok(TeacherKind::Server { base_url, model })
            }
            (None, None, Some(folder)) => {
                self.check_local()?;
                Ok(TeacherKind::Local(folder))
            }
            _ => Err(TeacherError::Place),
        }
    }

    /// A server loads its own weights, and its money can be limited only where tokens have prices.
    fn check_server(&self) -> Result<(), TeacherError> {
        let of_weights = [
            ("adapter_name_or_path", self.adapter_name_or_path.is_some()),
            ("dtype", self.dtype.is_some()),
        ];
        none_given(&of_weights, "behind a server")?;
        let has_prices = self.input_price.is_some() && self.output_price.is_some();
        match self.max_cost {
            Some(_) if !has_prices => Err(TeacherError::NoPrices),
            _ => Ok(()),
        }
    }

    /// A model in this process is sent nothing, and costs nothing.
    fn check_local(&self) -> Result<(), TeacherError> {
        let of_requests = [
            ("api_key_env", self.api_key_env.is_some()),
            ("timeout", self.timeout.is_some()),
            ("max_tries", self.max_tries.is_some()),
            ("first_wait", self.first_wait.is_some()),
            ("num_parallel", self.num_parallel.is_some()),
            ("input_price", self.input_price.is_some()),
            ("output_price", self.output_price.is_some()),
            ("max_total_tokens", self.max_total_tokens.is_some()),
            ("max_cost", self.max_cost.is_some()),
            ("image_tokens", self.image_tokens.is_some()),
            ("max_completion_tokens", self.max_completion_tokens),
            ("fixed_sampling", self.fixed_sampling),
        ];
        none_given(&of_requests, "in this process")
    }

    fn check_numbers(&self) -> Result<(), TeacherError> {
        let seconds = [("timeout", self.timeout), ("first_wait", self.first_wait)];
        for (key, value) in seconds {
            let is_bad = |&value: &f64| !(value > 0.0 && value <= 86_400.0);
            if let Some(value) = value.filter(is_bad) {
                let expected = "seconds above 0, up to a day";
                return Err(TeacherError::Value { key, value: value.to_string(), expected });
            }
        }
        let money = [
            ("input_price", self.input_price),
            ("output_price", self.output_price),
            ("max_cost", self.max_cost),
        ];
        for (key, value) in money {
            if let Some(value) = value.filter(|value| !(*value >= 0.0 && value.is_finite())) {
                let expected = "a number from 0 on";
                return Err(TeacherError::Value { key, value: value.to_string(), expected });
            }
        }
        let counts = [("max_tries", self.max_tries), ("num_parallel", self.num_parallel)];
        match counts.into_iter().find(|(_, value)| *value == Some(0)) {
            Some((key, _)) => {
                Err(TeacherError::Value { key, value: "0".to_owned(), expected: "at least 1" })
            }
            None => Ok(()),
        }
    }
}

/// That no key is given which a model at this place does not have.
fn none_given(keys: &[(&'static str, bool)], place: &'static str) -> Result<(), TeacherError> {
    match keys.iter().find(|(_, is_given)| *is_given) {
        Some(&(key, _)) => Err(TeacherError::Foreign { key, place }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sets one key.
    type Set = fn(&mut TeacherConfig);

    fn server() -> TeacherConfig {
        let (base_url, model) = (Some("http://x/v1".to_owned()), Some("m".to_owned()));
        TeacherConfig { base_url, model, ..TeacherConfig::default() }
    }

    fn local() -> TeacherConfig {
        TeacherConfig { model_name_or_path: Some("vlm".into()), ..TeacherConfig::default() }
    }

    #[test]
    fn a_limit_on_money_needs_both_prices() {
        let limited = |input_price, output_price| {
            let max_cost = Some(20.0);
            TeacherConfig { max_cost, input_price, output_price, ..server() }
        };
        for (input, output) in [(None, None), (Some(2.5), None), (None, Some(10.0))] {
            let error = limited(input, output).kind().unwrap_err().to_string();
            let keys = ["max_cost", "input_price", "output_price"];
            assert!(keys.iter().all(|key| error.contains(key)), "{error}");
        }
        assert!(limited(Some(2.5), Some(0.0)).kind().is_ok());
        assert!(TeacherConfig { output_price: Some(10.0), ..server() }.kind().is_ok());
    }

    #[test]
    fn keys_of_the_other_kind_are_refused() {
        let refused = |config: TeacherConfig, key: &str, place: &str| {
            let error = config.kind().unwrap_err().to_string();
            assert_eq!(error, format!("{key} is no key of a model {place}"));
        };
        let of_weights: [(&str, Set); 2] = [
            ("adapter_name_or_path", |c| c.adapter_name_or_path = Some("a".into())),
            ("dtype", |c| c.dtype = Some("bfloat16".to_owned())),
        ];
        for (key, give) in of_weights {
            let [mut server, mut local] = [server(), local()];
            give(&mut server);
            give(&mut local);
            refused(server, key, "behind a server");
            assert!(local.kind().is_ok(), "{key}");
        }
        let of_requests: [(&str, Set); 12] = [
            ("api_key_env", |c| c.api_key_env = Some("KEY".to_owned())),
            ("timeout", |c| c.timeout = Some(1.0)),
            ("max_tries", |c| c.max_tries = Some(1)),
            ("first_wait", |c| c.first_wait = Some(1.0)),
            ("num_parallel", |c| c.num_parallel = Some(1)),
            ("input_price", |c| c.input_price = Some(0.0)),
            ("output_price", |c| c.output_price = Some(0.0)),
            ("max_total_tokens", |c| c.max_total_tokens = Some(1)),
            ("max_cost", |c| c.max_cost = Some(1.0)),
            ("image_tokens", |c| c.image_tokens = Some(1)),
            ("max_completion_tokens", |c| c.max_completion_tokens = true),
            ("fixed_sampling", |c| c.fixed_sampling = true),
        ];
        for (key, give) in of_requests {
            let mut local = local();
            give(&mut local);
            refused(local, key, "in this process");
        }
    }
}
