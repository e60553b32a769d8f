//! The settings of `sightline eval --tasks`.

use std::path::{Path, PathBuf};

use ::protocol::{Scheme, Settings};
use anyhow::Result;
use benchmark::{Style, Task, find_tasks};
use judge::{Decoding, TeacherConfig};
use preprocess::Processor;
use recipes::Error;
use recipes::config::{Part, Recipe};
use schema::{Content, Message, Role, Sample};
use serde::{Deserialize, Serialize};

/// The keys of `sightline eval` with `tasks`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TasksConfig {
    /// Benchmarks: names, in a list or parted by commas.
    pub(crate) tasks: Names,
    /// Folder with a folder for each benchmark, or with VLMEvalKit's tables.
    #[serde(default = "data_dir")]
    pub(crate) data_dir: PathBuf,
    /// Folder for figures and records.
    pub(crate) output_dir: PathBuf,
    /// Folder for responses, rulings and images, kept by content; `cache` in `output_dir` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cache_dir: Option<PathBuf>,
    /// Folder of an assembled model of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) model_name_or_path: Option<PathBuf>,
    /// A checkpoint, or its file of trained values, to use in place of the model's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) adapter_name_or_path: Option<PathBuf>,
    /// Storage of the weights: `float32`, `bfloat16`, `int8` or `int4`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) dtype: Option<String>,
    /// Address of an OpenAI-compatible server, before `/chat/completions`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) base_url: Option<String>,
    /// The model's name on the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) served_model_name: Option<String>,
    /// The environment variable that holds the server's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) api_key_env: Option<String>,
    /// Requests on the way at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) num_parallel: Option<usize>,
    /// Seconds before a request counts as lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) timeout: Option<f64>,
    /// Times a request is sent before it counts as failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_tries: Option<usize>,
    /// Most tokens that the server may be asked for, earlier runs with the cache included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_total_tokens: Option<u64>,
    /// Whether the server's prompt opens a thought; of a model of ours its template says so.
    #[serde(default)]
    pub(crate) thinks: bool,
    /// The model that judges, as in `distill`; none by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) judge: Option<TeacherConfig>,
    /// Most tokens of a judge's reply, its thought included.
    #[serde(default = "judge_tokens")]
    pub(crate) judge_max_new_tokens: u32,
    /// Seed of the judge's draws.
    #[serde(default = "seed")]
    pub(crate) judge_seed: u64,
    /// The first so many rows of each benchmark; all by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<usize>,
    /// Responses to each item, whose mean is pass@1.
    #[serde(default = "five")]
    pub(crate) num_runs: usize,
    /// Most tokens of a response; the papers allow 65536.
    pub(crate) max_new_tokens: u32,
    /// Softmax temperature; 0 is greedy.
    #[serde(default = "temperature")]
    pub(crate) temperature: f64,
    /// Sample among the smallest set of tokens with this probability.
    #[serde(default = "top_p")]
    pub(crate) top_p: f64,
    /// Seed of the first run; each further one has the next.
    #[serde(default = "seed")]
    pub(crate) seed: u64,
    /// Words of the prompts: `paper` or `vlmevalkit`.
    #[serde(default)]
    pub(crate) prompts: Style,
    /// The score that counts: `strict`, `lenient`, `judge`, `rule_or_judge`, `vlmevalkit` or `vlmevalkit_fork`.
    #[serde(default)]
    pub(crate) scoring: Scheme,
    /// Frames of each video.
    #[serde(default = "eight")]
    pub(crate) num_frames: usize,
    /// The program that takes frames out of video files.
    #[serde(default = "ffmpeg")]
    pub(crate) ffmpeg: PathBuf,
    /// The Python that runs programs in a sandbox.
    #[serde(default = "python")]
    pub(crate) python: PathBuf,
}

/// Names in a list, or parted by commas.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Names {
    /// Parted by commas.
    One(String),
    /// In a list.
    Several(Vec<String>),
}

impl Names {
    pub(super) fn tasks(&self) -> Result<Vec<&'static Task>, benchmark::Error> {
        match self {
            Self::One(names) => find_tasks(names),
            Self::Several(names) => find_tasks(&names.join(",")),
        }
    }
}

fn data_dir() -> PathBuf {
    "benchmarks".into()
}

fn judge_tokens() -> u32 {
    1024
}

fn seed() -> u64 {
    42
}

fn five() -> usize {
    5
}

/// DeepSeek-R1's guideline, which the papers follow.
fn temperature() -> f64 {
    0.6
}

/// As [`temperature`].
fn top_p() -> f64 {
    0.95
}

fn eight() -> usize {
    8
}

fn ffmpeg() -> PathBuf {
    "ffmpeg".into()
}

fn python() -> PathBuf {
    "python3".into()
}

impl Recipe for TasksConfig {
    const PARTS: &'static [Part] = &[Part::of::<Self>()];

    fn validate(&self) -> Result<(), Error> {
        let counts = [
            ("num_runs", self.num_runs),
            ("max_new_tokens", self.max_new_tokens as usize),
            ("num_frames", self.num_frames),
            ("limit", self.limit.unwrap_or(1)),
        ];
        if let Some((key, _)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return Err(Error::Value { key, value: "0".to_owned(), expected: "at least 1" });
        }
        if self.num_runs > 1 && self.temperature == 0.0 {
            return Err(Error::Contradiction {
                first: format!("num_runs = {}", self.num_runs),
                second: "temperature = 0".to_owned(),
                why: "greedy responses to an item are all the same",
            });
        }
        if matches!(self.scoring, Scheme::Judge | Scheme::RuleOrJudge) && self.judge.is_none() {
            return Err(Error::Contradiction {
                first: format!("scoring = \"{}\"", self.scoring.name()),
                second: "no judge".to_owned(),
                why: "it is the judge that gives this score",
            });
        }
        Ok(())
    }
}

impl TasksConfig {
    /// The model that is asked, as the settings of one name it.
    pub(super) fn model(&self) -> TeacherConfig {
        TeacherConfig {
            base_url: self.base_url.clone(),
            model: self.served_model_name.clone(),
            api_key_env: self.api_key_env.clone(),
            model_name_or_path: self.model_name_or_path.clone(),
            adapter_name_or_path: self.adapter_name_or_path.clone(),
            dtype: self.dtype.clone(),
            num_parallel: self.num_parallel,
            timeout: self.timeout,
            max_tries: self.max_tries,
            max_total_tokens: self.max_total_tokens,
            ..TeacherConfig::default()
        }
    }

    pub(super) fn cache(&self) -> PathBuf {
        self.cache_dir.clone().unwrap_or_else(|| self.output_dir.join("cache"))
    }

    pub(super) fn settings(&self) -> Result<Settings> {
        let decoding = Decoding {
            max_new_tokens: self.max_new_tokens,
            temperature: self.temperature,
            top_p: self.top_p,
            repetition_penalty: 1.0,
            seed: self.seed,
        };
        let judge = Decoding::greedy(self.judge_max_new_tokens, self.judge_seed);
        Ok(Settings {
            num_runs: self.num_runs,
            decoding,
            prompts: self.prompts,
            scoring: self.scoring,
            opens_thought: self.thinks || self.template_thinks()?,
            judge: self.judge.is_some().then_some(judge),
        })
    }

    /// Whether the chat template of a model of ours opens a thought.
    fn template_thinks(&self) -> Result<bool> {
        let Some(folder) = &self.model_name_or_path else { return Ok(false) };
        let content = Content::Text("1+1?".to_owned());
        let messages = vec![Message { role: Role::User, content }];
        let sample = Sample { messages, ..Sample::default() };
        Ok(Processor::load(folder)?.prompt(&sample, Path::new(""))?.opens_thought())
    }
}
