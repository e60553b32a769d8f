//! The running batch: which prompts and samples hold cache rows, and one step of all of them.
//!
//! ```text
//! add ─► waiting ─► begin: rows for the prompt and one completion ─► prefill, all samples draw once
//!                                                                     │
//!            pending (drawn once, no rows yet) ◄── further samples ───┤
//!                │ rows come free                                     ▼
//!                └──────────────────────────────► running ─► one step: embed, extend, draw ─┐
//!                                                    ▲                                      │
//!                                                    └───────── not finished ◄──────────────┤
//!                                             told of, rows given back ◄── finished ────────┘
//! ```
//!
//! A prompt's rows are computed once and named as `past` by each of its samples. Rows for the
//! longest possible completion are set aside when a sample begins, so no sample ever has to be
//! thrown out again, and a completion's rows are consecutive.
//!
//! Samples and prompts have their turn in the order they came. Where the next in line does not fit, those after it may
//! take what it can spare (`admission`): it waits no longer for them, and they do not wait for it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use model::cache::KvCache;
use model::layout::Layout;
use model::pack::ImageSlot;
use model::vlm::Vlm;
use rayon::prelude::*;
use schema::Completion;
use tensor::{Device, Span, Tensor, ops};

use crate::Error;
use crate::drawing::Drawing;
use crate::generate::Progress;
use crate::prompt::Prompt;
use crate::rows::FreeRows;
use crate::sampler::{Choice, Sampler};
use crate::sequence::Sequence;

mod admission;
mod prefill;

use admission::Begun;

/// Prompt rows that are shown to the model together: enough to keep the kernels busy.
const PREFILL_ROWS: usize = 1024;
/// Rows whose logits are held at the same time.
const LOGIT_ROWS: usize = 64;

/// The running batch and everything that waits for it. Prompts may be added while it runs, each with settings of its
/// own: their completions are the same whatever else is in the batch.
pub struct Batch<'a> {
    vlm: &'a Vlm,
    cache: KvCache,
    num_rows: usize,
    free: FreeRows,
    /// Prompts of which not everything is known yet, by their numbers.
    groups: BTreeMap<usize, Group<'a>>,
    /// Cache rows of the text that all prompts open with, such as a system turn.
    opening: Range<usize>,
    /// Prompts that have not begun, in the order they came.
    waiting: VecDeque<usize>,
    /// Samples that have drawn their first token and wait for cache rows.
    pending: VecDeque<Sequence<'a>>,
    running: Vec<Sequence<'a>>,
    /// Tokens drawn and completions that ended since the last time they were told of.
    news: News,
    /// Whether no row has come free, and no prompt come, since all that could begin did.
    is_settled: bool,
    num_added: usize,
    progress: Progress,
}

/// A prompt within the batch.
struct Group<'a> {
    prompt: Prompt,
    drawing: Arc<Drawing<'a>>,
    slots: Vec<ImageSlot>,
    /// Cache rows of the prompt after the common opening, once it has begun.
    rows: Range<usize>,
    num_open: usize,
}

impl Group<'_> {
    /// The samples that are drawn.
    fn samples(&self) -> impl Iterator<Item = usize> {
        samples(&self.prompt, &self.drawing)
    }

    /// The most tokens of a completion.
    fn limit(&self) -> usize {
        self.drawing.config.limit(self.prompt.ids.len())
    }
}

/// What has happened in a batch.
#[derive(Debug, Default)]
pub struct News {
    /// Tokens drawn: prompt, sample, and the token.
    pub drawn: Vec<(usize, usize, u32)>,
    /// Completions that have ended: prompt, sample, and the completion.
    pub finished: Vec<(usize, usize, Completion)>,
}

impl<'a> Batch<'a> {
    /// An empty batch with a key/value cache of so many rows, one for each token that is remembered.
    pub fn new(vlm: &'a Vlm, num_rows: usize) -> Self {
        Self {
            vlm,
            cache: KvCache::new(vlm.llm.config(), num_rows),
            num_rows,
            free: FreeRows::new(num_rows),
            groups: BTreeMap::new(),
            opening: 0..0,
            waiting: VecDeque::new(),
            pending: VecDeque::new(),
            running: Vec::new(),
            news: News::default(),
            is_settled: true,
            num_added: 0,
            progress: Progress::default(),
        }
    }

    /// Adds a prompt, which begins as soon as there is room; its number, counted from 0.
    ///
    /// # Errors
    ///
    /// When it is empty, longer than the context or too large for the cache, or its features do not match its image
    /// rows.
    pub fn add(&mut self, prompt: Prompt, drawing: &Arc<Drawing<'a>>) -> Result<usize, Error> {
        let number = self.num_added;
        self.check(number, &prompt, drawing)?;
        let slots = prompt.slots(self.vlm, number)?;
        let num_open = samples(&prompt, drawing).count();
        self.num_added += 1;
        self.progress.num_total += num_open;
        if num_open > 0 {
            self.is_settled = false;
            self.waiting.push_back(number);
            let drawing = drawing.clone();
            self.groups.insert(number, Group { prompt, drawing, slots, rows: 0..0, num_open });
        }
        Ok(number)
    }

    fn check(&self, prompt: usize, one: &Prompt, drawing: &Drawing<'_>) -> Result<(), Error> {
        let (length, context) = (one.ids.len(), drawing.config.context_length);
        if length == 0 {
            return Err(Error::EmptyPrompt { prompt });
        }
        if length > context {
            return Err(Error::PromptTooLong { prompt, length, context });
        }
        let needed = length + drawing.config.limit(length).saturating_sub(1);
        if needed > self.num_rows {
            let bytes = needed * KvCache::bytes_per_row(self.vlm.llm.config());
            return Err(Error::CacheTooSmall { prompt, needed, bytes, rows: self.num_rows });
        }
        Ok(())
    }

    /// Forgets a prompt: none of its completions will end.
    pub fn cancel(&mut self, prompt: usize) {
        let Some(group) = self.groups.remove(&prompt) else { return };
        self.is_settled = false;
        self.progress.num_total -= group.num_open;
        self.free.give(group.rows);
        self.waiting.retain(|&waiting| waiting != prompt);
        self.pending.retain(|sequence| sequence.prompt != prompt);
        for sequence in self.running.extract_if(.., |sequence| sequence.prompt == prompt) {
            self.free.give(sequence.rows);
        }
    }

    /// Computes what all prompts open with once for all of them. Nothing has begun, and nothing may be added after.
    pub(crate) fn share_opening(&mut self) -> Result<(), Error> {
        let Some((&first, _)) = self.groups.first_key_value() else { return Ok(()) };
        let prompts: Vec<&Prompt> = self.groups.values().map(|group| &group.prompt).collect();
        let num_alike = num_alike(self.vlm, &prompts);
        self.opening = self.free.take(num_alike).expect("room for a prompt and more");
        self.extend_by_opening(first)
    }

    /// Lets in what there is room for, and draws a token for each running sample. Returns whether any is left.
    ///
    /// # Errors
    ///
    /// When logits are not finite.
    pub fn step(&mut self) -> Result<bool, Error> {
        self.admit()?;
        self.progress.num_running = self.running.len();
        if self.running.is_empty() {
            return Ok(false);
        }
        let ids: Vec<u32> = self.running.iter().map(Sequence::last).collect();
        let x = self.vlm.embed(&ids, &[], None)?;
        let hidden = self.vlm.llm.extend(x, &self.layout(), &mut self.cache);
        let mut running = std::mem::take(&mut self.running);
        self.draw(&hidden, &mut running)?;
        for sequence in running {
            match sequence.is_finished() {
                true => self.finish(sequence)?,
                false => self.running.push(sequence),
            }
        }
        Ok(true)
    }

    /// Shows prompts to the model and draws the first token of each of their samples, which go on in the rows that were
    /// taken for them, or wait for some.
    fn prefill(&mut self, begun: Vec<Begun>) -> Result<(), Error> {
        let prompts: Vec<usize> = begun.iter().map(|one| one.prompt).collect();
        let hidden = self.extend_by_prompts(&prompts)?;
        let (mut full, mut sequences, mut rows) = (Vec::new(), Vec::new(), Vec::new());
        for (row, &prompt) in prompts.iter().enumerate() {
            for sample in self.groups[&prompt].samples() {
                let sequence = self.sequence(prompt, sample);
                match sequence.is_finished() {
                    true => full.push(sequence),
                    false => {
                        sequences.push(sequence);
                        rows.push(row);
                    }
                }
            }
        }
        self.draw(&ops::gather_rows(&hidden, &rows), &mut sequences)?;
        sequences.extend(full);
        let mut rooms: HashMap<usize, Vec<Range<usize>>> =
            begun.into_iter().map(|one| (one.prompt, one.rooms)).collect();
        for mut sequence in sequences {
            if sequence.is_finished() {
                self.finish(sequence)?;
            } else if let Some(rows) = rooms.get_mut(&sequence.prompt).and_then(Vec::pop) {
                sequence.rows = rows;
                self.running.push(sequence);
            } else {
                self.pending.push_back(sequence);
            }
        }
        rooms.into_values().flatten().for_each(|rows| self.free.give(rows));
        Ok(())
    }

    fn sequence(&self, prompt: usize, sample: usize) -> Sequence<'a> {
        let group = &self.groups[&prompt];
        let Prompt { ids, stream, .. } = &group.prompt;
        let stream = stream.wrapping_mul(group.drawing.config.num_samples as u64) + sample as u64;
        let mut sequence =
            Sequence::new((prompt, sample), group.limit(), stream, group.drawing.clone());
        if group.drawing.penalises() {
            sequence.seen = ids.clone();
            sequence.seen.sort_unstable();
            sequence.seen.dedup();
        }
        sequence
    }

    /// One new row for each running sequence, which sees its prompt and itself.
    fn layout(&self) -> Layout {
        let mut layout = Layout::default();
        let mut places = Vec::with_capacity(self.running.len());
        for (i, sequence) in self.running.iter().enumerate() {
            let Group { prompt, rows, .. } = &self.groups[&sequence.prompt];
            let num_before = sequence.len() - 1;
            let slot = sequence.rows.start + num_before;
            let index = self.opening.len() + rows.len() + num_before;
            layout.positions.push(position(index));
            places.push(prompt.place(index));
            layout.slots.push(slot);
            layout.spans.push(Span {
                queries: i..i + 1,
                past: present([&self.opening, rows]),
                own: sequence.rows.start..slot + 1,
                causal: true,
            });
        }
        layout.axes = axes(&layout.positions, &places);
        layout
    }

    /// Draws a token for each sequence from its row of hidden states.
    fn draw(&mut self, hidden: &Tensor, sequences: &mut [Sequence<'a>]) -> Result<(), Error> {
        let rows: Vec<usize> = (0..sequences.len()).collect();
        for (rows, sequences) in rows.chunks(LOGIT_ROWS).zip(sequences.chunks_mut(LOGIT_ROWS)) {
            let logits = self.vlm.llm.logits(&ops::gather_rows(hidden, rows)).to(&Device::Cpu);
            let choices = choices(&logits, sequences);
            for (sequence, choice) in sequences.iter_mut().zip(choices) {
                let choice = choice?;
                sequence.push(choice)?;
                self.news.drawn.push((sequence.prompt, sequence.sample, choice.token));
            }
            self.progress.num_tokens += sequences.len();
        }
        Ok(())
    }

    /// Keeps a finished completion; gives its rows back, and its prompt's with the last of a group.
    fn finish(&mut self, sequence: Sequence<'a>) -> Result<(), Error> {
        let (prompt, sample) = (sequence.prompt, sequence.sample);
        self.is_settled = false;
        self.free.give(sequence.rows.clone());
        let group = self.groups.get_mut(&prompt).expect("one of its samples was open");
        group.num_open -= 1;
        if group.num_open == 0 {
            let group = self.groups.remove(&prompt).expect("it was there");
            self.free.give(group.rows);
        }
        self.news.finished.push((prompt, sample, sequence.complete()?));
        self.progress.num_done += 1;
        Ok(())
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// What has happened since the last call.
    pub fn news(&mut self) -> News {
        std::mem::take(&mut self.news)
    }
}

/// One choice a row; the rows are independent, so threads change nothing.
fn choices(logits: &Tensor, sequences: &[Sequence<'_>]) -> Vec<Result<Choice, Error>> {
    sequences
        .par_iter()
        .enumerate()
        .map_init(Sampler::default, |sampler, (i, sequence)| {
            sampler.choose(logits.row(i), &sequence.rules())
        })
        .collect()
}

/// The samples of a prompt that are drawn.
fn samples(prompt: &Prompt, drawing: &Drawing<'_>) -> impl Iterator<Item = usize> {
    (0..drawing.config.num_samples).filter(|sample| !prompt.known.contains(sample))
}

/// Rows of a cache that holds these prompts and all their completions.
pub(crate) fn rows_of_all(drawn: &[(&Prompt, Arc<Drawing<'_>>)]) -> usize {
    let rows = |(prompt, drawing): &(&Prompt, Arc<Drawing<'_>>)| {
        let length = prompt.ids.len();
        let sample = drawing.config.limit(length).saturating_sub(1);
        length + sample * samples(prompt, drawing).count().max(1)
    };
    drawn.iter().map(rows).sum()
}

/// Those of some key rows that there are.
fn present<const N: usize>(rows: [&Range<usize>; N]) -> Vec<Range<usize>> {
    rows.into_iter().filter(|rows| !rows.is_empty()).cloned().collect()
}

/// How many tokens before the first image all prompts open with; none for a single prompt, whose
/// samples share all of it anyway. Attention makes no difference of it: a prompt's numbers are the
/// same with and without company.
fn num_alike(vlm: &Vlm, prompts: &[&Prompt]) -> usize {
    let [first, rest @ ..] = prompts else { return 0 };
    let alike = |prompt: &&Prompt| {
        let pairs = first.ids.iter().zip(&prompt.ids);
        pairs.take_while(|(a, b)| a == b && Some(**a) != vlm.image_token).count()
    };
    // The last token of a prompt is answered for, so it is the prompt's own.
    let most = |prompt: &&Prompt| alike(prompt).min(prompt.ids.len().saturating_sub(1));
    let most_rest = rest.iter().map(most).min().unwrap_or(0);
    most_rest.min(first.ids.len().saturating_sub(1))
}

fn position(row: usize) -> u32 {
    u32::try_from(row).expect("no context has 2^32 positions")
}

/// Places on three axes, if any row has them: rows without stand at their position on each.
fn axes(positions: &[u32], places: &[Option<[u32; 3]>]) -> Option<Vec<[u32; 3]>> {
    let given = places.iter().any(Option::is_some);
    let filled = || places.iter().zip(positions).map(|(place, &p)| place.unwrap_or([p; 3]));
    given.then(|| filled().collect())
}
