//! What a run would ask, and what that may cost, before anything is asked.

use std::fmt;
use std::path::Path;

use judge::{
    Correctness, Question, Request, TeacherConfig, estimate_prompt, estimate_text, judge_identity,
};
use serde::Serialize;
use stages::{Store, question_key, request_key};

use crate::config::{AnswerCheck, DistillConfig};
use crate::item::{Item, Items};
use crate::questions::{IntegrationOf, RelevanceOf, Rewrite, TextOf};
use crate::record::Stage;
use crate::requests::{ablation, generation};
use crate::{Error, STORE_FILE};

/// Tokens an image is taken to have where the settings do not say.
const IMAGE_TOKENS: u64 = 1105;

/// What a run would ask.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// Lines of the data set.
    pub num_lines: usize,
    /// Lines that cannot be used.
    pub num_quarantined: usize,
    /// Items.
    pub num_items: usize,
    /// Those with an image.
    pub num_with_image: usize,
    /// Stage by stage.
    pub stages: Vec<Planned>,
}

/// What a stage would ask.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Planned {
    /// The stage.
    pub stage: Stage,
    /// Requests at most: a wrong chain is checked and rewritten, a right one is not.
    pub num_requests: usize,
    /// Those whose results are stored. Of generation and what follows, none is known before the penalties are.
    pub num_stored: usize,
    /// Tokens of the prompts of the others, estimated.
    pub prompt_tokens: u64,
    /// Tokens of their replies, at most.
    pub completion_tokens: u64,
    /// What they cost at most, repairs left out.
    pub cost: f64,
}

impl Plan {
    /// Reads the data set and counts. `generator` and `judge` are the identities that the models will have.
    ///
    /// # Errors
    /// When the data set or the store cannot be read.
    pub fn new(
        config: &DistillConfig,
        generator: &str,
        judge: Option<&str>,
    ) -> Result<Self, Error> {
        let read = Items::read(&config.dataset, config.limit)?;
        let path = config.output_dir.join(STORE_FILE);
        let store = if path.is_file() { Store::open(&path)? } else { Store::in_memory()? };
        let folder = config.dataset.parent().unwrap_or(Path::new(""));
        let planner = Planner { config, store: &store, folder, items: &read.items };
        let mut stages = planner.asked(generator)?;
        if let Some((judge, teacher)) = judge.zip(config.judge.as_ref()) {
            let identity = judge_identity(judge, &config.verdict_decoding());
            stages.extend(planner.judged(&identity, teacher)?);
        }
        stages.sort_by_key(|planned| planned.stage);
        Ok(Self {
            num_lines: read.num_lines,
            num_quarantined: read.quarantined.len(),
            num_items: read.items.len(),
            num_with_image: planner.with_image().count(),
            stages,
        })
    }
}

struct Planner<'a> {
    config: &'a DistillConfig,
    store: &'a Store,
    folder: &'a Path,
    items: &'a [Item],
}

impl<'a> Planner<'a> {
    fn with_image(&self) -> impl Iterator<Item = &'a Item> {
        self.items.iter().filter(|item| !item.images().is_empty())
    }

    /// What the generator is asked.
    fn asked(&self, generator: &str) -> Result<Vec<Planned>, Error> {
        let teacher = &self.config.generator;
        let mut planned = vec![];
        for stage in [Stage::Seeing, Stage::Blind] {
            let requests = self
                .with_image()
                .map(|item| (item, ablation(self.config, (item, self.folder), stage)));
            planned.push(self.requests(stage, Some(generator), teacher, requests)?);
        }
        let requests = self.items.iter();
        let requests =
            requests.map(|item| (item, generation(self.config, (item, self.folder), 1.0)));
        planned.push(self.requests(Stage::Generation, None, teacher, requests)?);
        Ok(planned)
    }

    /// What the judge is asked.
    fn judged(&self, judge: &str, teacher: &TeacherConfig) -> Result<Vec<Planned>, Error> {
        let folder = self.folder;
        let short = u64::from(self.config.judge_max_new_tokens);
        let relevance = self.with_image().map(|item| (item, RelevanceOf(item, folder)));
        let text = self.items.iter().map(|item| (item, TextOf(item)));
        let integration = self.with_image().map(|item| (item, IntegrationOf(item, folder)));
        let mut planned = vec![
            self.questions(Stage::Relevance, (judge, teacher, short), relevance)?,
            self.questions(Stage::Text, (judge, teacher, short), text)?,
            self.questions(Stage::Integration, (judge, teacher, short), integration)?,
        ];
        let gold = |item: &'a Item| Correctness { question: "", gold: &item.gold, response: "" };
        if self.config.answer_check == AnswerCheck::RuleOrJudge {
            let check = self.items.iter().map(|item| (item, gold(item)));
            planned.push(self.questions(Stage::Check, (judge, teacher, short), check)?);
        }
        let rewrite = self.items.iter().map(|item| (item, Rewrite { item, folder, response: "" }));
        let long = u64::from(self.config.max_new_tokens);
        let mut rewrite = self.questions(Stage::Rewrite, (judge, teacher, long), rewrite)?;
        // The wrong chain is part of the prompt.
        rewrite.prompt_tokens += rewrite.num_requests as u64 * long;
        rewrite.cost = cost(teacher, rewrite.prompt_tokens, rewrite.completion_tokens);
        planned.push(rewrite);
        Ok(planned)
    }

    fn requests<'b>(
        &self,
        stage: Stage,
        generator: Option<&str>,
        teacher: &TeacherConfig,
        requests: impl Iterator<Item = (&'a Item, Request<'b>)>,
    ) -> Result<Planned, Error> {
        let mut planned = Planned::none(stage);
        for (item, request) in requests {
            let key = generator
                .map(|generator| request_key(stage.name(), generator, &item.hash, &request));
            let prompt = estimate_prompt(&request.prompt, image_tokens(teacher));
            let limit = u64::from(request.decoding.max_new_tokens);
            planned.add(self.is_stored(key)?, teacher, (prompt, limit));
        }
        Ok(planned)
    }

    fn questions<Q: Question>(
        &self,
        stage: Stage,
        (judge, teacher, limit): (&str, &TeacherConfig, u64),
        questions: impl Iterator<Item = (&'a Item, Q)>,
    ) -> Result<Planned, Error> {
        let mut planned = Planned::none(stage);
        for (item, question) in questions {
            let key = (stage < Stage::Generation)
                .then(|| question_key(stage.name(), judge, &item.hash, &question));
            let prompt = estimate_prompt(&question.prompt(), image_tokens(teacher));
            let prompt = prompt + estimate_text(Q::FORM);
            planned.add(self.is_stored(key)?, teacher, (prompt, limit));
        }
        Ok(planned)
    }

    fn is_stored(&self, key: Option<String>) -> Result<bool, Error> {
        let Some(key) = key else { return Ok(false) };
        Ok(self.store.get::<serde_json::Value>(&key)?.is_some())
    }
}

impl Planned {
    fn none(stage: Stage) -> Self {
        let (num_requests, num_stored) = (0, 0);
        Self { stage, num_requests, num_stored, prompt_tokens: 0, completion_tokens: 0, cost: 0.0 }
    }

    fn add(&mut self, is_stored: bool, teacher: &TeacherConfig, (prompt, limit): (u64, u64)) {
        self.num_requests += 1;
        if is_stored {
            self.num_stored += 1;
            return;
        }
        self.prompt_tokens += prompt;
        self.completion_tokens += limit;
        self.cost = cost(teacher, self.prompt_tokens, self.completion_tokens);
    }
}

fn cost(teacher: &TeacherConfig, prompt_tokens: u64, completion_tokens: u64) -> f64 {
    let [input, output] = [teacher.input_price, teacher.output_price].map(|p| p.unwrap_or(0.0));
    (prompt_tokens as f64 * input + completion_tokens as f64 * output) / 1e6
}

fn image_tokens(teacher: &TeacherConfig) -> u64 {
    teacher.image_tokens.unwrap_or(IMAGE_TOKENS)
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { num_lines, num_quarantined, num_items, num_with_image, stages } = self;
        writeln!(
            f,
            "lines  {num_lines}, {num_quarantined} quarantined; {num_items} items, {num_with_image} with an image"
        )?;
        writeln!(f, "stage        requests  stored  prompt tokens  at most new  cost at most")?;
        for planned in stages {
            let Planned { stage, num_requests, num_stored, prompt_tokens, completion_tokens, cost } =
                planned;
            writeln!(
                f,
                "{:<12} {num_requests:>8}  {num_stored:>6}  {prompt_tokens:>13}  {completion_tokens:>11}  {cost:>12.4}",
                stage.name()
            )?;
        }
        let total: f64 = stages.iter().map(|planned| planned.cost).sum();
        write!(f, "total cost at most {total:.4}; check and rewrite are for wrong chains alone")
    }
}
