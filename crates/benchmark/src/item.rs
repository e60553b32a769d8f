//! An item of a benchmark: what is asked, and how a response is scored.

use std::collections::BTreeMap;

use schema::{Content, Message, Part, Role, Sample};
use serde_json::Value;

use crate::code::Program;
use crate::image::Image;
use crate::python::Call;
use crate::suite::Suite;
use crate::turns::Turns;
use crate::vlmevalkit::Kit;

/// An item that can be asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The benchmark's name for it.
    pub id: String,
    /// File and line, or row.
    pub place: String,
    /// What the benchmark groups it under.
    pub subject: String,
    /// Items of one source have one cluster: the same picture, or the same problem told otherwise.
    pub cluster: String,
    /// What is asked, images in place, by their names in the store.
    pub prompt: Sample,
    /// The images in the order in which they are shown.
    pub images: Vec<Image>,
    /// The bare question, for a judge.
    pub question: String,
    /// The known answer, for people and a judge.
    pub gold: String,
    /// How a response is scored.
    pub scoring: Scoring,
    /// How VLMEvalKit scores it, where it has the benchmark or its kind.
    pub kit: Option<Kit>,
    /// What the benchmark's own figures are made of.
    pub labels: BTreeMap<&'static str, String>,
}

/// How a response is scored.
#[derive(Clone, Debug, PartialEq)]
pub enum Scoring {
    /// One of several options.
    Choice {
        /// The options' texts.
        options: Vec<String>,
        /// The place of the right one.
        answer: usize,
    },
    /// Mathematics or words; any of the known answers counts.
    Open {
        /// The known answers.
        golds: Vec<String>,
        /// How they are compared.
        how: Comparing,
    },
    /// A number within 5 %, or a text (ChartQA).
    Relaxed {
        /// The known answers.
        golds: Vec<String>,
    },
    /// Agreement with ten people (VQA).
    Consensus {
        /// What they answered.
        answers: Vec<String>,
    },
    /// Yes or no.
    YesNo {
        /// Whether yes is right.
        yes: bool,
    },
    /// Instructions that a program can check (IFEval).
    Instructions(Vec<(String, Value)>),
    /// Calls of functions (BFCL).
    Calls(Expected),
    /// Calls of functions that are executed, in several turns (BFCL).
    Turns(Turns),
    /// A program that passes tests (LiveCodeBench).
    Program(Program),
    /// A program that passes unit tests (BigCodeBench's, in LiveBench).
    Suite(Suite),
    /// Which of two responses is better; the place of the better one, 0 or 1.
    Preference {
        /// Its place.
        better: usize,
    },
    /// By the rule of a task of LiveBench.
    LiveBench {
        /// The task.
        task: LiveTask,
        /// The known answer.
        gold: String,
    },
    /// Instructions that a program can check: half for all, half for the share that is followed (LiveBench).
    Followed(Vec<(String, Value)>),
    /// Only a judge can tell, from 0 to 3 (MMBench-Video).
    Rated,
}

/// How an open answer is compared.
#[derive(Clone, Debug, PartialEq)]
pub enum Comparing {
    /// As mathematics, or as text where the known answer is none.
    Mathematics,
    /// A number, rounded to so many decimals (MathVista).
    Rounded(u8),
    /// Several answers in any order, numbers within a tolerance (OlympiadBench).
    Several {
        /// Of all, or of each; none is 10⁻⁸.
        tolerances: Vec<f64>,
        /// Whether the question is in Chinese.
        is_chinese: bool,
    },
    /// A number or a word, letter case aside (RealWorldQA).
    Words,
}

/// A task of LiveBench that has a rule, by what it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiveTask {
    /// A letter of a competition (AMC, SMC).
    Contest,
    /// A number of three digits (AIME).
    Aime,
    /// Numbers of expressions in a proof (IMO, USAMO).
    Proof,
    /// An expression (AMPS).
    Amps,
    /// A number (`integrals_with_game`).
    Integrals,
    /// Three verdicts (`web_of_lies_v2`).
    Lies,
    /// Verdicts, each in its place (`web_of_lies_v3`).
    LiesInPlace,
    /// Names in order (`house_traversal`).
    Houses,
    /// A word (`zebra_puzzle` before November 2024).
    ZebraWord,
    /// Several answers (`zebra_puzzle`).
    Zebra,
    /// A number or a shape (`spatial`).
    Spatial,
    /// A thing (`theory_of_mind`).
    Mind,
    /// A place (`logic_with_navigation`).
    Navigation,
    /// A filled grid (`sudoku`).
    Sudoku,
    /// A text without typos (`typos`).
    Typos,
    /// Groups of words in bold (`connections` before November 2024).
    ConnectionsBold,
    /// Groups of words (`connections`).
    Connections,
    /// Sentences in order (`plot_unscrambling`).
    Plot,
    /// The type of a column (`cta`).
    Columns,
    /// Pairs of columns (`tablejoin`).
    Join,
    /// Users with months (`consecutive_events`).
    Events,
    /// A table in another format (`tablereformat` before April 2025).
    Table,
    /// As [`LiveTask::Table`] from then on.
    TableNewer,
}

/// The calls that are expected.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expected {
    /// The functions as the prompt describes them.
    pub functions: Vec<Value>,
    /// Calls and, for each argument, the values allowed; none where no call is right.
    pub calls: Vec<Call>,
    /// Whether calls must stand in the order given.
    pub is_ordered: bool,
    /// Whether any call at all is right.
    pub is_any: bool,
    /// What calls are written in.
    pub language: Language,
}

/// What calls are written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// Python 3.
    #[default]
    Python,
    /// Java 8.
    Java,
    /// JavaScript.
    JavaScript,
}

/// A prompt of one turn: text and images in their order.
pub(crate) fn user(parts: Vec<Part>) -> Sample {
    let message = Message { role: Role::User, content: Content::Parts(parts) };
    Sample { messages: vec![message], ..Sample::default() }
}

/// A part of text, in which no tag is to be read.
pub(crate) fn text(text: impl AsRef<str>) -> Part {
    Part::Text { text: text.as_ref().replace("<image>", "") }
}

/// A part that is an image.
pub(crate) fn picture(image: &Image) -> Part {
    Part::Image { image: Some(image.name.clone()) }
}

impl Scoring {
    /// Whether a program of the response is run.
    pub fn runs_program(&self) -> bool {
        matches!(self, Self::Program(_) | Self::Suite(_) | Self::Turns(_))
    }
}

impl Item {
    /// Its prompt as text, with a mark for each image.
    pub fn prompt_text(&self) -> String {
        let part = |part: &Part| match part {
            Part::Text { text } => text.clone(),
            Part::Image { .. } | Part::ImageUrl { .. } => "<image>\n".to_owned(),
        };
        let turn = |message: &Message| match &message.content {
            Content::Text(text) => text.clone(),
            Content::Parts(parts) => parts.iter().map(part).collect(),
        };
        self.prompt.messages.iter().map(turn).collect::<Vec<_>>().join("\n\n")
    }
}
