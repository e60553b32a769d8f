//! The running batch: which prompts and samples hold cache rows, and one step of all of them.
//!
//! ```text
//! prompts ─► begin: rows for the prompt and one completion ─► prefill, all samples draw once
//!                                                                     │
//!            pending (drawn once, no rows yet) ◄──────────────────────┤
//!                │ rows come free                                     ▼
//!                └──────────────────────────────► running ─► one step: embed, extend, draw ─┐
//!                                                    ▲                                      │
//!                                                    └───────── not finished ◄──────────────┤
//!                                            results, rows given back ◄── finished ─────────┘
//! ```
//!
//! A prompt's rows are computed once and named as `past` by each of its samples. Rows for the
//! longest possible completion are set aside when a sample begins, so no sample ever has to be
//! thrown out again, and a completion's rows are consecutive.

use std::collections::VecDeque;
use std::ops::Range;

use model::cache::KvCache;
use model::layout::Layout;
use model::pack::ImageSlot;
use model::vlm::Vlm;
use preprocess::Tokenizer;
use rayon::prelude::*;
use schema::Completion;
use tensor::{Device, Span, Tensor, ops};

use crate::Error;
use crate::generate::{GenerateConfig, Progress};
use crate::prompt::Prompt;
use crate::rows::FreeRows;
use crate::sampler::{Choice, Sampler};
use crate::sequence::{Sequence, StopRules};

mod prefill;

/// Prompt rows that are shown to the model together: enough to keep the kernels busy.
const PREFILL_ROWS: usize = 1024;
/// Rows whose logits are held at the same time.
const LOGIT_ROWS: usize = 64;

/// The running batch and everything that waits for it.
pub(crate) struct Batch<'a> {
    vlm: &'a Vlm,
    prompts: &'a [Prompt],
    config: &'a GenerateConfig,
    stop: StopRules<'a>,
    banned: Vec<u32>,
    cache: KvCache,
    free: FreeRows,
    groups: Vec<Group>,
    /// Cache rows of the text that all prompts open with, such as a system turn.
    opening: Range<usize>,
    /// Prompts before this one have begun.
    next: usize,
    /// Samples that have drawn their first token and wait for cache rows.
    pending: VecDeque<Sequence<'a>>,
    running: Vec<Sequence<'a>>,
    finished: Vec<Finished>,
    /// How many of them were told of.
    num_told: usize,
    /// Tokens drawn since the last time they were told of: prompt, sample, token.
    drawn: Vec<(usize, usize, u32)>,
    num_tokens: usize,
    num_total: usize,
}

/// A prompt within the batch.
struct Group {
    slots: Vec<ImageSlot>,
    /// Cache rows of the prompt after the common opening, while any of its samples is open.
    rows: Range<usize>,
    num_open: usize,
}

struct Finished {
    prompt: usize,
    sample: usize,
    completion: Completion,
}

impl<'a> Batch<'a> {
    /// Checks all prompts and sets the cache aside; nothing runs yet.
    pub(crate) fn new(
        vlm: &'a Vlm,
        tokenizer: &'a Tokenizer,
        prompts: &'a [Prompt],
        config: &'a GenerateConfig,
    ) -> Result<Self, Error> {
        let num_rows = num_cache_rows(vlm, prompts, config)?;
        let mut free = FreeRows::new(num_rows);
        let opening = free.take(num_alike(vlm, prompts)).expect("room for a prompt and more");
        let group = |(i, prompt): (usize, &Prompt)| {
            let slots = prompt.slots(vlm, i)?;
            Ok(Group { slots, rows: 0..0, num_open: samples(prompt, config).count() })
        };
        let groups = prompts.iter().enumerate().map(group).collect::<Result<Vec<_>, Error>>()?;
        let num_total = groups.iter().map(|group| group.num_open).sum();
        Ok(Self {
            vlm,
            prompts,
            config,
            stop: StopRules::new(config, tokenizer),
            banned: config.banned_ids.iter().copied().chain(vlm.image_token).collect(),
            cache: KvCache::new(vlm.llm.config(), num_rows),
            free,
            groups,
            opening,
            next: 0,
            pending: VecDeque::new(),
            running: Vec::new(),
            finished: Vec::new(),
            num_told: 0,
            drawn: Vec::new(),
            num_tokens: 0,
            num_total,
        })
    }

    /// Fills the free rows: samples that wait first, then further prompts.
    pub(crate) fn admit(&mut self) -> Result<(), Error> {
        loop {
            while let Some(sequence) = self.pending.front() {
                let Some(rows) = self.free.take(sequence.num_rows()) else { return Ok(()) };
                let mut sequence = self.pending.pop_front().expect("the front was there");
                sequence.rows = rows;
                self.running.push(sequence);
            }
            let begun = self.begin();
            if begun.is_empty() {
                return Ok(());
            }
            self.prefill(&begun)?;
        }
    }

    /// Takes rows for the next prompts, as many as leave room for one sample of each: no prompt
    /// may sit in the cache without being able to go on.
    fn begin(&mut self) -> Vec<usize> {
        let (mut begun, mut room, mut num_rows) = (Vec::new(), Vec::new(), 0);
        while self.next < self.prompts.len() && num_rows < PREFILL_ROWS {
            let length = self.prompts[self.next].ids.len();
            let Some(rows) = self.free.take(length - self.opening.len()) else { break };
            let longest = self.config.limit(length).saturating_sub(1);
            let Some(sample) = self.free.take(longest) else {
                self.free.give(rows);
                break;
            };
            self.groups[self.next].rows = rows;
            room.push(sample);
            begun.push(self.next);
            num_rows += length - self.opening.len();
            self.next += 1;
        }
        room.into_iter().for_each(|rows| self.free.give(rows));
        begun
    }

    /// Shows prompts to the model and draws the first token of each of their samples.
    fn prefill(&mut self, begun: &[usize]) -> Result<(), Error> {
        let hidden = self.extend_by_prompts(begun)?;
        let of = begun.iter().flat_map(|&prompt| {
            samples(&self.prompts[prompt], self.config).map(move |sample| (prompt, sample))
        });
        let (full, mut sequences): (Vec<_>, Vec<_>) = of
            .map(|(prompt, sample)| self.sequence(prompt, sample))
            .partition(Sequence::is_finished);
        // The prompts begun are consecutive, their hidden states likewise.
        let rows: Vec<usize> = sequences.iter().map(|s| s.prompt - begun[0]).collect();
        self.draw(&ops::gather_rows(&hidden, &rows), &mut sequences)?;
        sequences.extend(full);
        for sequence in sequences {
            match sequence.is_finished() {
                true => self.finish(sequence)?,
                false => self.pending.push_back(sequence),
            }
        }
        // A prompt of which everything is known has nothing to wait for.
        for &prompt in begun {
            let group = &mut self.groups[prompt];
            if group.num_open == 0 {
                self.free.give(std::mem::take(&mut group.rows));
            }
        }
        Ok(())
    }

    fn sequence(&self, prompt: usize, sample: usize) -> Sequence<'a> {
        let Prompt { ids, stream, .. } = &self.prompts[prompt];
        let stream = stream.wrapping_mul(self.config.num_samples as u64) + sample as u64;
        let limit = self.config.limit(ids.len());
        let mut sequence = Sequence::new((prompt, sample), limit, stream, &self.stop);
        if self.penalises() {
            sequence.seen = ids.clone();
            sequence.seen.sort_unstable();
            sequence.seen.dedup();
        }
        sequence
    }

    /// Shows the last token of every running sequence to the model and draws the next. Returns
    /// whether there was anything to do.
    pub(crate) fn step(&mut self) -> Result<bool, Error> {
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

    /// One new row for each running sequence, which sees its prompt and itself.
    fn layout(&self) -> Layout {
        let mut layout = Layout::default();
        let mut places = Vec::with_capacity(self.running.len());
        for (i, sequence) in self.running.iter().enumerate() {
            let prompt = &self.groups[sequence.prompt].rows;
            let num_before = sequence.len() - 1;
            let slot = sequence.rows.start + num_before;
            let index = self.opening.len() + prompt.len() + num_before;
            layout.positions.push(position(index));
            places.push(self.prompts[sequence.prompt].place(index));
            layout.slots.push(slot);
            layout.spans.push(Span {
                queries: i..i + 1,
                past: present([&self.opening, prompt]),
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
            let choices = self.choices(&logits, sequences);
            for (sequence, choice) in sequences.iter_mut().zip(choices) {
                let choice = choice?;
                sequence.push(choice, &self.stop)?;
                self.drawn.push((sequence.prompt, sequence.sample, choice.token));
                if self.penalises() {
                    sequence.mark_seen(choice.token);
                }
            }
            self.num_tokens += sequences.len();
        }
        Ok(())
    }

    /// One choice a row; the rows are independent, so threads change nothing.
    fn choices(&self, logits: &Tensor, sequences: &[Sequence<'a>]) -> Vec<Result<Choice, Error>> {
        let wanted: Vec<_> = sequences.iter().map(|s| (s.draw(), s.seen.as_slice())).collect();
        let sampler = || Sampler::new(&self.config.sampling, &self.banned);
        wanted
            .par_iter()
            .enumerate()
            .map_init(sampler, |sampler, (i, (draw, seen))| {
                sampler.choose(logits.row(i), seen, *draw)
            })
            .collect()
    }

    fn penalises(&self) -> bool {
        self.config.sampling.repetition_penalty != 1.0
    }

    /// Keeps a finished completion; gives its rows back, and its prompt's with the last of a group.
    fn finish(&mut self, sequence: Sequence<'a>) -> Result<(), Error> {
        let (prompt, sample) = (sequence.prompt, sequence.sample);
        self.free.give(sequence.rows.clone());
        let group = &mut self.groups[prompt];
        group.num_open -= 1;
        if group.num_open == 0 {
            self.free.give(std::mem::take(&mut group.rows));
        }
        let completion = sequence.complete(&self.stop)?;
        self.finished.push(Finished { prompt, sample, completion });
        Ok(())
    }

    pub(crate) fn progress(&self) -> Progress {
        Progress {
            num_tokens: self.num_tokens,
            num_done: self.finished.len(),
            num_total: self.num_total,
            num_running: self.running.len(),
        }
    }

    /// Tokens drawn since the last call: prompt, sample, and the token.
    pub(crate) fn newly_drawn(&mut self) -> Vec<(usize, usize, u32)> {
        std::mem::take(&mut self.drawn)
    }

    /// Completions that have ended since the last call: prompt, sample, and the completion.
    pub(crate) fn newly_finished(&mut self) -> impl Iterator<Item = (usize, usize, &Completion)> {
        let first = std::mem::replace(&mut self.num_told, self.finished.len());
        self.finished[first..].iter().map(|f| (f.prompt, f.sample, &f.completion))
    }

    /// The completions, grouped by prompt, in order.
    pub(crate) fn into_results(mut self) -> Vec<Vec<Completion>> {
        self.finished.sort_by_key(|finished| (finished.prompt, finished.sample));
        let mut results = vec![Vec::with_capacity(self.config.num_samples); self.prompts.len()];
        for Finished { prompt, completion, .. } in self.finished {
            results[prompt].push(completion);
        }
        results
    }
}

/// The samples of a prompt that are drawn.
fn samples(prompt: &Prompt, config: &GenerateConfig) -> impl Iterator<Item = usize> {
    (0..config.num_samples).filter(|sample| !prompt.known.contains(sample))
}

/// Those of some key rows that there are.
fn present<const N: usize>(rows: [&Range<usize>; N]) -> Vec<Range<usize>> {
    rows.into_iter().filter(|rows| !rows.is_empty()).cloned().collect()
}

/// How many tokens before the first image all prompts open with; none for a single prompt, whose
/// samples share all of it anyway. Attention makes no difference of it: a prompt's numbers are the
/// same with and without company.
fn num_alike(vlm: &Vlm, prompts: &[Prompt]) -> usize {
    let [first, rest @ ..] = prompts else { return 0 };
    let alike = |prompt: &Prompt| {
        let pairs = first.ids.iter().zip(&prompt.ids);
        pairs.take_while(|(a, b)| a == b && Some(**a) != vlm.image_token).count()
    };
    // The last token of a prompt is answered for, so it is the prompt's own.
    let most = |prompt: &Prompt| alike(prompt).min(prompt.ids.len().saturating_sub(1));
    let most_rest = rest.iter().map(most).min().unwrap_or(0);
    most_rest.min(first.ids.len().saturating_sub(1))
}

/// Rows of a cache that fits the prompts within the allowed bytes.
fn num_cache_rows(vlm: &Vlm, prompts: &[Prompt], config: &GenerateConfig) -> Result<usize, Error> {
    let bytes_per_row = KvCache::bytes_per_row(vlm.llm.config());
    let rows = config.cache_bytes / bytes_per_row;
    let mut wanted = 0;
    for (prompt, one) in prompts.iter().enumerate() {
        let ids = &one.ids;
        let (length, context) = (ids.len(), config.context_length);
        if length == 0 {
            return Err(Error::EmptyPrompt { prompt });
        }
        if length > context {
            return Err(Error::PromptTooLong { prompt, length, context });
        }
        let sample = config.limit(length).saturating_sub(1);
        let needed = length + sample;
        if needed > rows {
            let bytes = needed * bytes_per_row;
            return Err(Error::CacheTooSmall { prompt, needed, bytes, rows });
        }
        wanted += length + sample * samples(one, config).count();
    }
    Ok(wanted.min(rows))
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
