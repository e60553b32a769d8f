//! `sightline generate`: completions of conversations.

use std::path::Path;

use anyhow::{Context as _, Result};
use preprocess::{Processor, Prompt};
use rollout::{GenerateConfig, Sampling};
use schema::{Completion, Content, Message, Role, Sample};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::Context;
use crate::args::{GenerateArgs, ModelArgs, SamplingArgs};
use crate::failure::usage;
use crate::lines::{Growing, Input, Written};
use crate::loaded::Loaded;
use crate::progress::{Meter, Unit};

/// Completions in the running batch together: enough to keep the kernels busy, few enough that a
/// killed run loses little.
const BATCH: usize = 64;

/// What a line gains.
const FIELDS: [&str; 5] = ["sample", "text", "token_ids", "logprobs", "finish_reason"];

/// A line of the output.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    input: &'a Map<String, Value>,
    /// Which of several samples of one prompt this is, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    sample: Option<usize>,
    #[serde(flatten)]
    completion: &'a Completion,
}

/// Completes a file, or one question.
pub(crate) fn run(args: &GenerateArgs, context: &Context) -> Result<()> {
    let processor = Processor::load(&args.model.model)?;
    let config = generate_config(&args.sampling, &processor)?;
    match (&args.input, &args.output, &args.prompt) {
        (Some(input), Some(output), _) => {
            let input = Input::read(input)?;
            let job = Job { args, context, processor, config, input };
            job.run(output)
        }
        (_, _, Some(question)) => answer(args, question, &processor, config, context),
        _ => Err(usage(anyhow::anyhow!("give --input with --output, or --prompt"))),
    }
}

/// The settings that the options make.
pub(super) fn generate_config(
    args: &SamplingArgs,
    processor: &Processor,
) -> Result<GenerateConfig> {
    let sampling = Sampling {
        temperature: args.temperature,
        top_k: args.top_k,
        top_p: args.top_p,
        repetition_penalty: args.repetition_penalty,
        seed: args.seed,
    };
    let config = GenerateConfig {
        num_samples: args.num_samples,
        stop_strings: args.stop.clone(),
        ..GenerateConfig::new(processor, sampling, args.max_new_tokens)
    };
    config.validate().map_err(usage)?;
    Ok(config)
}

/// A file to be completed.
struct Job<'a> {
    args: &'a GenerateArgs,
    context: &'a Context,
    processor: Processor,
    config: GenerateConfig,
    input: Input,
}

impl Job<'_> {
    fn run(mut self, path: &Path) -> Result<()> {
        let num_lines = self.input.len();
        let lengths: Result<Vec<usize>> =
            (0..num_lines).map(|i| Ok(self.input.prompt(&self.processor, i)?.ids.len())).collect();
        let longest = lengths?.into_iter().max().unwrap_or(0);
        let num_samples = self.config.num_samples;
        let mut output = Growing::open(path, &self.identity(), num_samples)?;
        let mut model = Loaded::open(&self.args.model, &self.context.progress)?;
        self.fit_cache(&model, longest);
        let num_completions = num_lines * num_samples;
        let total = Some(num_completions as u64);
        let mut meter = self.context.progress.meter("completions", Unit::Items, total);
        meter.start_at((output.num_done() * num_samples) as u64);
        let todo: Vec<usize> = (output.num_done()..num_lines).collect();
        let mut num_tokens = 0;
        for batch in todo.chunks((BATCH / num_samples).max(1)) {
            let completions = self.complete(batch, &mut model, (&mut meter, &mut num_tokens))?;
            for (&index, completions) in batch.iter().zip(&completions) {
                let line = self.input.without(index, &FIELDS);
                output.append(lines(&line, completions))?;
            }
        }
        meter.finish();
        output.commit()?;
        let written = Written { output: path, num_completions, num_new_tokens: num_tokens };
        self.context.output.show(&written, ToString::to_string)
    }

    /// The longest sequence must fit, whatever the usual size of the cache.
    fn fit_cache(&mut self, model: &Loaded, longest: usize) {
        let rows = (longest + self.config.max_new_tokens).min(self.config.context_length);
        self.config.cache_bytes = self.config.cache_bytes.max(model.cache_bytes(rows));
    }

    fn complete(
        &self,
        batch: &[usize],
        model: &mut Loaded,
        (meter, num_tokens): (&mut Meter, &mut usize),
    ) -> Result<Vec<Vec<Completion>>> {
        let mut prompts = Vec::with_capacity(batch.len());
        for &index in batch {
            let prompt = self.input.prompt(&self.processor, index)?;
            let features = model.features(&prompt.images);
            let features = features.with_context(|| self.input.dataset.place(index))?;
            prompts.push(rollout::Prompt::new(&prompt, features, index as u64));
        }
        let first = batch[0] * self.config.num_samples;
        let before = *num_tokens;
        let mut progress = |state: rollout::Progress| {
            *num_tokens = before + state.num_tokens;
            meter.set((first + state.num_done) as u64, &format!("{num_tokens} tokens"));
        };
        let tokenizer = &self.processor.tokenizer;
        Ok(rollout::generate(&model.vlm, tokenizer, &prompts, &self.config, &mut progress)?)
    }

    /// All that shapes the output.
    fn identity(&self) -> String {
        let input = serde_json::to_string(&self.input.lines).expect("it was read from JSON");
        format!("{:?}\n{}\n{input}", self.config, identity(&self.args.model))
    }
}

/// All about a model that shapes what it says. What cannot be read fails where it is loaded.
pub(crate) fn identity(args: &ModelArgs) -> String {
    let fingerprint = |path: &Path| stages::fingerprint(path).ok().flatten();
    let adapter = args.adapter.as_deref().map(fingerprint);
    format!("{:?} {:?} {adapter:?}", args.dtype, fingerprint(&args.model))
}

fn lines<'a>(
    input: &'a Map<String, Value>,
    completions: &'a [Completion],
) -> impl Iterator<Item = Line<'a>> {
    let several = completions.len() > 1;
    completions.iter().enumerate().map(move |(sample, completion)| Line {
        input,
        sample: several.then_some(sample),
        completion,
    })
}

/// Answers one question on standard output.
fn answer(
    args: &GenerateArgs,
    question: &str,
    processor: &Processor,
    mut config: GenerateConfig,
    context: &Context,
) -> Result<()> {
    let content = Content::Text(question.to_owned());
    let sample = Sample {
        messages: vec![Message { role: Role::User, content }],
        images: args.image.iter().map(|path| path.to_string_lossy().into_owned()).collect(),
        ..Sample::default()
    };
    let prompt: Prompt = processor.prompt(&sample, Path::new(""))?;
    let mut model = Loaded::open(&args.model, &context.progress)?;
    let rows = (prompt.ids.len() + config.max_new_tokens).min(config.context_length);
    config.cache_bytes = config.cache_bytes.max(model.cache_bytes(rows));
    let prompts = [rollout::Prompt::new(&prompt, model.features(&prompt.images)?, 0)];
    let limit = (config.num_samples * config.max_new_tokens) as u64;
    let mut meter = context.progress.meter("tokens", Unit::Items, Some(limit));
    let mut progress = |state: rollout::Progress| meter.set(state.num_tokens as u64, "");
    let tokenizer = &processor.tokenizer;
    let groups = rollout::generate(&model.vlm, tokenizer, &prompts, &config, &mut progress)?;
    meter.finish();
    let completions = groups.into_iter().next().unwrap_or_default();
    let Value::Object(line) = serde_json::to_value(&sample)? else {
        unreachable!("a sample is an object")
    };
    let lines: Vec<Line<'_>> = lines(&line, &completions).collect();
    context.output.show(&lines, |lines| {
        let texts: Vec<&str> = lines.iter().map(|line| line.completion.text.trim()).collect();
        texts.join("\n\n---\n\n")
    })
}
