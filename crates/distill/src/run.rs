//! The pipeline, stage by stage; each looks into the store first and writes into it at once.

use std::path::Path;

use judge::{Correctness, Judge, Judging, Question, Request, Respond, Response, whole_response};
use preprocess::ImageFile;
use reward::{Flaw as FormFlaw, Opening, format_flaw};
use stages::{Entry, Keyed, Store, key};

use crate::clarity::Clarity;
use crate::config::{AnswerCheck, DistillConfig};
use crate::item::Item;
use crate::penalty::{Scores, min_max, repetition_penalty, rounded};
use crate::questions::{IntegrationOf, RelevanceOf, Rewrite, TextOf};
use crate::record::{Outcome, Record, Stage, necessity};
use crate::requests::{ablation, generation};
use crate::sieve::Flaw;
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

    /// Scores scaled over the items that have them, and the penalty that follows, or that is set for all.
    fn penalties(&mut self) {
        let open = self.open(|_, _| true);
        let raw: Vec<Scores> = open.iter().map(|&index| self.raw_scores(index)).collect();
        let DistillConfig { repetition_penalty: fixed, penalty_step, .. } = *self.config;
        let drlc = self.config.drlc();
        let adaptive = |scores: &Scores| rounded(repetition_penalty(scores, &drlc), penalty_step);
        for (index, scores) in open.into_iter().zip(min_max(&raw)) {
            let record = &mut self.records[index];
            record.penalty = Some(fixed.unwrap_or_else(|| adaptive(&scores)));
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
        let (items, total) = (self.items, questions.len());
        let (places, questions): (Vec<usize>, Vec<Keyed<'_, Q>>) =
            questions.into_iter().map(|(index, value)| keyed(items, index, value)).unzip();
        let Self { records, store, judge, watch, config, .. } = self;
        let mut done = 0;
        watch(Progress { stage, done, total });
        let named = stages::Stage { name: stage.name(), seed: config.seed };
        store.ask(named, judge, questions, &mut |number, found| {
            let record = &mut records[places[number]];
            match found {
                Ok(verdict) => set(record, verdict),
                Err(failure) => record.outcome = Some(Outcome::of(stage, failure)),
            }
            done += 1;
            watch(Progress { stage, done, total });
        })?;
        Ok(())
    }

    /// Has the generator respond where the store does not hold it.
    fn respond(
        &mut self,
        stage: Stage,
        requests: Vec<(usize, Request<'_>)>,
        mut set: impl FnMut(&mut Record, Response),
    ) -> Result<(), Error> {
        let (items, total) = (self.items, requests.len());
        let (places, requests): (Vec<usize>, Vec<Keyed<'_, Request<'_>>>) =
            requests.into_iter().map(|(index, value)| keyed(items, index, value)).unzip();
        let Self { records, store, generator, watch, .. } = self;
        let mut done = 0;
        watch(Progress { stage, done, total });
        store.respond(stage.name(), *generator, requests, &mut |number, outcome| {
            let record = &mut records[places[number]];
            match outcome {
                Ok(response) => set(record, response),
                Err(failure) => record.outcome = Some(Outcome::of(stage, failure)),
            }
            done += 1;
            watch(Progress { stage, done, total });
        })?;
        Ok(())
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

/// What is asked about an item, beside its place.
fn keyed<T>(items: &[Item], index: usize, value: T) -> (usize, Keyed<'_, T>) {
    (index, Keyed { content: &items[index].hash, value })
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
