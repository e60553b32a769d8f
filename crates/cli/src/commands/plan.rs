//! What a training run would do: counted and estimated before weights load.

use std::fmt;
use std::path::Path;

use ::data::{Dataset, prompt_of};
use ::model::inspect::{Memory, PartSummary, Workload, inspect};
use ::model::llm::Keep;
use anyhow::{Context as _, Result};
use preprocess::{ModelImage, Processor};
use recipes::Error;
use recipes::config::ModelConfig;
use recipes::grpo::GrpoConfig;
use recipes::mpo::MpoConfig;
use recipes::reward_model::{RewardConfig, training_pairs};
use recipes::run::Notice;
use recipes::sft::SftConfig;
use serde::Serialize;

use crate::inputs::check_checkpoints;
use crate::output::{bytes, count, duration};

mod work;
mod rounds;

pub(super) use rounds::Rounds;
use work::{Tokens, Work};

/// Rank where the recipe names none.
const LORA_RANK: usize = 8;

/// The plan of a run.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Plan {
    /// Samples that are used.
    num_samples: usize,
    /// Samples that are too long.
    num_too_long: usize,
    /// Samples without an image.
    num_text_only: usize,
    /// Tokens of all samples that are used; of their prompts where completions are sampled.
    num_tokens: usize,
    /// Tokens of the longest.
    longest: usize,
    /// Optimiser steps.
    steps: u64,
    /// Rows that the largest micro-batch may have.
    micro_batch_rows: usize,
    /// What trains.
    trainable: String,
    /// Parameters that train.
    num_parameters: usize,
    /// Estimate for the largest micro-batch.
    memory: Memory,
    /// Arithmetic of the whole run, and the time it takes here.
    work: Work,
}

/// What a data set amounts to.
#[derive(Default)]
struct Measured {
    /// Tokens of each sample that is used.
    lengths: Vec<usize>,
    num_too_long: usize,
    num_text_only: usize,
    most_tiles: usize,
    /// Rows of the largest image.
    image_rows: usize,
    /// Whether a value head trains.
    judges: bool,
}

impl Measured {
    /// The samples of supervised fine-tuning.
    fn samples(config: &SftConfig) -> Result<Self> {
        let (dataset, processor) = open(&config.model, &config.run.dataset)?;
        let mut measured = Self::default();
        let max_length = config.samples.max_length.min(processor.context_length);
        for index in 0..dataset.samples.len() {
            match processor.example(&dataset.samples[index], base(&dataset)) {
                Ok(example) if example.ids.len() <= max_length => {
                    measured.add(example.ids.len(), &example.images);
                }
                Ok(_) | Err(preprocess::Error::TooLong { .. }) => measured.num_too_long += 1,
                Err(error) => return Err(error).with_context(|| dataset.place(index)),
            }
        }
        measured.check(&config.run.dataset, &config.model)?;
        Ok(measured)
    }

    /// Refuses what training would: that nothing is learned.
    fn check(&self, dataset: &Path, model: &ModelConfig) -> Result<(), Error> {
        match self.lengths.len() {
            0 => Err(Error::Empty { path: dataset.to_owned() }),
            num if num == self.num_text_only && !model.trainable()?.text_trains() => {
                Err(Error::TextOnly { path: dataset.to_owned() })
            }
            _ => Ok(()),
        }
    }

    fn add(&mut self, length: usize, images: &[ModelImage]) {
        self.lengths.push(length);
        self.num_text_only += usize::from(images.is_empty());
        self.most_tiles = self.most_tiles.max(images.iter().map(ModelImage::num_tiles).sum());
        let largest = images.iter().map(ModelImage::num_tokens).max();
        self.image_rows = self.image_rows.max(largest.unwrap_or(0));
    }

    /// Mean tokens of a sample.
    fn mean(&self) -> f64 {
        self.lengths.iter().sum::<usize>() as f64 / self.lengths.len().max(1) as f64
    }

    fn longest(&self) -> usize {
        self.lengths.iter().copied().max().unwrap_or(0)
    }
}

impl Plan {
    /// Of supervised fine-tuning.
    pub(super) fn sft(config: &SftConfig) -> Result<Self> {
        Self::of_sft(config, &Measured::samples(config)?, 0.0)
    }

    /// Of supervised fine-tuning on samples that are measured, with so many tokens drawn beside it.
    fn of_sft(config: &SftConfig, measured: &Measured, drawn: f64) -> Result<Self> {
        let steps = config.num_steps(&measured.lengths);
        let (size, longest) = (config.batch.per_device_train_batch_size, measured.longest());
        let (rows, together) = match config.samples.packing {
            true => (config.samples.max_length, config.samples.max_length / longest.max(1)),
            false => (size * longest, size),
        };
        let in_step = match config.samples.packing {
            true => (config.batch.step_size() * config.samples.max_length) as f64,
            false => config.batch.step_size() as f64 * measured.mean(),
        };
        let tokens = Tokens { learned: steps as f64 * in_step, read: drawn };
        Self::finish(&config.model, measured, (steps, tokens), (rows, together))
    }

    /// Of mixed preference optimisation.
    pub(super) fn mpo(config: &MpoConfig) -> Result<Self> {
        let processor = Processor::load(&config.model.model_name_or_path)?;
        let (mut measured, mut num_too_long) = (Measured::default(), 0);
        let pairs = config.pairs.rendered(&config.run.dataset, &processor, &mut |notice| {
            if let Notice::TooLong { count, .. } = notice {
                num_too_long += count;
            }
        })?;
        measured.num_too_long = num_too_long;
        pairs.iter().for_each(|(prompt, num_rows)| measured.add(*num_rows, &prompt.images));
        measured.check(&config.run.dataset, &config.model)?;
        let steps = config.num_steps(measured.lengths.len());
        let size = config.batch.per_device_train_batch_size;
        let learned = (steps as usize * config.batch.step_size()) as f64 * measured.mean();
        // The reference policy reads every pair once.
        let read = measured.lengths.iter().sum::<usize>() as f64;
        let (tokens, rows) = (Tokens { learned, read }, size * measured.longest());
        Self::finish(&config.model, &measured, (steps, tokens), (rows, size))
    }

    /// Of a reward model, stage by stage.
    pub(super) fn reward(config: &RewardConfig) -> Result<Vec<Self>> {
        check_checkpoints(&config.model, &config.run)?;
        if !config.has_two_stages() {
            return Ok(vec![Self::of_reward(config)?]);
        }
        let (first, begin_with) = (config.first(), config.first().run.output_dir);
        Ok(vec![Self::of_reward(&first)?, Self::of_reward(&config.second(begin_with))?])
    }

    fn of_reward(config: &RewardConfig) -> Result<Self> {
        let processor = Processor::load(&config.model.model_name_or_path)?;
        let mut measured = Measured { judges: true, ..Measured::default() };
        let mut num_too_long = 0;
        let pairs = training_pairs(config, &processor, &mut |notice| {
            if let Notice::TooLong { count, .. } = notice {
                num_too_long += count;
            }
        })?;
        measured.num_too_long = num_too_long;
        pairs.iter().for_each(|pair| measured.add(pair.num_rows(), &pair.images));
        let steps = config.num_steps(pairs.len());
        let size = config.batch.per_device_train_batch_size;
        let learned = (steps as usize * config.batch.step_size()) as f64 * measured.mean();
        let tokens = Tokens { learned, read: 0.0 };
        let rows = size * measured.longest();
        Self::finish(&config.model, &measured, (steps, tokens), (rows, size))
    }

    /// Of group-relative policy optimisation.
    pub(super) fn grpo(config: &GrpoConfig) -> Result<Self> {
        let (dataset, processor) = open(&config.model, &config.run.dataset)?;
        let mut measured = Measured::default();
        for index in 0..dataset.samples.len() {
            let prompt = processor.prompt(&prompt_of(&dataset.samples[index]), base(&dataset));
            let prompt = prompt.with_context(|| dataset.place(index))?;
            measured.add(prompt.ids.len(), &prompt.images);
        }
        measured.check(&config.run.dataset, &config.model)?;
        let size = config.batch.per_device_train_batch_size;
        let groups = size / config.rollout.num_generations;
        let completions = size * config.rollout.max_completion_length;
        let rows = groups * measured.longest() + completions;
        let steps = config.num_steps(measured.lengths.len());
        let drawn = (steps as usize * config.batch.step_size()) as f64;
        let drawn = drawn * config.rollout.max_completion_length as f64;
        let steps = (steps, Tokens { learned: drawn, read: drawn });
        let mut plan = Self::finish(&config.model, &measured, steps, (rows, groups))?;
        if config.rollout.is_apart() {
            let dtype = config.rollout.rollout_dtype.unwrap_or(config.model.dtype);
            let draws = ModelConfig { dtype, ..config.model.clone() };
            let draws = Self::finish(&draws, &measured, steps, (rows, groups))?;
            plan.memory.weights += draws.memory.weights;
        }
        Ok(plan)
    }

    /// `steps` with the tokens of all of them, `rows` of the largest micro-batch, and how many samples are `together`
    /// in it.
    fn finish(
        config: &ModelConfig,
        measured: &Measured,
        (steps, tokens): (u64, Tokens),
        (rows, together): (usize, usize),
    ) -> Result<Self> {
        let workload = Workload {
            num_tokens: rows,
            num_tiles: together * measured.most_tiles,
            image_rows: Some(measured.image_rows),
            dtype: config.dtype.into(),
            keep: if config.gradient_checkpointing { Keep::Inputs } else { Keep::All },
            lora_rank: config.lora_r.unwrap_or(LORA_RANK),
            grow_head: measured.judges,
        };
        let trainable = config.trainable()?.to_string();
        let inspection = inspect(&config.model_name_or_path, &workload)?;
        let llm = inspection.parts.iter().find(|part| part.part == "llm");
        let work = Work::new(tokens, llm.map_or(0, multiplied), config)?;
        let trains = inspection.trains.into_iter().find(|trains| trains.setting == trainable);
        let trains = trains.with_context(|| {
            format!("{}: not an assembled model", config.model_name_or_path.display())
        })?;
        Ok(Self {
            num_samples: measured.lengths.len(),
            num_too_long: measured.num_too_long,
            num_text_only: measured.num_text_only,
            num_tokens: measured.lengths.iter().sum(),
            longest: measured.longest(),
            steps,
            micro_batch_rows: rows,
            trainable,
            num_parameters: trains.num_parameters,
            memory: trains.memory,
            work,
        })
    }
}

/// Weights of a language model that a row is multiplied with: all but the table its token is looked up in.
fn multiplied(llm: &PartSummary) -> usize {
    let table = ["vocabulary", "hidden"].map(|size| llm.sizes.get(size).copied().unwrap_or(0));
    llm.num_parameters.saturating_sub(table[0] * table[1])
}

fn open(config: &ModelConfig, dataset: &Path) -> Result<(Dataset, Processor)> {
    Ok((Dataset::read(dataset)?, Processor::load(&config.model_name_or_path)?))
}

fn base(dataset: &Dataset) -> &Path {
    dataset.path.parent().unwrap_or(Path::new(""))
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { num_samples, num_too_long, num_text_only, num_tokens, longest, .. } = self;
        writeln!(f, "samples   {num_samples} of {num_tokens} tokens, the longest {longest}")?;
        if *num_too_long > 0 {
            writeln!(f, "          {num_too_long} more are too long")?;
        }
        if *num_text_only > 0 {
            writeln!(f, "          {num_text_only} without an image")?;
        }
        writeln!(f, "steps     {}, up to {} rows at once", self.steps, self.micro_batch_rows)?;
        writeln!(f, "trains    {}: {} parameters", self.trainable, count(self.num_parameters))?;
        let Memory { weights, optimizer, activations, .. } = self.memory;
        writeln!(
            f,
            "memory    {} (weights {}, optimizer {}, activations {}; an estimate)",
            bytes(self.memory.total()),
            bytes(weights),
            bytes(optimizer),
            bytes(activations)
        )?;
        let Work { operations, seconds } = self.work;
        write!(f, "time      up to {} here ({operations:.1e} operations)", duration(seconds))
    }
}
