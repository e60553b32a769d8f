//! What can go wrong in a recipe.

use std::path::PathBuf;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A configuration does not parse, lacks a key, or has a value of the wrong type.
    #[error("{place}: {reason}")]
    Config {
        /// The file, the command line, or both.
        place: String,
        /// What the parser says, with the key.
        reason: String,
    },
    /// A key that the recipe does not have.
    #[error("{place}: unknown key `{key}`; the keys are {known}")]
    UnknownKey {
        /// The file, the command line, or both.
        place: String,
        /// The key.
        key: String,
        /// The keys that exist.
        known: String,
    },
    /// Two settings that cannot both hold.
    #[error("{first} and {second} contradict each other: {why}")]
    Contradiction {
        /// One setting.
        first: String,
        /// The other.
        second: String,
        /// Why they disagree.
        why: &'static str,
    },
    /// A setting outside its range.
    #[error("{key} = {value}: expected {expected}")]
    Value {
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
    /// A judge that cannot be asked as the settings have it.
    #[error("judge: {0}")]
    Teacher(#[from] judge::TeacherError),
    /// The judge can be asked no more.
    #[error("the judge stopped, the same command goes on: {reason}")]
    Judge {
        /// Why.
        reason: String,
    },
    /// The store of verdicts cannot be read or written.
    #[error(transparent)]
    Verdicts(#[from] stages::Error),
    /// A configuration that TOML cannot hold.
    #[error("the configuration cannot be written: {0}")]
    Resolve(#[from] toml::ser::Error),
    /// A run cannot go on under other settings than it began with.
    #[error(
        "{} was saved under other settings ({differences}): \
         resume with the saved ones, or start in another folder",
        checkpoint.display()
    )]
    Changed {
        /// The checkpoint.
        checkpoint: PathBuf,
        /// Each key with its saved and its present value.
        differences: String,
    },
    /// Only samples without images, while only the image side trains.
    #[error("{path}: no sample has an image, and text alone gives the adapter no gradient; set trainable = \"adapter+llm\" or \"adapter+lora\", or \"llm\" or \"lora\"", path = path.display())]
    TextOnly {
        /// The data set.
        path: PathBuf,
    },
    /// A sample that cannot be used, with its file and line.
    #[error("{place}: {source}")]
    Sample {
        /// File and line.
        place: String,
        /// Why.
        source: Box<Error>,
    },
    /// A sample without a known answer, where the reward needs one.
    #[error("{place}: the rule reward needs an `answer`")]
    NoAnswer {
        /// File and line.
        place: String,
    },
    /// No sample to train on.
    #[error("{}: no samples", path.display())]
    Empty {
        /// The data set.
        path: PathBuf,
    },
    /// Pairs that teach nothing, where the settings want none of them.
    #[error("{}: {report}; bad_pairs = \"skip\" trains on the others", path.display())]
    BadPairs {
        /// The data set.
        path: PathBuf,
        /// What was found.
        report: data::PairReport,
    },
    /// A sample whose score stands in a column has none there.
    #[error("{place}: column `{column}` holds {found}, expected a number")]
    NoScore {
        /// File and line.
        place: String,
        /// The column.
        column: String,
        /// What is there.
        found: String,
    },
    /// A score that is not on the scale, and nothing maps it.
    #[error(
        "{place}: the score is {score}, expected 0 to 5; score_levels or score_quantiles map other scores"
    )]
    ScoreRange {
        /// File and line.
        place: String,
        /// The score.
        score: f64,
    },
    /// A sample or a completion could not be scored.
    #[error(
        "{place}: {reason}; bad_scores = \"skip\" lets samples without a score in only where they are answered wrongly"
    )]
    NotScored {
        /// File and line.
        place: String,
        /// Why.
        reason: String,
    },
    /// Quantiles of a data set say nothing about completions.
    #[error(
        "quality = \"scores\" needs score_levels, or scores from 0 to 5, in place of score_quantiles"
    )]
    NoScale,
    /// A data set could not be made anew.
    #[error("the data set of a round: {0}")]
    Refresh(Box<dyn std::error::Error + Send + Sync>),
    /// The scorer gave a prompt's responses no scores.
    #[error("{place}: {source}; bad_scores = \"skip\" leaves such prompts out")]
    Score {
        /// File and line.
        place: String,
        /// Why.
        source: reward::ScoreError,
    },
    /// A scorer that the settings name and that was not given.
    #[error("{key} is set, and nobody was given to ask")]
    NoScorer {
        /// The key.
        key: &'static str,
    },
    /// A scorer that gave a prompt's completions no rewards.
    #[error("{place}: no {name} reward: {source}; started again, the run goes on from its journal")]
    Reward {
        /// File and line.
        place: String,
        /// Which component.
        name: &'static str,
        /// Why.
        source: reward::ScoreError,
    },
    /// A prompt pool that cannot be used.
    #[error("{}: {reason}", path.display())]
    Pool {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A prompt pool in which nothing teaches.
    #[error("{}: no prompt is answered both right and wrong: they are too easy or too hard for the policy", path.display())]
    EmptyPool {
        /// The file.
        path: PathBuf,
    },
    /// A question of the hallucination probe whose answer is neither yes nor no.
    #[error("{place}: the answer is {answer:?}, expected yes or no")]
    NoProbe {
        /// File and line.
        place: String,
        /// The answer.
        answer: String,
    },
    /// What a recipe keeps in its checkpoint does not read back.
    #[error("the checkpoint's {what}: {reason}")]
    State {
        /// A file, or an entry of `trainer_state.json`.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// No group of any rollout held right and wrong answers both.
    #[error(
        "{num_rollouts} rollouts without a group of mixed outcomes: the questions are too easy or too hard for the policy"
    )]
    NothingToLearn {
        /// Rollouts tried.
        num_rollouts: usize,
    },
    /// From the engine.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// From the model.
    #[error(transparent)]
    Model(#[from] model::Error),
    /// From a data file.
    #[error(transparent)]
    Data(#[from] data::Error),
    /// From text or image preparation.
    #[error(transparent)]
    Preprocess(#[from] preprocess::Error),
    /// From sampling.
    #[error(transparent)]
    Rollout(#[from] rollout::Error),
}

impl Error {
    /// What the TOML parser says, on one line unless it shows the place in the file.
    pub(crate) fn config(place: &str, error: &toml::de::Error) -> Self {
        let text = error.to_string();
        let text = text.trim_end();
        let reason = match text.starts_with("TOML parse error") {
            true => text.to_owned(),
            false => text.replace('\n', " "),
        };
        Self::Config { place: place.to_owned(), reason }
    }

    /// For `map_err`: says which sample it was.
    pub(crate) fn of_sample<E: Into<Self>>(place: &str) -> impl FnOnce(E) -> Self {
        let place = place.to_owned();
        move |source| Self::Sample { place, source: Box::new(source.into()) }
    }
}
