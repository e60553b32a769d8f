//! What the judge is asked about an item: the scores of QDAM and VTIA, and a wrong chain mended.

use std::path::Path;

use judge::{Question, Score, estimate_text, quoting, read_json, without_tags};
use reward::{Flaw, Opening, format_flaw};
use schema::{Content, Message, Role, Sample};
use serde::{Deserialize, Serialize};

use crate::item::Item;
use crate::pattern;

/// How much the answer depends on the image (QDAM, image necessity: relevance).
#[derive(Clone, Copy, Debug)]
pub(crate) struct RelevanceOf<'a>(pub(crate) &'a Item, pub(crate) &'a Path);

/// How much the answer depends on the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relevance {
    /// 1: the image is beside the point; 5: it holds what the answer rests on.
    pub relevance: Score,
}

impl Question for RelevanceOf<'_> {
    type Verdict = Relevance;
    const VERSION: &'static str = "relevance/1";
    const FORM: &'static str = r#"{"relevance": 3}"#;

    fn prompt(&self) -> Sample {
        let text = format!(
            "Do not answer the question above. How much does its answer depend on what the image shows?\n\
             1: not at all, the image is beside the point. 2: the image only decorates. 3: it helps, though the text could \
             do. 4: parts of the answer are only in the image. 5: the answer rests on the image.\n\n{}",
            only(Self::FORM)
        );
        quoting(GRADER, &self.0.prompt, &text)
    }

    fn folder(&self) -> &Path {
        self.1
    }

    fn read(&self, reply: &str) -> Result<Relevance, String> {
        read_json(reply)
    }

    fn by_rule(&self) -> Option<Relevance> {
        let points = pattern::points_at_image(&self.0.question());
        Some(Relevance { relevance: Score::clamped(if points { 4 } else { 3 }) })
    }
}

/// How good and how demanding the question is as text (QDAM, S_t).
#[derive(Clone, Copy, Debug)]
pub(crate) struct TextOf<'a>(pub(crate) &'a Item);

/// How good and how demanding the question is as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextGrades {
    /// Grammar and coherence.
    pub quality: Score,
    /// Knowledge of a field that is needed.
    pub difficulty: Score,
    /// Steps of reasoning that are needed.
    pub demand: Score,
}

impl TextGrades {
    /// From 1 to 5: the mean.
    pub fn mean(&self) -> f64 {
        (self.quality.value() + self.difficulty.value() + self.demand.value()) / 3.0
    }
}

impl Question for TextOf<'_> {
    type Verdict = TextGrades;
    const VERSION: &'static str = "text/1";
    const FORM: &'static str = r#"{"quality": 4, "difficulty": 2, "demand": 3}"#;

    fn prompt(&self) -> Sample {
        let text = format!(
            "Do not answer the question above, and do not look for its image. Grade its text.\n\
             quality: 1 garbled, 3 understandable with faults of grammar or sense, 5 well formed and coherent.\n\
             difficulty: 1 everyday knowledge, 3 what schools teach, 5 what a degree in the field teaches.\n\
             demand: the steps of reasoning that lead from what is given to the answer; 1 none, 2 one, 3 two, 4 three or \
             four, 5 more.\n\n{}",
            only(Self::FORM)
        );
        let content = Content::Text(without_tags(&self.0.question()));
        let messages = vec![Message { role: Role::User, content }];
        quoting(GRADER, &Sample { messages, ..Sample::default() }, &text)
    }

    fn read(&self, reply: &str) -> Result<TextGrades, String> {
        read_json(reply)
    }

    fn by_rule(&self) -> Option<TextGrades> {
        let question = self.0.question();
        Some(TextGrades {
            quality: pattern::quality(&question),
            difficulty: pattern::difficulty(&question),
            demand: pattern::demand(&question),
        })
    }
}

/// How far image and text have to be read together (VTIA, S_I).
#[derive(Clone, Copy, Debug)]
pub(crate) struct IntegrationOf<'a>(pub(crate) &'a Item, pub(crate) &'a Path);

/// How far image and text have to be read together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Integration {
    /// 1: read off at a glance; 5: text and several parts of the image have to be brought together.
    pub integration: Score,
}

impl Question for IntegrationOf<'_> {
    type Verdict = Integration;
    const VERSION: &'static str = "integration/1";
    const FORM: &'static str = r#"{"integration": 3}"#;

    fn prompt(&self) -> Sample {
        let text = format!(
            "Do not answer the question above. How far does it make image and text be read together?\n\
             High: why or how, with something presupposed; several objects in spatial relation; terms of one field that \
             occur together. Low: what or where with a definite article; naming something directly; little need of the \
             image. 1: read off at a glance, 3: one relation or inference, 5: several parts of the image and of the text \
             have to be brought together.\n\n{}",
            only(Self::FORM)
        );
        quoting(GRADER, &self.0.prompt, &text)
    }

    fn folder(&self) -> &Path {
        self.1
    }

    fn read(&self, reply: &str) -> Result<Integration, String> {
        read_json(reply)
    }

    fn by_rule(&self) -> Option<Integration> {
        Some(Integration { integration: pattern::integration(&self.0.question()) })
    }
}

/// A chain that went wrong, to be written anew towards the known answer. No rule can.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rewrite<'a> {
    pub(crate) item: &'a Item,
    pub(crate) folder: &'a Path,
    /// The chain, with its thought.
    pub(crate) response: &'a str,
}

/// Longest part of a wrong chain that is shown, in tokens: loops are long and tell nothing.
const SHOWN: u64 = 8192;

impl Question for Rewrite<'_> {
    type Verdict = String;
    const VERSION: &'static str = "rewrite/1";
    const FORM: &'static str =
        "<think>\nthe reasoning\n</think>\n\nthe conclusion, with the answer as \\boxed{answer}";

    fn prompt(&self) -> Sample {
        let mut shown = without_tags(self.response);
        while estimate_text(&shown) > SHOWN {
            let half = shown.chars().count() / 2;
            shown = shown.chars().take(half).collect();
        }
        let text = format!(
            "A student reasoned about the question above so, and reached a wrong answer or none:\n\n{shown}\n\n\
             The known answer is: {}\n\nWrite the reasoning anew so that it leads from the question and the image to the \
             known answer. Keep what was right, in the same voice and language; mend the first wrong step and what follows \
             from it; leave out repetition. Do not mention that an answer was known or that there was a mistake. Reply in \
             exactly this form, and with nothing before or after it:\n{}",
            self.item.gold,
            Self::FORM
        );
        quoting("You mend chains of reasoning.", &self.item.prompt, &text)
    }

    fn folder(&self) -> &Path {
        self.folder
    }

    /// A rewritten chain has to have the form that is trained, and the known answer.
    fn read(&self, reply: &str) -> Result<String, String> {
        let text = last_chain(reply).trim();
        if let Some(flaw) = format_flaw(text, Opening::InCompletion) {
            return Err(describe(flaw).to_owned());
        }
        match reward::verify(&self.item.gold, text).equivalent {
            true => Ok(text.to_owned()),
            false => Err("its answer is not the known answer".to_owned()),
        }
    }

    fn by_rule(&self) -> Option<String> {
        None
    }
}

/// What a judge that thinks itself says after its own thought.
fn last_chain(reply: &str) -> &str {
    match (reply.matches("</think>").count(), reply.find("</think>")) {
        (2, Some(end)) => &reply[end + "</think>".len()..],
        _ => reply,
    }
}

const GRADER: &str = "You grade questions about images for a data set. You never answer them.";

fn only(form: &str) -> String {
    format!("Reply with this JSON object and nothing else, with whole numbers from 1 to 5:\n{form}")
}

fn describe(flaw: Flaw) -> &'static str {
    match flaw {
        Flaw::NoThought => "it does not begin with <think>",
        Flaw::SecondThought => "it opens <think> more than once",
        Flaw::NotClosed => "</think> is missing",
        Flaw::ClosedTwice => "</think> occurs more than once",
        Flaw::NoAnswer => "nothing follows </think>",
        Flaw::NoBox => "no \\boxed{…} follows </think>",
        Flaw::SeveralBoxes => "more than one \\boxed{…} follows </think>",
    }
}
