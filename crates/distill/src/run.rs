//! The pipeline, stage by stage; each looks into the store first and writes into it at once.

use std::borrow::Cow;
use std::path::Path;

use judge::{
    Correctness, Decoding, Judge, Judged, Judging, Question, Request, Respond, Response, judge_all,
    whole_response,
};
use preprocess::ImageFile;
use reward::{Flaw as FormFlaw, Opening, format_flaw};
use schema::{Content, Part, Sample};

use crate::clarity::Clarity;
use crate::config::{AnswerCheck, DistillConfig};
use crate::item::{Flaw, Item, without_images};
use crate::penalty::{Scores, min_max, repetition_penalty, rounded};
use crate::questions::{IntegrationOf, RelevanceOf, Rewrite, TextOf};
use crate::record::{Outcome, Record, Stage, necessity};
use crate::store::{Entry, Store, key};
use crate::{Error, pattern};

/// How far a stage is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Which stage.
    pub stage: Stage,
    /// Items done, those from the store included.
    pub done: usize,
    /// Items it is for.
    pub total: usize,
}

/// The models of a distillation.
pub struct Teachers<'a> {
    /// The model that thinks.
    pub generator: &'a mut dyn Respond,
    /// The model that judges and rewrites; rules alone without it.
    pub judge: Option<&'a mut dyn Respond>,
}

impl Teachers<'_> {
    /// The same for a shorter time.
    pub(crate) fn borrowed(&mut self) -> Teachers<'_> {
        let judge: Option<&mut dyn Respond> = match &mut self.judge {
            Some(judge) => Some(&mut **judge),
            None => None,
        };
        Teachers { generator: &mut *self.generator, judge }
    }
}

/// A pipeline under way.
pub(crate) struct Run<'a> {
    pub(crate) config: &'a DistillConfig,
    /// The folder that image paths are relative to.
    pub(crate) folder: &'a Path,
    pub(crate) items: &'a [Item],
    pub(crate) records: Vec<Record>,
    pub(crate) store: &'a Store,
    pub(crate) generator: &'a mut dyn Respond,
    pub(crate) judge: Judge<'a>,
    pub(crate) watch: &'a mut dyn FnMut(Progress),
}

impl<'a> Run<'a> {
    pub(crate) fn new(
        config: &'a DistillConfig,
        (folder, items): (&'a Path, &'a [Item]),
        store: &'a Store,
        teachers: Teachers<'a>,
        watch: &'a mut dyn FnMut(Progress),
    ) -> Self {
        let decoding = config.verdict_decoding();
        let judge = match teachers.judge {
            Some(model) => Judge::Model(Judging { model, decoding }),
            None => Judge::Rules,
        };
        let (generator, records) = (teachers.generator, vec![Record::default(); items.len()]);
        Self { config, folder, items, records, store, generator, judge, watch }
    }

    /// All stages. Scores are scaled over the data set, so nothing is generated until every item has its scores.
    pub(crate) fn all(&mut self) -> Result<(), Error> {
        self.clarity()?;
        self.ablation()?;
        self.relevance()?;
        self.text()?;
        self.integration()?;
        if self.is_stopped() {
            self.stop_others();
            return Ok(());
        }
        self.penalties();
        self.generation()?;
        self.check()?;
        self.rewrite()
    }

    fn clarity(&mut self) -> Result<(), Error> {
        let total = self.items.len();
        for (index, item) in self.items.iter().enumerate() {
            let images = item.images();
            if !images.is_empty() {
                let key = key(&[Stage::Clarity.name(), "clarity/1", &item.hash]);
                match self.clarity_of(item, &images, &key)? {
                    Ok(clarity) => self.records[index].clarity = Some(clarity),
                    Err(reason) => {
                        let flaw = Flaw::Image;
                        self.records[index].outcome = Some(Outcome::Quarantined { flaw, reason });
                    }
                }
            }
            (self.watch)(Progress { stage: Stage::Clarity, done: index + 1, total });
        }
        Ok(())
    }

    /// From the store or the pixels; inside, why an image has no pixels.
    fn clarity_of(
        &self,
        item: &Item,
        images: &[&str],
        key: &str,
    ) -> Result<Result<Clarity, String>, Error> {
        if let Some(clarity) = self.store.get(key)? {
            return Ok(Ok(clarity));
        }
        let looked = look(images, self.folder);
        if let Ok(clarity) = &looked {
            self.store.put(&pixels(key, item), clarity)?;
        }
        Ok(looked)
    }

    /// The question answered with and without its image.
    fn ablation(&mut self) -> Result<(), Error> {
        for stage in [Stage::Seeing, Stage::Blind] {
            let open = self.open(|item, _| !item.images().is_empty());
            let requests = open.into_iter();
            let requests =
                requests.map(|index| (index, ablation(self.config, self.place(index), stage)));
            self.respond(stage, requests.collect(), |record, response| match stage {
                Stage::Seeing => record.seeing = Some(response),
                _ => record.blind = Some(response),
            })?;
        }
        Ok(())
    }

    fn relevance(&mut self) -> Result<(), Error> {
        let open = self.open(|item, _| !item.images().is_empty()).into_iter();
        let (items, folder) = (self.items, self.folder);
        let questions = open.map(|index| (index, RelevanceOf(&items[index], folder)));
        self.ask(Stage::Relevance, questions.collect(), |record, found| {
            record.relevance = Some(found);
        })
    }

    fn text(&mut self) -> Result<(), Error> {
        let items = self.items;
        let questions =
            self.open(|_, _| true).into_iter().map(|index| (index, TextOf(&items[index])));
        self.ask(Stage::Text, questions.collect(), |record, found| record.text = Some(found))
    }

    fn integration(&mut self) -> Result<(), Error> {
        let open = self.open(|item, _| !item.images().is_empty()).into_iter();
        let (items, folder) = (self.items, self.folder);
        let questions = open.map(|index| (index, IntegrationOf(&items[index], folder)));
        self.ask(Stage::Integration, questions.collect(), |record, found| {
            record.integration = Some(found);
        })
    }

    /// Scores scaled over the items that have them, and the penalty that follows.
    fn penalties(&mut self) {
        let open = self.open(|_, _| true);
        let raw: Vec<Scores> = open.iter().map(|&index| self.raw_scores(index)).collect();
        let (drlc, step) = (self.config.drlc(), self.config.penalty_step);
        for (index, scores) in open.into_iter().zip(min_max(&raw)) {
            let record = &mut self.records[index];
            record.penalty = Some(rounded(repetition_penalty(&scores, &drlc), step));
            record.scores = Some(scores);
        }
    }

    /// Each score as the mean of its criteria from 1 to 5; an item without an image has the lowest where one is needed.
    fn raw_scores(&self, index: usize) -> Scores {
        let (item, record) = (&self.items[index], &self.records[index]);
        let (blur, side) = (&self.config.blur_levels, &self.config.side_levels);
        let clarity = record.clarity.map_or(1.0, |clarity| clarity.score(blur, side));
        let relevance = record.relevance.as_ref().map_or(1.0, |found| found.relevance.value());
        let necessity = match (&record.seeing, &record.blind) {
            (Some(seeing), Some(blind)) => necessity(&item.gold, &seeing.text, &blind.text),
            _ => 1.0,
        };
        let pattern = pattern::integration(&item.question()).value();
        let judged = record.integration.as_ref().map_or(1.0, |found| found.integration.value());
        Scores {
            vision: (clarity + relevance + necessity) / 3.0,
            text: record.text.as_ref().map_or(1.0, |grades| grades.mean()),
            integration: (pattern + judged) / 2.0,
        }
    }

    /// The model's own chains, each under its penalty.
    fn generation(&mut self) -> Result<(), Error> {
        let open = self.open(|_, record| record.penalty.is_some()).into_iter();
        let requests = open.map(|index| {
            let penalty = self.records[index].penalty.unwrap_or(1.0);
            (index, generation(self.config, self.place(index), penalty))
        });
        self.respond(Stage::Generation, requests.collect(), |record, response| {
            record.response = Some(response);
        })
    }

    /// Whether chains reach the known answers; right ones are kept if they have a thought to learn from.
    fn check(&mut self) -> Result<(), Error> {
        let items = self.items;
        let open = self.open(|_, record| record.response.is_some());
        let texts = open.iter().map(|&index| (items[index].question(), self.response(index)));
        let texts: Vec<(String, String)> = texts.collect();
        let questions = open.into_iter().zip(&texts).map(|(index, (question, response))| {
            (index, Correctness { question, gold: &items[index].gold, response })
        });
        let questions = questions.collect();
        let judge = match self.config.answer_check {
            AnswerCheck::Rule => Some(std::mem::replace(&mut self.judge, Judge::Rules)),
            AnswerCheck::RuleOrJudge => None,
        };
        self.ask(Stage::Check, questions, |record, found| {
            let text = record.response.as_ref().map_or("", |response| &response.text);
            if found.correct && has_thought(text) {
                record.outcome = Some(Outcome::Kept);
            }
            record.correct = Some(found);
        })?;
        if let Some(judge) = judge {
            self.judge = judge;
        }
        Ok(())
    }

    /// Wrong chains written anew towards the known answers, and checked by rule.
    fn rewrite(&mut self) -> Result<(), Error> {
        let open = self.open(|_, record| record.correct.is_some());
        if let Judge::Model(judging) = &mut self.judge {
            judging.decoding.max_new_tokens = self.config.max_new_tokens;
        } else {
            for index in open {
                let reason = "the chain is wrong or has no thought, and no judge is configured";
                self.records[index].outcome = Some(Outcome::Dropped { reason: reason.to_owned() });
            }
            return Ok(());
        }
        let (items, folder) = (self.items, self.folder);
        let responses: Vec<String> = open.iter().map(|&index| self.response(index)).collect();
        let questions = open.into_iter().zip(&responses);
        let questions = questions
            .map(|(index, response)| (index, Rewrite { item: &items[index], folder, response }));
        self.ask(Stage::Rewrite, questions.collect(), |record, text| {
            record.rewritten = Some(text);
            record.outcome = Some(Outcome::Rewritten);
        })
    }

    /// Asks the judge what the store does not hold.
    fn ask<Q: Question>(
        &mut self,
        stage: Stage,
        questions: Vec<(usize, Q)>,
        mut set: impl FnMut(&mut Record, Q::Verdict),
    ) -> Result<(), Error> {
        let (identity, total) = (self.judge.identity(), questions.len());
        let (mut places, mut asked) = (vec![], vec![]);
        for (index, question) in questions {
            let key = question_key(stage, &identity, &self.items[index], &question);
            match self.store.get::<Judged<Q::Verdict>>(&key)? {
                Some(judged) => set(&mut self.records[index], judged.verdict),
                None => {
                    places.push((index, key));
                    asked.push(question);
                }
            }
        }
        let Self { items, records, store, judge, watch, config, .. } = self;
        let (mut broken, mut done) = (None, total - places.len());
        watch(Progress { stage, done, total });
        judge_all(judge, &asked, &mut |number, judged| {
            let (index, key) = &places[number];
            match judged {
                Ok(judged) => {
                    let entry = Entry {
                        key,
                        stage: stage.name(),
                        item: &items[*index].hash,
                        prompt_version: Q::VERSION,
                        model: &judged.model,
                        seed: config.seed,
                        prompt_tokens: judged.prompt_tokens,
                        completion_tokens: judged.completion_tokens,
                        cost: judged.cost,
                    };
                    broken = broken.take().or(store.put(&entry, &judged).err());
                    set(&mut records[*index], judged.verdict);
                }
                Err(failure) => records[*index].outcome = Some(Outcome::of(stage, failure)),
            }
            done += 1;
            watch(Progress { stage, done, total });
        });
        broken.map_or(Ok(()), Err)
    }

    /// Has the generator respond where the store does not hold it.
    fn respond(
        &mut self,
        stage: Stage,
        requests: Vec<(usize, Request<'_>)>,
        mut set: impl FnMut(&mut Record, Response),
    ) -> Result<(), Error> {
        let (identity, total) = (self.generator.identity(), requests.len());
        let (mut places, mut asked) = (vec![], vec![]);
        for (index, request) in requests {
            let key = request_key(stage, &identity, &self.items[index], &request);
            match self.store.get(&key)? {
                Some(response) => set(&mut self.records[index], response),
                None => {
                    places.push((index, key));
                    asked.push(request);
                }
            }
        }
        let Self { items, records, store, generator, watch, .. } = self;
        let (mut broken, mut done) = (None, total - places.len());
        watch(Progress { stage, done, total });
        generator.respond(&asked, &mut |number, outcome| {
            let (index, key) = &places[number];
            match outcome {
                Ok(response) => {
                    let entry = Entry {
                        key,
                        stage: stage.name(),
                        item: &items[*index].hash,
                        prompt_version: asked[number].prompt_version,
                        model: &response.model,
                        seed: asked[number].decoding.seed,
                        prompt_tokens: response.prompt_tokens,
                        completion_tokens: response.completion_tokens,
                        cost: response.cost,
                    };
                    broken = broken.take().or(store.put(&entry, &response).err());
                    set(&mut records[*index], response);
                }
                Err(failure) => records[*index].outcome = Some(Outcome::of(stage, failure)),
            }
            done += 1;
            watch(Progress { stage, done, total });
        });
        broken.map_or(Ok(()), Err)
    }

    /// Items whose end is not known yet, and for which `is_meant` holds.
    fn open(&self, is_meant: impl Fn(&Item, &Record) -> bool) -> Vec<usize> {
        let meant = |&index: &usize| {
            let record = &self.records[index];
            record.outcome.is_none() && is_meant(&self.items[index], record)
        };
        (0..self.items.len()).filter(meant).collect()
    }

    fn is_stopped(&self) -> bool {
        let is_stop = |record: &Record| matches!(record.outcome, Some(Outcome::Stopped { .. }));
        self.records.iter().any(is_stop)
    }

    /// Items that have their scores wait for those that have not.
    fn stop_others(&mut self) {
        for record in self.records.iter_mut().filter(|record| record.outcome.is_none()) {
            let reason = "the scores of other items are missing".to_owned();
            record.outcome = Some(Outcome::Stopped { stage: Stage::Generation, reason });
        }
    }

    fn place(&self, index: usize) -> (&'a Item, &'a Path) {
        (&self.items[index], self.folder)
    }

    /// The chain with its thought opened.
    fn response(&self, index: usize) -> String {
        let text = self.records[index].response.as_ref().map_or("", |response| &response.text);
        whole_response(text).trim().to_owned()
    }
}

/// An answer with or without the image, as short as it comes.
pub(crate) fn ablation<'a>(
    config: &DistillConfig,
    (item, folder): (&'a Item, &'a Path),
    stage: Stage,
) -> Request<'a> {
    let prompt = match stage {
        Stage::Blind => Cow::Owned(without_images(&item.prompt)),
        _ => Cow::Borrowed(&item.prompt),
    };
    let limit = config.ablation_max_new_tokens.unwrap_or(config.max_new_tokens);
    let decoding = Decoding::greedy(limit, config.seed);
    Request { prompt_version: "ablation/1", prompt, folder, decoding, stream: item.stream() }
}

/// A chain of thought under a penalty.
pub(crate) fn generation<'a>(
    config: &DistillConfig,
    (item, folder): (&'a Item, &'a Path),
    penalty: f64,
) -> Request<'a> {
    let prompt = match &config.instruction {
        Some(instruction) => Cow::Owned(instructed(&item.prompt, instruction)),
        None => Cow::Borrowed(&item.prompt),
    };
    let decoding = Decoding {
        max_new_tokens: config.max_new_tokens,
        temperature: config.temperature,
        top_p: config.top_p,
        repetition_penalty: penalty,
        seed: config.seed,
    };
    Request { prompt_version: "generation/1", prompt, folder, decoding, stream: item.stream() }
}

/// The prompt with an instruction after its question.
fn instructed(prompt: &Sample, instruction: &str) -> Sample {
    let mut prompt = prompt.clone();
    if let Some(last) = prompt.messages.last_mut() {
        match &mut last.content {
            Content::Text(text) => *text += &format!("\n{instruction}"),
            Content::Parts(parts) => parts.push(Part::Text { text: instruction.to_owned() }),
        }
    }
    prompt
}

pub(crate) fn question_key<Q: Question>(
    stage: Stage,
    judge: &str,
    item: &Item,
    question: &Q,
) -> String {
    let prompt = serde_json::to_string(&question.prompt()).expect("a prompt has a JSON form");
    key(&[stage.name(), Q::VERSION, judge, &item.hash, &prompt])
}

pub(crate) fn request_key(
    stage: Stage,
    generator: &str,
    item: &Item,
    request: &Request<'_>,
) -> String {
    let decoding = serde_json::to_string(&request.decoding).expect("numbers have a JSON form");
    let prompt = serde_json::to_string(&request.prompt).expect("a prompt has a JSON form");
    key(&[stage.name(), request.prompt_version, generator, &decoding, &item.hash, &prompt])
}

/// The entry of a result that no model gave.
fn pixels<'a>(key: &'a str, item: &'a Item) -> Entry<'a> {
    Entry {
        key,
        stage: Stage::Clarity.name(),
        item: &item.hash,
        prompt_version: "clarity/1",
        model: "pixels",
        seed: 0,
        prompt_tokens: 0,
        completion_tokens: 0,
        cost: 0.0,
    }
}

/// The clarity of the least clear image.
fn look(images: &[&str], folder: &Path) -> Result<Clarity, String> {
    let one = |image: &&str| {
        let pixels = ImageFile::load(image, folder).and_then(|file| file.decode());
        pixels.map(|pixels| Clarity::of(&pixels)).map_err(|error| error.to_string())
    };
    let looked = images.iter().map(one).collect::<Result<Vec<Clarity>, String>>()?;
    let worst = looked.into_iter().reduce(Clarity::worse);
    Ok(worst.unwrap_or(Clarity { laplacian_variance: 0.0, short_side: 0 }))
}

/// Whether a response has one thought with an answer after it; how it announces that is the checker's affair.
fn has_thought(text: &str) -> bool {
    let text = whole_response(text);
    let thought = text.split("</think>").next().unwrap_or("");
    let is_empty = thought.trim_start().trim_start_matches("<think>").trim().is_empty();
    let flaw = format_flaw(&text, Opening::InCompletion);
    !is_empty && matches!(flaw, None | Some(FormFlaw::NoBox | FormFlaw::SeveralBoxes))
}
