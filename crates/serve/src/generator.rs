//! The model at work: one running batch, which requests join and leave.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use model::cache::KvCache;
use model::feature_cache::FeatureCache;
use model::vlm::Vlm;
use preprocess::{Processor, TextStream};
use rollout::{Batch, Drawing, Error, GenerateConfig, ImageEncoder, Prompt};
use schema::{Completion, FinishReason};
use tokio::sync::mpsc::UnboundedSender;

use crate::aside::Pixels;
use crate::refusal::Refusal;

/// Features held in memory, for requests that share an image.
const FEATURE_BYTES: u64 = 1 << 30;

/// What is to be generated, and who is told.
pub(crate) struct Job {
    /// The prompt, whose images are not encoded yet.
    pub(crate) prompt: preprocess::Prompt,
    pub(crate) pixels: Pixels,
    /// Its seed alone names the draws.
    pub(crate) config: GenerateConfig,
    /// The request's end; once it is closed, nobody waits for the rest.
    pub(crate) events: UnboundedSender<Event>,
}

/// What a request is told.
#[derive(Debug)]
pub(crate) enum Event {
    /// More of a completion's text.
    Text { sample: usize, text: String },
    /// A completion has ended.
    End { sample: usize, num_tokens: usize, reason: FinishReason },
    /// Nothing more will come.
    Failed(Refusal),
}

/// The model and what it takes to ask it.
pub(crate) struct Generator {
    pub(crate) vlm: Vlm,
    pub(crate) processor: Arc<Processor>,
    pub(crate) cache_bytes: usize,
}

impl Generator {
    /// Tokens of a prompt and its completion together that there is room for.
    pub(crate) fn num_rows(&self) -> usize {
        self.cache_bytes / KvCache::bytes_per_row(self.vlm.llm.config())
    }

    /// Answers until no more requests can come. What goes wrong is told to those it concerns, a panic too.
    pub(crate) fn work(&self, jobs: &Receiver<Job>) {
        let mut running = Running {
            generator: self,
            encoder: ImageEncoder::new(&self.vlm, FeatureCache::new(None, FEATURE_BYTES)),
            batch: self.batch(),
            open: HashMap::new(),
        };
        while let Ok(first) = jobs.recv() {
            let answer = || {
                running.join(first);
                running.finish(jobs)
            };
            match catch_unwind(AssertUnwindSafe(answer)) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => running.fail(|| Refusal::failed(error.to_string())),
                Err(_) => running.fail(Refusal::defect),
            }
        }
    }

    fn batch(&self) -> Batch<'_> {
        Batch::new(&self.vlm, self.num_rows())
    }
}

/// A batch under way.
struct Running<'a> {
    generator: &'a Generator,
    encoder: ImageEncoder,
    batch: Batch<'a>,
    /// Requests by the numbers of their prompts.
    open: HashMap<usize, Open<'a>>,
}

/// A request that is being answered.
struct Open<'a> {
    events: UnboundedSender<Event>,
    texts: Vec<Text<'a>>,
    /// The longest beginning of a stop string that may turn out to be one.
    held_back: usize,
    num_left: usize,
}

/// A completion's text so far.
struct Text<'a> {
    stream: TextStream<'a>,
    text: String,
    num_told: usize,
}

impl<'a> Running<'a> {
    /// Runs until all requests are answered.
    fn finish(&mut self, jobs: &Receiver<Job>) -> Result<(), Error> {
        while !self.open.is_empty() {
            jobs.try_iter().for_each(|job| self.join(job));
            self.batch.step()?;
            let news = self.batch.news();
            // A stop string ends within a token: what it leaves of the last one, only the completion knows.
            let ended: HashSet<_> =
                news.finished.iter().map(|&(p, sample, _)| (p, sample)).collect();
            for (prompt, sample, token) in news.drawn {
                if !ended.contains(&(prompt, sample)) {
                    self.say(prompt, sample, token)?;
                }
            }
            for (prompt, sample, completion) in news.finished {
                self.end(prompt, sample, &completion);
            }
            self.leave();
        }
        Ok(())
    }

    /// Lets a request in, if its client is still there; one that cannot be answered is told so, and harms no other.
    fn join(&mut self, job: Job) {
        if job.events.is_closed() {
            return;
        }
        let events = job.events.clone();
        let held_back = job.config.stop_strings.iter().map(|stop| stop.len().saturating_sub(1));
        let held_back = held_back.max().unwrap_or(0);
        let num_left = job.config.num_samples;
        match self.add(job) {
            Ok(prompt) => {
                let text = || Text {
                    stream: self.generator.processor.tokenizer.stream(),
                    text: String::new(),
                    num_told: 0,
                };
                let texts = (0..num_left).map(|_| text()).collect();
                self.open.insert(prompt, Open { events, texts, held_back, num_left });
            }
            Err(error) => {
                let refusal = Refusal::invalid("messages", error.to_string());
                tell(&events, Event::Failed(refusal));
            }
        }
    }

    fn add(&mut self, job: Job) -> Result<usize, Error> {
        let Generator { vlm, processor, .. } = self.generator;
        let Pixels { values, memory } = job.pixels;
        let features = self.encoder.encode_pixels(vlm, &job.prompt.images, values)?;
        drop(memory);
        let drawing = Arc::new(Drawing::new(job.config, &processor.tokenizer, vlm)?);
        self.batch.add(Prompt::new(&job.prompt, features, 0), &drawing)
    }

    /// Tells what is certain of a completion's text.
    fn say(&mut self, prompt: usize, sample: usize, token: u32) -> Result<(), Error> {
        let Some(open) = self.open.get_mut(&prompt) else { return Ok(()) };
        let Text { stream, text, num_told } = &mut open.texts[sample];
        text.push_str(&stream.push(token)?);
        let certain = text.floor_char_boundary(text.len().saturating_sub(open.held_back));
        if certain > *num_told {
            let text = text[*num_told..certain].to_owned();
            *num_told = certain;
            tell(&open.events, Event::Text { sample, text });
        }
        Ok(())
    }

    /// Tells the rest of a completion's text, and why it ended.
    fn end(&mut self, prompt: usize, sample: usize, completion: &Completion) {
        let Some(open) = self.open.get_mut(&prompt) else { return };
        let rest = completion.text.get(open.texts[sample].num_told..).unwrap_or_default();
        if !rest.is_empty() {
            tell(&open.events, Event::Text { sample, text: rest.to_owned() });
        }
        let (num_tokens, reason) = (completion.token_ids.len(), completion.finish_reason);
        tell(&open.events, Event::End { sample, num_tokens, reason });
        open.num_left -= 1;
        if open.num_left == 0 {
            self.open.remove(&prompt);
        }
    }

    /// Lets those go whose client has gone.
    fn leave(&mut self) {
        for (prompt, _) in self.open.extract_if(|_, open| open.events.is_closed()) {
            self.batch.cancel(prompt);
        }
    }

    /// Tells all that the model failed, and begins anew.
    fn fail(&mut self, reason: impl Fn() -> Refusal) {
        for (_, open) in self.open.drain() {
            tell(&open.events, Event::Failed(reason()));
        }
        self.batch = self.generator.batch();
    }
}

/// A client that has gone hears nothing.
fn tell(events: &UnboundedSender<Event>, event: Event) {
    let _ = events.send(event);
}

/// What a conversation looks like to the model. Image paths would be read: there must be none.
pub(crate) fn prompt(
    processor: &Processor,
    sample: &schema::Sample,
) -> Result<preprocess::Prompt, preprocess::Error> {
    processor.prompt(sample, Path::new(""))
}
