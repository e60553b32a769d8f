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
    /// Price of a million tokens of prompts; 0 by default.
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
}

impl TeacherConfig {
    /// Where the teacher is.
    ///
    /// # Errors
    /// When the settings name no place or two, or a number makes no sense.
    pub fn kind(&self) -> Result<TeacherKind<'_>, TeacherError> {
        self.check()?;
        match (&self.base_url, &self.model, &self.model_name_or_path) {
            (Some(base_url), Some(model), None) => Ok(TeacherKind::Server { base_url, model }),
            (None, None, Some(folder)) => Ok(TeacherKind::Local(folder)),
            _ => Err(TeacherError::Place),
        }
    }

    fn check(&self) -> Result<(), TeacherError> {
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
